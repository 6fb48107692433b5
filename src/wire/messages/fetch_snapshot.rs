//! FetchSnapshot (key 59): a piece of a snapshot of the metadata log (KIP-630).
//!
//! A follower whose log ends before the leader's begins asks for the snapshot that Fetch names, piece by
//! piece. A piece may begin and end within a batch. Directory ids and endpoints (KIP-853) come with version
//! 1. Kafka calls the parts of the response `TopicSnapshot` and `PartitionSnapshot` too.

use crate::types::Uuid;
use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};
use bytes::Bytes;

declare! {
    /// Which pieces to read.
    message FetchSnapshotRequest, 0..=1, flexible 0.. {
        cluster_id: Option<String>, 0.., tag(0);
        /// Who reads.
        replica_id: i32, 0.., default(-1);
        /// Of all pieces together.
        max_bytes: i32, 0.., default(i32::MAX);
        topics: Vec<TopicSnapshot>, 0..;
    }

    /// Pieces of one topic's snapshots.
    struct TopicSnapshot {
        name: String, 0..;
        partitions: Vec<PartitionSnapshot>, 0..;
    }

    /// A piece of one partition's snapshot.
    struct PartitionSnapshot {
        partition: i32, 0..;
        /// For fencing; -1 if unknown.
        current_leader_epoch: i32, 0..;
        snapshot_id: SnapshotId, 0..;
        /// Where the piece begins, in bytes.
        position: i64, 0..;
        replica_directory_id: Uuid, 1.., tag(0), ignorable;
    }

    /// A snapshot.
    struct SnapshotId {
        /// The first offset that it does not contain.
        end_offset: i64, 0..;
        /// The epoch of the last record that it contains.
        epoch: i32, 0..;
    }

    /// What was read.
    message FetchSnapshotResponse, 0..=1, flexible 0.. {
        throttle_time_ms: i32, 0.., ignorable;
        error_code: i16, 0..;
        topics: Vec<TopicSnapshotResult>, 0..;
        /// The endpoints of all `current_leader`s.
        node_endpoints: Vec<NodeEndpoint>, 1.., tag(0);
    }

    /// What was read of one topic.
    struct TopicSnapshotResult {
        name: String, 0..;
        partitions: Vec<PartitionSnapshotResult>, 0..;
    }

    /// What was read of one snapshot.
    struct PartitionSnapshotResult {
        index: i32, 0..;
        error_code: i16, 0..;
        snapshot_id: SnapshotId, 0..;
        /// The leader to turn to instead.
        current_leader: LeaderIdAndEpoch, 0.., tag(0);
        /// Of the whole snapshot, in bytes.
        size: i64, 0..;
        /// Where the piece begins, in bytes.
        position: i64, 0..;
        /// The piece.
        unaligned_records: Bytes, 0..;
    }

    /// A leader.
    struct LeaderIdAndEpoch {
        /// -1 if there is none.
        leader_id: i32, 0..;
        leader_epoch: i32, 0..;
    }

    /// Where a leader named in the response listens.
    struct NodeEndpoint {
        node_id: i32, 1..;
        host: String, 1..;
        port: u16, 1..;
    }
}

impl Request for FetchSnapshotRequest {
    const KEY: ApiKey = ApiKey::FetchSnapshot;
    type Response = FetchSnapshotResponse;
}
