//! AlterPartitionReassignments (key 45): moves partitions to other replicas (KIP-455).
//!
//! Version 1 can forbid a change of the replication factor (KIP-860).

use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// Where partitions shall live.
    message AlterPartitionReassignmentsRequest, 0..=1, flexible 0.. {
        /// How long the client waits for the answer, in milliseconds.
        timeout_ms: i32, 0.., default(60_000);
        allow_replication_factor_change: bool, 1.., default(true);
        topics: Vec<ReassignableTopic>, 0..;
    }

    /// Partitions of one topic.
    struct ReassignableTopic {
        name: String, 0..;
        partitions: Vec<ReassignablePartition>, 0..;
    }

    /// Where one partition shall live.
    struct ReassignablePartition {
        partition_index: i32, 0..;
        /// Null: end the reassignment under way.
        replicas: Option<Vec<i32>>, 0..;
    }

    /// What became of it.
    message AlterPartitionReassignmentsResponse, 0..=1, flexible 0.. {
        throttle_time_ms: i32, 0..;
        allow_replication_factor_change: bool, 1.., default(true), ignorable;
        error_code: i16, 0..;
        error_message: Option<String>, 0.., default(Some(String::new()));
        responses: Vec<ReassignableTopicResponse>, 0..;
    }

    /// What became of one topic.
    struct ReassignableTopicResponse {
        name: String, 0..;
        partitions: Vec<ReassignablePartitionResponse>, 0..;
    }

    /// What became of one partition.
    struct ReassignablePartitionResponse {
        partition_index: i32, 0..;
        error_code: i16, 0..;
        error_message: Option<String>, 0.., default(Some(String::new()));
    }
}

impl Request for AlterPartitionReassignmentsRequest {
    const KEY: ApiKey = ApiKey::AlterPartitionReassignments;
    type Response = AlterPartitionReassignmentsResponse;
}
