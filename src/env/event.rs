//! What a node tells whoever watches it.

use std::sync::Arc;

use crate::controller::Image;
use crate::types::{
    BrokerId, CountedEnd, HighWatermark, LeaderEpoch, LogEnd, LogStart, Offset, PartitionKey,
};

/// Something that happened inside a node. On the real runtime it feeds metrics or nothing; in the simulator
/// it feeds the oracles. Emitting one changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A replica opened its log: after recovery, before it serves.
    ReplicaOpened {
        /// Which partition.
        partition: PartitionKey,
        /// Where its log starts.
        log_start: LogStart,
        /// The high watermark it begins with.
        high_watermark: HighWatermark,
        /// Where its log ends.
        log_end: LogEnd,
    },
    /// A broker became leader of a partition.
    LeaderElected {
        /// Which partition.
        partition: PartitionKey,
        /// Who leads.
        leader: BrokerId,
        /// In which epoch.
        leader_epoch: LeaderEpoch,
        /// The log end at that moment: the start offset of the epoch.
        epoch_start: Offset,
    },
    /// One or more of a replica's positions moved.
    PositionsMoved {
        /// Which partition.
        partition: PartitionKey,
        /// The leader epoch in which it moved.
        leader_epoch: LeaderEpoch,
        /// All four positions, after the move.
        log_start: LogStart,
        /// See [`HighWatermark`].
        high_watermark: HighWatermark,
        /// See [`CountedEnd`].
        counted_end: CountedEnd,
        /// See [`LogEnd`].
        log_end: LogEnd,
    },
    /// A replica appended a batch, as leader or as follower.
    BatchAppended {
        /// Which partition.
        partition: PartitionKey,
        /// The leader epoch that the batch carries.
        batch_epoch: LeaderEpoch,
        /// Its first offset.
        base_offset: Offset,
        /// The offset behind its last.
        end: Offset,
        /// Its checksum.
        crc: u32,
    },
    /// A replica learnt who is in sync.
    IsrTaken {
        /// Which partition.
        partition: PartitionKey,
        /// In which leader epoch.
        leader_epoch: LeaderEpoch,
        /// Who is.
        isr: Vec<BrokerId>,
    },
    /// A replica cut its log.
    LogTruncated {
        /// Which partition.
        partition: PartitionKey,
        /// The log's end before.
        from: LogEnd,
        /// The log's end after.
        to: LogEnd,
    },
    /// A node knows that more of the metadata log is committed.
    MetadataCommitted {
        /// The end of what is.
        end: Offset,
        /// The epoch of the quorum.
        epoch: LeaderEpoch,
        /// What it comes to.
        image: Arc<Image>,
    },
    /// A node leads the quorum, and its controller is active.
    ControllerActive {
        /// The epoch of the quorum.
        epoch: LeaderEpoch,
    },
    /// A log directory failed and went offline.
    DirectoryOffline {
        /// Its path.
        directory: String,
        /// Why.
        reason: String,
    },
}
