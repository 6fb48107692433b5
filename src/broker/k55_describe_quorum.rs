//! DescribeQuorum (key 55), versions 0 to 2: how the metadata quorum stands (KIP-595, KIP-836, KIP-853). Only its
//! leader knows; a broker hands the request on to it.

use super::Broker;
use super::quorum::is_metadata;
use crate::env::{Clock, Env};
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::quorum::{Description, ReplicaDescription};
use crate::types::{Mono, Uuid, WallMs};
use crate::wire::messages::describe_quorum::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: DescribeQuorumRequest,
) -> DescribeQuorumResponse {
    let refused = |code: ErrorCode, message: &str| DescribeQuorumResponse {
        error_code: code.code(),
        error_message: Some(message.to_owned()),
        ..DescribeQuorumResponse::default()
    };
    if !context.authorize(Operation::Describe, Resource::Cluster) {
        return refused(ErrorCode::ClusterAuthorizationFailed, "Authorization failed.");
    }
    let known = match &request.topics[..] {
        [topic] => matches!(&topic.partitions[..],
            [partition] if is_metadata(&topic.topic_name, partition.partition_index)),
        _ => false,
    };
    if !known {
        return refused(ErrorCode::UnknownTopicOrPartition, "There is one quorum, of __cluster_metadata-0.");
    }
    match broker.raft.describe().await {
        Some(description) => {
            let clock = broker.env.clock();
            described(&description, context.api_version, clock.now(), clock.wall())
        }
        None => refused(ErrorCode::NotLeaderOrFollower, "This node does not lead the quorum."),
    }
}

/// Before version 2 there is no room for directories and nodes, and what has no room is not left out of itself.
fn described(description: &Description, version: i16, now: Mono, wall: WallMs) -> DescribeQuorumResponse {
    let is_whole = version >= 2;
    let told = |at: Option<Mono>| {
        at.map_or(-1, |at| wall.0 - i64::try_from(now.since(at).as_millis()).unwrap_or(i64::MAX))
    };
    let state = |replica: &ReplicaDescription| ReplicaState {
        replica_id: replica.key.id.0,
        replica_directory_id: if is_whole { replica.key.directory } else { Uuid::ZERO },
        log_end_offset: replica.log_end.map_or(-1, |offset| offset.0),
        last_fetch_timestamp: told(replica.last_fetch),
        last_caught_up_timestamp: told(replica.last_caught_up),
    };
    let partition = PartitionResult {
        partition_index: 0,
        leader_id: description.leader.0,
        leader_epoch: description.epoch.0,
        high_watermark: description.high_watermark.map_or(-1, |offset| offset.0),
        current_voters: description.voters.iter().map(state).collect(),
        observers: description.observers.iter().map(state).collect(),
        error_message: None,
        ..PartitionResult::default()
    };
    let node = |(id, endpoints): &(crate::types::BrokerId, Vec<crate::wire::control::Endpoint>)| Node {
        node_id: id.0,
        listeners: endpoints
            .iter()
            .map(|endpoint| Listener {
                name: endpoint.name.clone(),
                host: endpoint.host.clone(),
                port: endpoint.port,
            })
            .collect(),
    };
    let topic_name = crate::node::raft::TOPIC.to_owned();
    DescribeQuorumResponse {
        error_message: None,
        topics: vec![TopicResult { topic_name, partitions: vec![partition] }],
        nodes: description.endpoints.iter().filter(|_| is_whole).map(node).collect(),
        ..DescribeQuorumResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quorum::VoterKey;
    use crate::types::{BrokerId, LeaderEpoch, Offset};
    use crate::wire::control::Endpoint;
    use crate::wire::{Message, Writer};

    #[test]
    fn every_version_of_the_answer_can_be_written() {
        let key = VoterKey { id: BrokerId(1), directory: Uuid(7 << 64) };
        let replica =
            ReplicaDescription { key, log_end: Some(Offset(3)), last_fetch: None, last_caught_up: None };
        let endpoint = Endpoint { name: "CONTROLLER".to_owned(), host: "a".to_owned(), port: 9093 };
        let description = Description {
            leader: BrokerId(1),
            epoch: LeaderEpoch(2),
            high_watermark: Some(Offset(3)),
            voters: vec![replica],
            observers: vec![replica],
            endpoints: vec![(BrokerId(1), vec![endpoint])],
        };
        for version in 0..=2 {
            let answer = described(&description, version, Mono::default(), WallMs(0));
            answer.encode(&mut Writer::new(), version).expect("nothing in it has no room");
            let told = answer.topics[0].partitions[0].current_voters[0].replica_directory_id;
            assert_eq!(
                (told == key.directory, answer.nodes.len()),
                (version == 2, usize::from(version == 2))
            );
        }
    }
}
