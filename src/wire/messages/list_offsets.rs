//! ListOffsets (key 2): finds offsets by timestamp, or by what is special about them.
//!
//! Special timestamps: -1 latest, -2 earliest, -3 the record of the greatest timestamp (version 7), -4
//! earliest local (8), -5 latest tiered (9), -6 earliest not yet tiered (11).

use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// What to find.
    message ListOffsetsRequest, 1..=11, flexible 6.. {
        /// -1 for a consumer.
        replica_id: i32, 0..;
        /// 0: read_uncommitted; 1: read_committed, where the latest is the last stable offset.
        isolation_level: i8, 2..;
        topics: Vec<ListOffsetsTopic>, 0..;
        /// How long tiered storage may take, in milliseconds.
        timeout_ms: i32, 10.., ignorable;
    }

    /// What to find in one topic.
    struct ListOffsetsTopic {
        name: String, 0..;
        partitions: Vec<ListOffsetsPartition>, 0..;
    }

    /// What to find in one partition.
    struct ListOffsetsPartition {
        partition_index: i32, 0..;
        current_leader_epoch: i32, 4.., default(-1), ignorable;
        /// Milliseconds since the epoch, or a special value below zero.
        timestamp: i64, 0..;
    }

    /// What was found.
    message ListOffsetsResponse, 1..=11, flexible 6.. {
        throttle_time_ms: i32, 2.., ignorable;
        topics: Vec<ListOffsetsTopicResponse>, 0..;
    }

    /// What was found in one topic.
    struct ListOffsetsTopicResponse {
        name: String, 0..;
        partitions: Vec<ListOffsetsPartitionResponse>, 0..;
    }

    /// What was found in one partition.
    struct ListOffsetsPartitionResponse {
        partition_index: i32, 0..;
        error_code: i16, 0..;
        /// Of the record found; -1 for special values and where nothing was found.
        timestamp: i64, 1.., default(-1);
        offset: i64, 1.., default(-1);
        leader_epoch: i32, 4.., default(-1);
    }
}

impl Request for ListOffsetsRequest {
    const KEY: ApiKey = ApiKey::ListOffsets;
    type Response = ListOffsetsResponse;
}
