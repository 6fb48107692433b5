//! BrokerRegistration (key 62), versions 0 to 4: a broker joins the cluster (KIP-631). The controller decides
//! ([`register_broker`](crate::controller::Controller::register_broker)).

use super::Broker;
use super::admission::throttle_time_ms;
use crate::controller::Refusal;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::wire::messages::broker_registration::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: BrokerRegistrationRequest,
) -> BrokerRegistrationResponse {
    let throttle_time_ms = throttle_time_ms(&context);
    let outcome = if context.authorize(Operation::ClusterAction, Resource::Cluster) {
        let id = request.broker_id;
        let decided = broker.decide_for_node(move |desk| {
            desk.controller.register_broker(&request, desk.heartbeats, desk.now, desk.next_offset)
        });
        decided.await.and_then(|decided| decided).inspect_err(|refusal| {
            tracing::info!(broker = id, %refusal, "a broker is not registered");
        })
    } else {
        Err(Refusal::new(ErrorCode::ClusterAuthorizationFailed, "Authorization failed."))
    };
    let (error_code, broker_epoch) = match outcome {
        Ok(epoch) => (ErrorCode::None.code(), epoch.0),
        Err(refusal) => (refusal.code.code(), -1),
    };
    BrokerRegistrationResponse { throttle_time_ms, error_code, broker_epoch }
}
