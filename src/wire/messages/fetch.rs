//! Fetch (key 1): reads batches, for consumers and for following replicas.
//!
//! Sessions (KIP-227) come with version 7, fencing by leader epoch (KIP-320) with 9, divergence with 12,
//! topic ids with 13, replica epochs (KIP-903) with 15, directory ids (KIP-853) with 17, the follower's high
//! watermark (KIP-1166) with 18.

use crate::types::Uuid;
use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};
use bytes::Bytes;

declare! {
    /// Partitions to read from.
    message FetchRequest, 4..=18, flexible 12.. {
        cluster_id: Option<String>, 12.., tag(0), ignorable;
        /// The fetching replica, -1 for a consumer. From version 15 on in `replica_state`.
        replica_id: i32, 0..=14, default(-1);
        replica_state: ReplicaState, 15.., tag(1);
        max_wait_ms: i32, 0..;
        min_bytes: i32, 0..;
        /// Of the whole response; the first batch is returned whatever its size.
        max_bytes: i32, 3.., default(i32::MAX), ignorable;
        /// 0: read_uncommitted; 1: read_committed.
        isolation_level: i8, 4.., ignorable;
        session_id: i32, 7.., ignorable;
        /// -1: no session; 0: open one; else the next in the session.
        session_epoch: i32, 7.., default(-1), ignorable;
        topics: Vec<FetchTopic>, 0..;
        forgotten_topics_data: Vec<ForgottenTopic>, 7..;
        rack_id: String, 11.., ignorable;
    }

    /// Who the fetching replica is.
    struct ReplicaState {
        replica_id: i32, 15.., default(-1);
        replica_epoch: i64, 15.., default(-1);
    }

    /// Partitions of one topic to read from.
    struct FetchTopic {
        topic: String, 0..=12, ignorable;
        topic_id: Uuid, 13.., ignorable;
        partitions: Vec<FetchPartition>, 0..;
    }

    /// Partitions of one topic to drop from the session.
    struct ForgottenTopic {
        topic: String, 7..=12, ignorable;
        topic_id: Uuid, 13.., ignorable;
        partitions: Vec<i32>, 7..;
    }

    /// Where and how much to read in one partition.
    struct FetchPartition {
        partition: i32, 0..;
        current_leader_epoch: i32, 9.., default(-1), ignorable;
        fetch_offset: i64, 0..;
        /// The leader epoch of the last record fetched, for detecting divergence.
        last_fetched_epoch: i32, 12.., default(-1);
        /// The follower's; -1 from a consumer.
        log_start_offset: i64, 5.., default(-1), ignorable;
        partition_max_bytes: i32, 0..;
        replica_directory_id: Uuid, 17.., tag(0), ignorable;
        /// The follower's; -1 if it knows none, the default if it does not say.
        high_watermark: i64, 18.., default(i64::MAX), tag(1), ignorable;
    }

    /// What was read.
    message FetchResponse, 4..=18, flexible 12.. {
        throttle_time_ms: i32, 1.., ignorable;
        error_code: i16, 7.., ignorable;
        session_id: i32, 7..;
        responses: Vec<FetchableTopicResponse>, 0..;
        /// The endpoints of all `current_leader`s.
        node_endpoints: Vec<NodeEndpoint>, 16.., tag(0);
    }

    /// What was read from one topic.
    struct FetchableTopicResponse {
        topic: String, 0..=12, ignorable;
        topic_id: Uuid, 13.., ignorable;
        partitions: Vec<PartitionData>, 0..;
    }

    /// Where a leader named in the response listens.
    struct NodeEndpoint {
        node_id: i32, 16..;
        host: String, 16..;
        port: i32, 16..;
        rack: Option<String>, 16..;
    }

    /// What was read from one partition.
    struct PartitionData {
        partition_index: i32, 0..;
        error_code: i16, 0..;
        high_watermark: i64, 0..;
        last_stable_offset: i64, 4.., default(-1), ignorable;
        log_start_offset: i64, 5.., default(-1), ignorable;
        /// Set if the follower's log diverges: truncate to here and fetch again.
        diverging_epoch: EpochEndOffset, 12.., tag(0);
        current_leader: LeaderIdAndEpoch, 12.., tag(1);
        snapshot_id: SnapshotId, 12.., tag(2);
        aborted_transactions: Option<Vec<AbortedTransaction>>, 4.., default(Some(Vec::new())), ignorable;
        /// The replica that a consumer should fetch from, -1 for the leader.
        preferred_read_replica: i32, 11.., default(-1);
        /// Whole batches. Kafka's schema defaults to null, which librdkafka does not bear (KAFKA-18646).
        records: Option<Bytes>, 0.., default(Some(Bytes::new()));
    }

    /// The end of a leader epoch in the leader's log.
    struct EpochEndOffset {
        epoch: i32, 12.., default(-1);
        end_offset: i64, 12.., default(-1);
    }

    /// The leader to turn to instead.
    struct LeaderIdAndEpoch {
        leader_id: i32, 12.., default(-1);
        leader_epoch: i32, 12.., default(-1);
    }

    /// The snapshot to fetch instead.
    struct SnapshotId {
        end_offset: i64, 0.., default(-1);
        epoch: i32, 0.., default(-1);
    }

    /// A transaction whose records a read_committed consumer must drop.
    struct AbortedTransaction {
        producer_id: i64, 4..;
        first_offset: i64, 4..;
    }
}

impl Request for FetchRequest {
    const KEY: ApiKey = ApiKey::Fetch;
    type Response = FetchResponse;
}
