//! DescribeTopicPartitions (key 75): partitions with their ELR, page by page (KIP-966).

use crate::types::Uuid;
use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// Topics to describe.
    message DescribeTopicPartitionsRequest, 0..=0, flexible 0.. {
        /// Empty for all.
        topics: Vec<TopicRequest>, 0..;
        response_partition_limit: i32, 0.., default(2_000);
        cursor: Option<Cursor>, 0..;
    }

    /// A topic to describe.
    struct TopicRequest {
        name: String, 0..;
    }

    /// Where a page begins.
    struct Cursor {
        topic_name: String, 0..;
        partition_index: i32, 0..;
    }

    /// A page of partitions.
    message DescribeTopicPartitionsResponse, 0..=0, flexible 0.. {
        throttle_time_ms: i32, 0.., ignorable;
        topics: Vec<DescribeTopicPartitionsResponseTopic>, 0..;
        /// Where the next page begins; null if this was the last.
        next_cursor: Option<Cursor>, 0..;
    }

    /// A topic.
    struct DescribeTopicPartitionsResponseTopic {
        error_code: i16, 0..;
        name: Option<String>, 0.., default(Some(String::new()));
        topic_id: Uuid, 0.., ignorable;
        is_internal: bool, 0.., ignorable;
        partitions: Vec<DescribeTopicPartitionsResponsePartition>, 0..;
        /// A bit per operation; the default says that nobody asked.
        topic_authorized_operations: i32, 0.., default(i32::MIN);
    }

    /// A partition.
    struct DescribeTopicPartitionsResponsePartition {
        error_code: i16, 0..;
        partition_index: i32, 0..;
        leader_id: i32, 0..;
        leader_epoch: i32, 0.., default(-1), ignorable;
        replica_nodes: Vec<i32>, 0..;
        isr_nodes: Vec<i32>, 0..;
        /// The ELR: replicas out of sync that still hold everything committed.
        eligible_leader_replicas: Option<Vec<i32>>, 0..;
        last_known_elr: Option<Vec<i32>>, 0..;
        offline_replicas: Vec<i32>, 0.., ignorable;
    }
}

impl Request for DescribeTopicPartitionsRequest {
    const KEY: ApiKey = ApiKey::DescribeTopicPartitions;
    type Response = DescribeTopicPartitionsResponse;
}
