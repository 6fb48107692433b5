//! EndQuorumEpoch (key 54): the leader of the metadata quorum resigns, and names who should stand first.
//!
//! Directory ids and endpoints (KIP-853) come with version 1. Kafka calls the parts of the response
//! `TopicData` and `PartitionData` too.

use crate::types::Uuid;
use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// A leader resigns.
    message EndQuorumEpochRequest, 0..=1, flexible 1.. {
        cluster_id: Option<String>, 0..;
        topics: Vec<TopicData>, 0..;
        /// Where that leader listens.
        leader_endpoints: Vec<LeaderEndpoint>, 1.., ignorable;
    }

    /// A topic: always the metadata topic.
    struct TopicData {
        topic_name: String, 0..;
        partitions: Vec<PartitionData>, 0..;
    }

    /// Who resigns.
    struct PartitionData {
        partition_index: i32, 0..;
        leader_id: i32, 0..;
        leader_epoch: i32, 0..;
        /// Voters, the most caught up first.
        preferred_successors: Vec<i32>, 0..=0, ignorable;
        /// The same, with directory ids.
        preferred_candidates: Vec<ReplicaInfo>, 1.., ignorable;
    }

    /// A voter that may stand.
    struct ReplicaInfo {
        candidate_id: i32, 1..;
        candidate_directory_id: Uuid, 1..;
    }

    /// An endpoint of the leader.
    struct LeaderEndpoint {
        /// Of the listener.
        name: String, 1..;
        host: String, 1..;
        port: u16, 1..;
    }

    /// What the voter says.
    message EndQuorumEpochResponse, 0..=1, flexible 1.. {
        error_code: i16, 0..;
        topics: Vec<TopicResult>, 0..;
        /// The endpoints of all leaders named.
        node_endpoints: Vec<NodeEndpoint>, 1.., tag(0);
    }

    /// What it says of one topic.
    struct TopicResult {
        topic_name: String, 0..;
        partitions: Vec<PartitionResult>, 0..;
    }

    /// What it says of the resignation.
    struct PartitionResult {
        partition_index: i32, 0..;
        error_code: i16, 0..;
        /// The leader that it knows; -1 if none.
        leader_id: i32, 0..;
        leader_epoch: i32, 0..;
    }

    /// Where a leader named in the response listens.
    struct NodeEndpoint {
        node_id: i32, 1..;
        host: String, 1..;
        port: u16, 1..;
    }
}

impl Request for EndQuorumEpochRequest {
    const KEY: ApiKey = ApiKey::EndQuorumEpoch;
    type Response = EndQuorumEpochResponse;
}
