//! AlterPartition (key 56), versions 2 to 3: a leader asks for a change of its partition's ISR (KIP-497, KIP-903).
//! The controller decides ([`alter_partition`](crate::controller::Controller::alter_partition)).

use super::Broker;
use super::admission::throttle_time_ms;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::wire::messages::alter_partition::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: AlterPartitionRequest,
) -> AlterPartitionResponse {
    let throttle_time_ms = throttle_time_ms(&context);
    let refused = |code: ErrorCode| AlterPartitionResponse {
        throttle_time_ms,
        error_code: code.code(),
        ..AlterPartitionResponse::default()
    };
    if !context.authorize(Operation::ClusterAction, Resource::Cluster) {
        return refused(ErrorCode::ClusterAuthorizationFailed);
    }
    match broker.decide_for_node(move |desk| desk.controller.alter_partition(&request)).await {
        Ok(response) => AlterPartitionResponse { throttle_time_ms, ..response },
        Err(refusal) => refused(refusal.code),
    }
}
