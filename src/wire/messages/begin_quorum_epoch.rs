//! BeginQuorumEpoch (key 53): a new leader of the metadata quorum tells the other voters.
//!
//! Directory ids and endpoints (KIP-853) come with version 1. Kafka calls the parts of the response
//! `TopicData` and `PartitionData` too.

use crate::types::Uuid;
use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// A leader was elected.
    message BeginQuorumEpochRequest, 0..=1, flexible 1.. {
        cluster_id: Option<String>, 0..;
        /// Who is told, so that a stranger at its address knows that it is not meant; -1 if unknown.
        voter_id: i32, 1.., default(-1), ignorable;
        topics: Vec<TopicData>, 0..;
        /// Where the leader listens.
        leader_endpoints: Vec<LeaderEndpoint>, 1.., ignorable;
    }

    /// A topic: always the metadata topic.
    struct TopicData {
        topic_name: String, 0..;
        partitions: Vec<PartitionData>, 0..;
    }

    /// The leader of its partition.
    struct PartitionData {
        partition_index: i32, 0..;
        /// That of the voter told.
        voter_directory_id: Uuid, 1.., ignorable;
        leader_id: i32, 0..;
        leader_epoch: i32, 0..;
    }

    /// An endpoint of the leader.
    struct LeaderEndpoint {
        /// Of the listener.
        name: String, 1..;
        host: String, 1..;
        port: u16, 1..;
    }

    /// What the voter says.
    message BeginQuorumEpochResponse, 0..=1, flexible 1.. {
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

    /// What it says of a leader.
    struct PartitionResult {
        partition_index: i32, 0..;
        error_code: i16, 0..;
        /// The leader that it knows itself; -1 if none.
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

impl Request for BeginQuorumEpochRequest {
    const KEY: ApiKey = ApiKey::BeginQuorumEpoch;
    type Response = BeginQuorumEpochResponse;
}
