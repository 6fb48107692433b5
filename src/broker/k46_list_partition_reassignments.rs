//! ListPartitionReassignments (key 46), version 0: which replicas are moving (KIP-455).

use super::Broker;
use super::admission::throttle_time_ms;
use crate::controller::{Decision, Refusal};
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::wire::messages::list_partition_reassignments::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: ListPartitionReassignmentsRequest,
) -> ListPartitionReassignmentsResponse {
    let throttle_time_ms = throttle_time_ms(&context);
    let outcome = if context.authorize(Operation::Describe, Resource::Cluster) {
        let timeout_ms = request.timeout_ms;
        broker
            .decide_within(&context, timeout_ms, move |desk| {
                Decision::answer(desk.controller.list_partition_reassignments(&request))
            })
            .await
    } else {
        Err(Refusal::new(ErrorCode::ClusterAuthorizationFailed, "Authorization failed."))
    };
    match outcome {
        Ok(response) => ListPartitionReassignmentsResponse { throttle_time_ms, ..response },
        Err(refusal) => ListPartitionReassignmentsResponse {
            throttle_time_ms,
            error_code: refusal.code.code(),
            error_message: Some(refusal.message),
            ..ListPartitionReassignmentsResponse::default()
        },
    }
}
