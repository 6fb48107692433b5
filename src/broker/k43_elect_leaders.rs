//! ElectLeaders (key 43), versions 0 to 2: preferred leaders, or any where there is none (KIP-183, KIP-460). The
//! controller decides ([`elect_leaders`](crate::controller::Controller::elect_leaders)).
//!
//! Who may not alter the cluster gets CLUSTER_AUTHORIZATION_FAILED, for each partition before version 1.

use super::Broker;
use super::admission::throttle_time_ms;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::wire::messages::elect_leaders::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: ElectLeadersRequest,
) -> ElectLeadersResponse {
    let throttle_time_ms = throttle_time_ms(&context);
    let asked = request.topic_partitions.clone().unwrap_or_default();
    let refused = |code: ErrorCode| {
        let partition = |&partition_id: &i32| PartitionResult {
            partition_id,
            error_code: code.code(),
            error_message: None,
        };
        let topic = |topic: &TopicPartitions| ReplicaElectionResult {
            topic: topic.topic.clone(),
            partition_result: topic.partitions.iter().map(partition).collect(),
        };
        ElectLeadersResponse {
            throttle_time_ms,
            error_code: code.code(),
            replica_election_results: asked.iter().map(topic).collect(),
        }
    };
    if !context.authorize(Operation::Alter, Resource::Cluster) {
        return refused(ErrorCode::ClusterAuthorizationFailed);
    }
    let timeout_ms = request.timeout_ms;
    let decided =
        broker.decide_within(&context, timeout_ms, move |desk| desk.controller.elect_leaders(&request));
    match decided.await {
        Ok(response) => ElectLeadersResponse { throttle_time_ms, ..response },
        Err(refusal) => refused(refusal.code),
    }
}
