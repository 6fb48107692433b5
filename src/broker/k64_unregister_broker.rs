//! UnregisterBroker (key 64), version 0: forgets a broker that is gone for good (KIP-631). The controller decides
//! ([`unregister_broker`](crate::controller::Controller::unregister_broker)).

use super::Broker;
use super::admission::throttle_time_ms;
use crate::controller::Refusal;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::types::BrokerId;
use crate::wire::messages::unregister_broker::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: UnregisterBrokerRequest,
) -> UnregisterBrokerResponse {
    let throttle_time_ms = throttle_time_ms(&context);
    let outcome = if context.authorize(Operation::Alter, Resource::Cluster) {
        let id = BrokerId(request.broker_id);
        let decided = broker.decide(move |desk| desk.controller.unregister_broker(id));
        decided.await.and_then(|decided| decided)
    } else {
        Err(Refusal::new(ErrorCode::ClusterAuthorizationFailed, "Authorization failed."))
    };
    let (error_code, error_message) = match outcome {
        Ok(()) => (ErrorCode::None.code(), None),
        Err(refusal) => (refusal.code.code(), Some(refusal.message)),
    };
    UnregisterBrokerResponse { throttle_time_ms, error_code, error_message }
}
