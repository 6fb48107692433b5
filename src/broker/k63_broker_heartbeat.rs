//! BrokerHeartbeat (key 63), versions 0 to 2: a broker shows that it lives, or wants to stop (KIP-631). The
//! controller decides ([`broker_heartbeat`](crate::controller::Controller::broker_heartbeat)).

use super::Broker;
use super::admission::throttle_time_ms;
use crate::controller::Refusal;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::wire::messages::broker_heartbeat::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: BrokerHeartbeatRequest,
) -> BrokerHeartbeatResponse {
    let throttle_time_ms = throttle_time_ms(&context);
    let outcome = if context.authorize(Operation::ClusterAction, Resource::Cluster) {
        let decided = broker.decide_for_node(move |desk| {
            desk.controller.broker_heartbeat(&request, desk.heartbeats, desk.now, desk.next_offset)
        });
        decided.await.and_then(|decided| decided)
    } else {
        Err(Refusal::new(ErrorCode::ClusterAuthorizationFailed, "Authorization failed."))
    };
    match outcome {
        Ok(response) => BrokerHeartbeatResponse { throttle_time_ms, ..response },
        Err(refusal) => BrokerHeartbeatResponse {
            throttle_time_ms,
            error_code: refusal.code.code(),
            ..BrokerHeartbeatResponse::default()
        },
    }
}
