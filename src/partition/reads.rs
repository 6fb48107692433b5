//! What may be read: by Fetch, ListOffsets and OffsetForLeaderEpoch.

use thiserror::Error;

use super::{EpochEnd, Partition, Position, Positions, Role, Wait};
use crate::error_code::ErrorCode;
use crate::types::{LeaderEpoch, LogEnd, LogStart, Offset};

/// How far a consumer looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Up to the high watermark.
    ReadUncommitted,
    /// Up to the last stable offset.
    ReadCommitted,
}

impl Isolation {
    /// The value of a request. Like Kafka, takes only 0 and 1.
    pub fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::ReadUncommitted),
            1 => Some(Self::ReadCommitted),
            _ => None,
        }
    }

    fn position(self) -> Position {
        match self {
            Self::ReadUncommitted => Position::HighWatermark,
            Self::ReadCommitted => Position::LastStable,
        }
    }
}

/// What a consumer's Fetch says of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadRequest {
    /// The leader epoch that the client believes in; [`LeaderEpoch::NONE`] if it does not say.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of the record before `fetch_offset`; [`LeaderEpoch::NONE`] if the client does not say.
    pub last_fetched_epoch: LeaderEpoch,
    /// Where to read.
    pub fetch_offset: Offset,
    /// How far.
    pub isolation: Isolation,
}

/// What may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadPlan {
    /// Batches that start at this offset or later are not read. Fixed here once: computed anew after an
    /// append it would be another one (KAFKA-9835).
    pub limit: Offset,
    /// Where the client's log parts from this one: there is nothing to read, the client truncates first (F1).
    pub diverging: Option<EpochEnd>,
    /// The positions that go into the response.
    pub positions: Positions,
    /// What to wait for if what is there is not enough: that `limit` moves.
    pub more: Wait,
}

/// Where offsets may be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetBounds {
    /// The leader epoch in force.
    pub leader_epoch: LeaderEpoch,
    /// The earliest offset.
    pub log_start: LogStart,
    /// The leader epoch of the record there; [`LeaderEpoch::NONE`] if it is not known.
    pub log_start_epoch: LeaderEpoch,
    limit: Offset,
    /// The high watermark has reached the start of the leader's epoch.
    settled: bool,
}

impl OffsetBounds {
    /// The end of what the client may see.
    ///
    /// # Errors
    ///
    /// [`ReadRefusal::OffsetNotAvailable`] while an earlier leader may have shown more (R7, KIP-207).
    pub fn latest(&self) -> Result<Offset, ReadRefusal> {
        if self.settled { Ok(self.limit) } else { Err(ReadRefusal::OffsetNotAvailable) }
    }

    /// What to answer when a look-up by timestamp found `found`: that, if the client may see it, else
    /// nothing.
    ///
    /// # Errors
    ///
    /// As [`Self::latest`], when an earlier leader may have shown what lies beyond.
    pub fn visible(&self, found: Option<Offset>) -> Result<Option<Offset>, ReadRefusal> {
        let seen = found.filter(|&offset| offset < self.limit);
        if seen.is_none() { self.latest().map(|_| None) } else { Ok(seen) }
    }
}

/// Why a partition is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReadRefusal {
    /// This replica does not lead, or not yet.
    #[error("this broker does not lead the partition")]
    NotLeader,
    /// The log had an IO error.
    #[error("the log of this replica has failed")]
    Storage,
    /// The client follows an earlier leader.
    #[error("leader epoch {requested} has been followed by {current}")]
    FencedLeaderEpoch {
        /// The client's.
        requested: LeaderEpoch,
        /// The one in force.
        current: LeaderEpoch,
    },
    /// The client knows of a later leader than this broker.
    #[error("leader epoch {requested} is not known yet, the latest is {current}")]
    UnknownLeaderEpoch {
        /// The client's.
        requested: LeaderEpoch,
        /// The one in force.
        current: LeaderEpoch,
    },
    /// There is no such offset, or nothing is known of the epoch before it.
    #[error("offset {requested} is not within {log_start} to {log_end}, or its epoch is not known")]
    OffsetOutOfRange {
        /// The offset asked for.
        requested: Offset,
        /// Where the log starts.
        log_start: LogStart,
        /// Where it ends.
        log_end: LogEnd,
    },
    /// The new leader does not know yet how much was committed.
    #[error("the high watermark has not reached the leader epoch's start")]
    OffsetNotAvailable,
}

