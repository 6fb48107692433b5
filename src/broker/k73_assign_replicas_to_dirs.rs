//! AssignReplicasToDirs (key 73), version 0: a broker says in which of its directories its replicas lie (KIP-858).
//! The controller decides ([`assign_replicas_to_dirs`](crate::controller::Controller::assign_replicas_to_dirs)).

use super::Broker;
use super::admission::throttle_time_ms;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::wire::messages::assign_replicas_to_dirs::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: AssignReplicasToDirsRequest,
) -> AssignReplicasToDirsResponse {
    let throttle_time_ms = throttle_time_ms(&context);
    let refused = |code: ErrorCode| AssignReplicasToDirsResponse {
        throttle_time_ms,
        error_code: code.code(),
        ..AssignReplicasToDirsResponse::default()
    };
    if !context.authorize(Operation::ClusterAction, Resource::Cluster) {
        return refused(ErrorCode::ClusterAuthorizationFailed);
    }
    match broker.decide_for_node(move |desk| desk.controller.assign_replicas_to_dirs(&request)).await {
        Ok(response) => AssignReplicasToDirsResponse { throttle_time_ms, ..response },
        Err(refusal) => refused(refusal.code),
    }
}
