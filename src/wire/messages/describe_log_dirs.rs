//! DescribeLogDirs (key 35): what lies in the log directories of the broker asked (KIP-113).
//!
//! An error of the whole comes with version 3, the volumes' sizes (KIP-827) with 4, cordoned directories
//! (KIP-1066) with 5.

use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// What to describe.
    message DescribeLogDirsRequest, 1..=5, flexible 2.. {
        /// Null for all.
        topics: Option<Vec<DescribableLogDirTopic>>, 0.., default(Some(Vec::new()));
    }

    /// Partitions of one topic.
    struct DescribableLogDirTopic {
        topic: String, 0..;
        partitions: Vec<i32>, 0..;
    }

    /// What lies where.
    message DescribeLogDirsResponse, 1..=5, flexible 2.. {
        throttle_time_ms: i32, 0..;
        error_code: i16, 3.., ignorable;
        results: Vec<DescribeLogDirsResult>, 0..;
    }

    /// A directory.
    struct DescribeLogDirsResult {
        error_code: i16, 0..;
        /// Absolute.
        log_dir: String, 0..;
        topics: Vec<DescribeLogDirsTopic>, 0..;
        /// The size of its volume; -1 if unknown.
        total_bytes: i64, 4.., default(-1), ignorable;
        /// What is free of that; -1 if unknown.
        usable_bytes: i64, 4.., default(-1), ignorable;
        /// Whether it takes no new replicas.
        is_cordoned: bool, 5.., ignorable;
    }

    /// A topic with partitions in the directory.
    struct DescribeLogDirsTopic {
        name: String, 0..;
        partitions: Vec<DescribeLogDirsPartition>, 0..;
    }

    /// A replica.
    struct DescribeLogDirsPartition {
        partition_index: i32, 0..;
        /// Of its segments, in bytes.
        partition_size: i64, 0..;
        /// How far its log end is behind: the high watermark or, of a future replica, the current one's end.
        offset_lag: i64, 0..;
        /// Whether it is to take the place of the current replica in another directory.
        is_future_key: bool, 0..;
    }
}

impl Request for DescribeLogDirsRequest {
    const KEY: ApiKey = ApiKey::DescribeLogDirs;
    type Response = DescribeLogDirsResponse;
}
