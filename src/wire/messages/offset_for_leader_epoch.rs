//! OffsetForLeaderEpoch (key 23): where a leader epoch ends in the leader's log (KIP-101, KIP-320).
//!
//! Whoever asks truncates to the smaller of that end and its own. `replica_id` comes with version 3; who
//! cannot say it may see beyond the high watermark.

use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// Epochs to look up.
    message OffsetForLeaderEpochRequest, 2..=4, flexible 4.. {
        /// -1 for a consumer; -2 for one that may see beyond the high watermark.
        replica_id: i32, 3.., default(-2), ignorable;
        topics: Vec<OffsetForLeaderTopic>, 0..;
    }

    /// Epochs of one topic's partitions.
    struct OffsetForLeaderTopic {
        topic: String, 0..;
        partitions: Vec<OffsetForLeaderPartition>, 0..;
    }

    /// An epoch of one partition.
    struct OffsetForLeaderPartition {
        partition: i32, 0..;
        /// What the asker takes for the current epoch, for fencing; -1 to not be fenced.
        current_leader_epoch: i32, 2.., default(-1), ignorable;
        /// The epoch to look up.
        leader_epoch: i32, 0..;
    }

    /// Where they end.
    message OffsetForLeaderEpochResponse, 2..=4, flexible 4.. {
        throttle_time_ms: i32, 2.., ignorable;
        topics: Vec<OffsetForLeaderTopicResult>, 0..;
    }

    /// Where epochs of one topic's partitions end.
    struct OffsetForLeaderTopicResult {
        topic: String, 0..;
        partitions: Vec<EpochEndOffset>, 0..;
    }

    /// Where an epoch of one partition ends.
    struct EpochEndOffset {
        error_code: i16, 0..;
        partition: i32, 0..;
        /// The greatest epoch known that is not above the one asked for; -1 if there is none.
        leader_epoch: i32, 1.., default(-1), ignorable;
        /// Where that epoch ends, exclusive; -1 if unknown.
        end_offset: i64, 0.., default(-1);
    }
}

impl Request for OffsetForLeaderEpochRequest {
    const KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
    type Response = OffsetForLeaderEpochResponse;
}
