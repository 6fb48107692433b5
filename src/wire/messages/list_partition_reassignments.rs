//! ListPartitionReassignments (key 46): the reassignments under way (KIP-455).

use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// Which to list.
    message ListPartitionReassignmentsRequest, 0..=0, flexible 0.. {
        /// How long the client waits for the answer, in milliseconds.
        timeout_ms: i32, 0.., default(60_000);
        /// Null for all.
        topics: Option<Vec<ListPartitionReassignmentsTopics>>, 0..;
    }

    /// Partitions of one topic.
    struct ListPartitionReassignmentsTopics {
        name: String, 0..;
        partition_indexes: Vec<i32>, 0..;
    }

    /// The reassignments.
    message ListPartitionReassignmentsResponse, 0..=0, flexible 0.. {
        throttle_time_ms: i32, 0..;
        error_code: i16, 0..;
        error_message: Option<String>, 0.., default(Some(String::new()));
        topics: Vec<OngoingTopicReassignment>, 0..;
    }

    /// Those of one topic.
    struct OngoingTopicReassignment {
        name: String, 0..;
        partitions: Vec<OngoingPartitionReassignment>, 0..;
    }

    /// That of one partition.
    struct OngoingPartitionReassignment {
        partition_index: i32, 0..;
        /// All, those to be added and removed included.
        replicas: Vec<i32>, 0..;
        adding_replicas: Vec<i32>, 0..;
        removing_replicas: Vec<i32>, 0..;
    }
}

impl Request for ListPartitionReassignmentsRequest {
    const KEY: ApiKey = ApiKey::ListPartitionReassignments;
    type Response = ListPartitionReassignmentsResponse;
}