impl ReadRefusal {
    /// What the client is told.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::NotLeader => ErrorCode::NotLeaderOrFollower,
            Self::Storage => ErrorCode::KafkaStorageError,
            Self::FencedLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
            Self::UnknownLeaderEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
            Self::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::OffsetNotAvailable => ErrorCode::OffsetNotAvailable,
        }
    }
}

impl Partition {
    /// Decides what a consumer's Fetch may read.
    ///
    /// An offset between the limit and the log end is not an error: there is nothing to read yet.
    ///
    /// # Errors
    ///
    /// [`ReadRefusal`], never `OffsetNotAvailable`.
    pub fn plan_read(&self, request: &ReadRequest) -> Result<ReadPlan, ReadRefusal> {
        self.check_reader(request.current_leader_epoch)?;
        let positions = self.positions;
        let Positions { log_start, log_end, .. } = positions;
        let fetch_offset = request.fetch_offset;
        let out_of_range = ReadRefusal::OffsetOutOfRange { requested: fetch_offset, log_start, log_end };
        // Below the log's start there is nothing to compare, whatever the epochs say (KAFKA-12996).
        if fetch_offset < log_start.offset() {
            return Err(out_of_range);
        }
        let diverging = self.diverging_epoch(request).ok_or(out_of_range)?;
        if diverging.is_none() && fetch_offset > log_end.offset() {
            return Err(out_of_range);
        }
        let position = request.isolation.position();
        let limit = positions.get(position);
        // Our own appends leave room for this step; only a log that is not ours can end at the last offset.
        let more = Wait { position, until: Offset(limit.0.saturating_add(1)) };
        Ok(ReadPlan { limit, diverging, positions, more })
    }

    /// Says where ListOffsets may look.
    ///
    /// # Errors
    ///
    /// [`ReadRefusal`] for who leads in which epoch.
    pub fn offset_bounds(
        &self,
        current_leader_epoch: LeaderEpoch,
        isolation: Isolation,
    ) -> Result<OffsetBounds, ReadRefusal> {
        let epoch_start = self.check_reader(current_leader_epoch)?;
        let log_start = self.positions.log_start;
        let first = self.epochs.entries().first().filter(|first| first.start_offset <= log_start.offset());
        Ok(OffsetBounds {
            leader_epoch: self.leader_epoch(),
            log_start,
            log_start_epoch: first.map_or(LeaderEpoch::NONE, |first| first.epoch),
            limit: self.positions.get(isolation.position()),
            settled: self.positions.high_watermark.offset() >= epoch_start,
        })
    }

    /// Where `requested` ends, for OffsetForLeaderEpoch; `None` if it is not known.
    ///
    /// # Errors
    ///
    /// [`ReadRefusal`] for who leads in which epoch.
    pub fn epoch_end(
        &self,
        current_leader_epoch: LeaderEpoch,
        requested: LeaderEpoch,
    ) -> Result<Option<EpochEnd>, ReadRefusal> {
        self.check_reader(current_leader_epoch)?;
        Ok(self.epochs.end_offset_for(requested, self.positions.log_end))
    }

    /// Whether the client and this replica mean the same leader, and it serves (KIP-320). Returns the start
    /// of its epoch.
    fn check_reader(&self, requested: LeaderEpoch) -> Result<Offset, ReadRefusal> {
        let current = self.leader_epoch();
        if self.role == Role::Failed {
            return Err(ReadRefusal::Storage);
        }
        // Like Kafka, a client with the wrong epoch is told so even by a broker that does not lead.
        if requested.0 >= 0 && requested < current {
            return Err(ReadRefusal::FencedLeaderEpoch { requested, current });
        }
        if requested.0 >= 0 && requested > current {
            return Err(ReadRefusal::UnknownLeaderEpoch { requested, current });
        }
        match self.role {
            Role::Leader { epoch_start, serving: true } => Ok(epoch_start),
            _ => Err(ReadRefusal::NotLeader),
        }
    }

    /// The end of the client's last epoch here, if its log goes on differently (F1). `None` outside if this
    /// replica knows nothing of that epoch.
    fn diverging_epoch(&self, request: &ReadRequest) -> Option<Option<EpochEnd>> {
        if request.last_fetched_epoch.0 < 0 {
            return Some(None);
        }
        let end = self.epochs.end_offset_for(request.last_fetched_epoch, self.positions.log_end)?;
        let diverges = end.epoch < request.last_fetched_epoch || end.end_offset < request.fetch_offset;
        Some(diverges.then_some(end))
    }
}
