//! AlterReplicaLogDirs (key 34): moves replicas to another log directory of the same broker (KIP-113).

use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// Where replicas shall live.
    message AlterReplicaLogDirsRequest, 1..=2, flexible 2.. {
        dirs: Vec<AlterReplicaLogDir>, 0..;
    }

    /// What shall live in one directory.
    struct AlterReplicaLogDir {
        /// Absolute.
        path: String, 0..;
        topics: Vec<AlterReplicaLogDirTopic>, 0..;
    }

    /// Partitions of one topic.
    struct AlterReplicaLogDirTopic {
        name: String, 0..;
        partitions: Vec<i32>, 0..;
    }

    /// What became of it.
    message AlterReplicaLogDirsResponse, 1..=2, flexible 2.. {
        throttle_time_ms: i32, 0..;
        results: Vec<AlterReplicaLogDirTopicResult>, 0..;
    }

    /// What became of one topic.
    struct AlterReplicaLogDirTopicResult {
        topic_name: String, 0..;
        partitions: Vec<AlterReplicaLogDirPartitionResult>, 0..;
    }

    /// What became of one partition.
    struct AlterReplicaLogDirPartitionResult {
        partition_index: i32, 0..;
        error_code: i16, 0..;
    }
}

impl Request for AlterReplicaLogDirsRequest {
    const KEY: ApiKey = ApiKey::AlterReplicaLogDirs;
    type Response = AlterReplicaLogDirsResponse;
}
