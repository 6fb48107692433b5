//! DeleteRecords (key 21): raises the log start of partitions.

use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// Where partitions shall begin.
    message DeleteRecordsRequest, 0..=2, flexible 2.. {
        topics: Vec<DeleteRecordsTopic>, 0..;
        /// How long the client waits for the answer, in milliseconds.
        timeout_ms: i32, 0..;
    }

    /// Where one topic's partitions shall begin.
    struct DeleteRecordsTopic {
        name: String, 0..;
        partitions: Vec<DeleteRecordsPartition>, 0..;
    }

    /// Where one partition shall begin.
    struct DeleteRecordsPartition {
        partition_index: i32, 0..;
        /// The new log start; -1 for the high watermark.
        offset: i64, 0..;
    }

    /// Where they begin now.
    message DeleteRecordsResponse, 0..=2, flexible 2.. {
        throttle_time_ms: i32, 0..;
        topics: Vec<DeleteRecordsTopicResult>, 0..;
    }

    /// Where one topic's partitions begin now.
    struct DeleteRecordsTopicResult {
        name: String, 0..;
        partitions: Vec<DeleteRecordsPartitionResult>, 0..;
    }

    /// Where one partition begins now.
    struct DeleteRecordsPartitionResult {
        partition_index: i32, 0..;
        /// The lowest log start among the replicas.
        low_watermark: i64, 0..;
        error_code: i16, 0..;
    }
}

impl Request for DeleteRecordsRequest {
    const KEY: ApiKey = ApiKey::DeleteRecords;
    type Response = DeleteRecordsResponse;
}
