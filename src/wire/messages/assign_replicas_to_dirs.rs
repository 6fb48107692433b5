//! AssignReplicasToDirs (key 73): a broker tells the controller in which directories its replicas live
//! (KIP-858).
//!
//! Kafka calls the parts of the response `DirectoryData`, `TopicData` and `PartitionData` too.

use crate::types::Uuid;
use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// What lives where.
    message AssignReplicasToDirsRequest, 0..=0, flexible 0.. {
        broker_id: i32, 0..;
        broker_epoch: i64, 0.., default(-1);
        directories: Vec<DirectoryData>, 0..;
    }

    /// What lives in one directory.
    struct DirectoryData {
        id: Uuid, 0..;
        topics: Vec<TopicData>, 0..;
    }

    /// Partitions of one topic.
    struct TopicData {
        topic_id: Uuid, 0..;
        partitions: Vec<PartitionData>, 0..;
    }

    /// A partition.
    struct PartitionData {
        partition_index: i32, 0..;
    }

    /// What became of it.
    message AssignReplicasToDirsResponse, 0..=0, flexible 0.. {
        throttle_time_ms: i32, 0..;
        error_code: i16, 0..;
        directories: Vec<DirectoryResult>, 0..;
    }

    /// What became of one directory.
    struct DirectoryResult {
        id: Uuid, 0..;
        topics: Vec<TopicResult>, 0..;
    }

    /// What became of one topic.
    struct TopicResult {
        topic_id: Uuid, 0..;
        partitions: Vec<PartitionResult>, 0..;
    }

    /// What became of one partition.
    struct PartitionResult {
        partition_index: i32, 0..;
        error_code: i16, 0..;
    }
}

impl Request for AssignReplicasToDirsRequest {
    const KEY: ApiKey = ApiKey::AssignReplicasToDirs;
    type Response = AssignReplicasToDirsResponse;
}
