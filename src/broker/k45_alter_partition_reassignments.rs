//! AlterPartitionReassignments (key 45), versions 0 to 1: replicas move to other brokers, or stay after all
//! (KIP-455). The controller decides
//! ([`alter_partition_reassignments`](crate::controller::Controller::alter_partition_reassignments)).

use super::Broker;
use super::admission::throttle_time_ms;
use crate::controller::Refusal;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::wire::messages::alter_partition_reassignments::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: AlterPartitionReassignmentsRequest,
) -> AlterPartitionReassignmentsResponse {
    let throttle_time_ms = throttle_time_ms(&context);
    let outcome = if context.authorize(Operation::Alter, Resource::Cluster) {
        let timeout_ms = request.timeout_ms;
        broker
            .decide_within(&context, timeout_ms, move |desk| {
                desk.controller.alter_partition_reassignments(&request)
            })
            .await
    } else {
        Err(Refusal::new(ErrorCode::ClusterAuthorizationFailed, "Authorization failed."))
    };
    match outcome {
        Ok(response) => AlterPartitionReassignmentsResponse { throttle_time_ms, ..response },
        Err(refusal) => AlterPartitionReassignmentsResponse {
            throttle_time_ms,
            error_code: refusal.code.code(),
            error_message: Some(refusal.message),
            ..AlterPartitionReassignmentsResponse::default()
        },
    }
}
