//! Produce (key 0): appends batches to partitions.
//!
//! Up to version 12 topics are named, from 13 on they are identified (KIP-516). The response names the
//! leader that the client should turn to instead (KIP-951) from version 10 on.

use crate::types::Uuid;
use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};
use bytes::Bytes;

declare! {
    /// Batches to append.
    message ProduceRequest, 3..=13, flexible 9.. {
        transactional_id: Option<String>, 3..;
        /// 0: no answer wanted; 1: once the leader counts it; -1: once the whole ISR does.
        acks: i16, 0..;
        /// How long to wait for the ISR, in milliseconds.
        timeout_ms: i32, 0..;
        topic_data: Vec<TopicProduceData>, 0..;
    }

    /// Batches for one topic.
    struct TopicProduceData {
        name: String, 0..=12, ignorable;
        topic_id: Uuid, 13.., ignorable;
        partition_data: Vec<PartitionProduceData>, 0..;
    }

    /// Batches for one partition.
    struct PartitionProduceData {
        index: i32, 0..;
        /// One record batch, exactly as stored.
        records: Option<Bytes>, 0..;
    }

    /// What became of them.
    message ProduceResponse, 3..=13, flexible 9.. {
        responses: Vec<TopicProduceResponse>, 0..;
        throttle_time_ms: i32, 1.., ignorable;
        /// The endpoints of all `current_leader`s.
        node_endpoints: Vec<NodeEndpoint>, 10.., tag(0);
    }

    /// The answers for one topic.
    struct TopicProduceResponse {
        name: String, 0..=12, ignorable;
        topic_id: Uuid, 13.., ignorable;
        partition_responses: Vec<PartitionProduceResponse>, 0..;
    }

    /// Where a leader named in the response listens.
    struct NodeEndpoint {
        node_id: i32, 10..;
        host: String, 10..;
        port: i32, 10..;
        rack: Option<String>, 10..;
    }

    /// The answer for one partition.
    struct PartitionProduceResponse {
        index: i32, 0..;
        error_code: i16, 0..;
        /// The offset that the first record got.
        base_offset: i64, 0..;
        /// The timestamp of the append where the topic says LogAppendTime, else -1.
        log_append_time_ms: i64, 2.., default(-1), ignorable;
        log_start_offset: i64, 5.., default(-1), ignorable;
        record_errors: Vec<BatchIndexAndErrorMessage>, 8.., ignorable;
        error_message: Option<String>, 8.., ignorable;
        current_leader: LeaderIdAndEpoch, 10.., tag(0);
    }

    /// A record that caused its batch to be refused (KIP-467).
    struct BatchIndexAndErrorMessage {
        /// The record's place in its batch.
        batch_index: i32, 8..;
        batch_index_error_message: Option<String>, 8..;
    }

    /// The leader to turn to instead.
    struct LeaderIdAndEpoch {
        leader_id: i32, 10.., default(-1);
        leader_epoch: i32, 10.., default(-1);
    }
}

impl Request for ProduceRequest {
    const KEY: ApiKey = ApiKey::Produce;
    type Response = ProduceResponse;
}
