//! ElectLeaders (key 43): elects the preferred replicas, or uncleanly where nobody in sync is left (KIP-460).

use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// Whom to elect where.
    message ElectLeadersRequest, 0..=2, flexible 2.. {
        /// 0: the preferred replica; 1: unclean.
        election_type: i8, 1..;
        /// Null for all.
        topic_partitions: Option<Vec<TopicPartitions>>, 0.., default(Some(Vec::new()));
        /// How long the client waits for the answer, in milliseconds.
        timeout_ms: i32, 0.., default(60_000);
    }

    /// Partitions of one topic.
    struct TopicPartitions {
        topic: String, 0..;
        partitions: Vec<i32>, 0..;
    }

    /// What became of it.
    message ElectLeadersResponse, 0..=2, flexible 2.. {
        throttle_time_ms: i32, 0..;
        /// Of the whole. Version 0 has no room for one.
        error_code: i16, 1..;
        replica_election_results: Vec<ReplicaElectionResult>, 0..;
    }

    /// What became of one topic.
    struct ReplicaElectionResult {
        topic: String, 0..;
        partition_result: Vec<PartitionResult>, 0..;
    }

    /// What became of one partition.
    struct PartitionResult {
        partition_id: i32, 0..;
        error_code: i16, 0..;
        error_message: Option<String>, 0.., default(Some(String::new()));
    }
}

impl Request for ElectLeadersRequest {
    const KEY: ApiKey = ApiKey::ElectLeaders;
    type Response = ElectLeadersResponse;
}
