//! ControllerRegistration (key 70), version 0: a controller makes itself known (KIP-919). The active one notes it
//! ([`register_controller`](crate::controller::Controller::register_controller)).

use super::Broker;
use super::admission::throttle_time_ms;
use crate::controller::Refusal;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::wire::messages::controller_registration::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: ControllerRegistrationRequest,
) -> ControllerRegistrationResponse {
    let throttle_time_ms = throttle_time_ms(&context);
    let outcome = if context.authorize(Operation::ClusterAction, Resource::Cluster) {
        broker.decide_for_node(move |desk| desk.controller.register_controller(&request)).await
    } else {
        Err(Refusal::new(ErrorCode::ClusterAuthorizationFailed, "Authorization failed."))
    };
    let (error_code, error_message) = match outcome {
        Ok(()) => (ErrorCode::None, None),
        Err(refusal) => (refusal.code, Some(refusal.message)),
    };
    ControllerRegistrationResponse { throttle_time_ms, error_code: error_code.code(), error_message }
}
