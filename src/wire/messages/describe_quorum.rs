//! DescribeQuorum (key 55): leader, voters and observers of the metadata quorum (KIP-595).
//!
//! When replicas last fetched (KIP-836) comes with version 1; directory ids, nodes and messages (KIP-853)
//! with 2. Kafka calls the parts of the response `TopicData` and `PartitionData` too.

use crate::types::Uuid;
use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// Which to describe.
    message DescribeQuorumRequest, 0..=2, flexible 0.. {
        topics: Vec<TopicData>, 0..;
    }

    /// A topic: always the metadata topic.
    struct TopicData {
        topic_name: String, 0..;
        partitions: Vec<PartitionData>, 0..;
    }

    /// Its partition.
    struct PartitionData {
        partition_index: i32, 0..;
    }

    /// The quorum.
    message DescribeQuorumResponse, 0..=2, flexible 0.. {
        error_code: i16, 0..;
        error_message: Option<String>, 2.., default(Some(String::new())), ignorable;
        topics: Vec<TopicResult>, 0..;
        nodes: Vec<Node>, 2..;
    }

    /// A topic's.
    struct TopicResult {
        topic_name: String, 0..;
        partitions: Vec<PartitionResult>, 0..;
    }

    /// That of one partition.
    struct PartitionResult {
        partition_index: i32, 0..;
        error_code: i16, 0..;
        error_message: Option<String>, 2.., default(Some(String::new())), ignorable;
        /// -1 if there is none.
        leader_id: i32, 0..;
        leader_epoch: i32, 0..;
        high_watermark: i64, 0..;
        current_voters: Vec<ReplicaState>, 0..;
        observers: Vec<ReplicaState>, 0..;
    }

    /// A voter or observer.
    struct ReplicaState {
        replica_id: i32, 0..;
        replica_directory_id: Uuid, 2..;
        /// -1 if unknown.
        log_end_offset: i64, 0..;
        /// When it last fetched, by the leader's clock; -1 for the leader itself and if unknown.
        last_fetch_timestamp: i64, 1.., default(-1), ignorable;
        /// When it last had the whole log, by the leader's clock; -1 if unknown.
        last_caught_up_timestamp: i64, 1.., default(-1), ignorable;
    }

    /// A node of the quorum.
    struct Node {
        node_id: i32, 2..;
        listeners: Vec<Listener>, 2..;
    }

    /// An endpoint of it.
    struct Listener {
        name: String, 2..;
        host: String, 2..;
        port: u16, 2..;
    }
}

impl Request for DescribeQuorumRequest {
    const KEY: ApiKey = ApiKey::DescribeQuorum;
    type Response = DescribeQuorumResponse;
}
