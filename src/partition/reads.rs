//! What may be read: by a consumer's Fetch, ListOffsets and OffsetForLeaderEpoch.
//!
//! # Reading from a follower (KIP-392)
//!
//! A consumer that says so is served by a follower, too, up to the follower's own high watermark. That may lie
//! before the offset that the consumer has come to elsewhere:
//!
//! | the offset lies | answer |
//! |---|---|
//! | before the log start | OFFSET_OUT_OF_RANGE: the consumer asks the leader before it believes that |
//! | up to the high watermark | records, or a wait for more |
//! | up to the log end | a wait: whether they are committed is not known here yet |
//! | up to the leader's high watermark, as last heard | OFFSET_NOT_AVAILABLE: records are there, not here |
//! | beyond | OFFSET_OUT_OF_RANGE |
//!
//! What lies above its high watermark a follower may yet lose to its leader. So it tells a consumer where the
//! logs part only if that is below; else it says OFFSET_NOT_AVAILABLE, until it knows.

use thiserror::Error;

use super::{EpochEnd, Following, Partition, Position, Positions, Role, Wait};
use crate::error_code::ErrorCode;
use crate::types::{BrokerEpoch, BrokerId, LeaderEpoch, LogEnd, LogStart, Offset};

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
    /// Who may answer.
    pub from: ReadFrom,
}

/// Which replicas may serve a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// Only the leader.
    Leader,
    /// Followers as well.
    AnyReplica,
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
    /// What to wait for if what is there is not enough: that `limit` moves. A truncation of the replica makes
    /// reads stale, and the plan is drawn up anew.
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
    /// What is committed reaches further than this replica knows, or has: a new leader's high watermark is still
    /// before the start of its epoch (R7), or a follower is behind (KIP-392).
    #[error("this replica does not know yet how far the partition is committed")]
    OffsetNotAvailable,
    /// A broker follows that is not a replica, as far as this one knows.
    #[error("broker {0} is not known to be a replica")]
    UnknownReplica(BrokerId),
    /// A Fetch of an earlier run of the follower's broker (KIP-903).
    #[error("broker epoch {requested} has been followed by {current}")]
    StaleBrokerEpoch {
        /// That of the Fetch.
        requested: BrokerEpoch,
        /// The latest one known.
        current: BrokerEpoch,
    },
}

impl ReadRefusal {
    /// What the client is told.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::NotLeader | Self::StaleBrokerEpoch { .. } => ErrorCode::NotLeaderOrFollower,
            Self::Storage => ErrorCode::KafkaStorageError,
            Self::FencedLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
            // What makes a follower ask again.
            Self::UnknownLeaderEpoch { .. } | Self::UnknownReplica(_) => ErrorCode::UnknownLeaderEpoch,
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
    /// [`ReadRefusal`].
    pub fn plan_read(&self, request: &ReadRequest) -> Result<ReadPlan, ReadRefusal> {
        let diverging = match &self.role {
            Role::Follower(following) if request.from == ReadFrom::AnyReplica => {
                self.check_epoch(request.current_leader_epoch)?;
                self.check_follower_read(following, request)?
            }
            _ => {
                self.check_leader(request.current_leader_epoch)?;
                self.check_offset(request.last_fetched_epoch, request.fetch_offset)?
            }
        };
        let (positions, position) = (self.positions, request.isolation.position());
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
        let epoch_start = self.check_leader(current_leader_epoch)?;
        let settled = self.positions.high_watermark.offset() >= epoch_start;
        Ok(self.bounds(self.positions.get(isolation.position()), settled))
    }

    /// The same for those who may see the log to its end, whatever is committed: a follower that asks its leader,
    /// and whoever compares replicas, which may be any, even while nobody leads.
    ///
    /// # Errors
    ///
    /// [`ReadRefusal`] for who leads in which epoch.
    pub fn log_bounds(
        &self,
        current_leader_epoch: LeaderEpoch,
        from: ReadFrom,
    ) -> Result<OffsetBounds, ReadRefusal> {
        match from {
            ReadFrom::Leader => self.check_leader(current_leader_epoch).map(|_| ())?,
            ReadFrom::AnyReplica => self.check_epoch(current_leader_epoch)?,
        }
        Ok(self.bounds(self.positions.log_end.offset(), true))
    }

    fn bounds(&self, limit: Offset, settled: bool) -> OffsetBounds {
        let log_start = self.positions.log_start;
        OffsetBounds {
            leader_epoch: self.leader_epoch(),
            log_start,
            log_start_epoch: self.epochs.epoch_of(log_start.offset()).unwrap_or(LeaderEpoch::NONE),
            limit,
            settled,
        }
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
        self.check_leader(current_leader_epoch)?;
        Ok(self.epochs.end_offset_for(requested, self.positions.log_end))
    }

    /// Whether the client and this replica mean the same leader, and it serves (KIP-320). Returns the start
    /// of its epoch.
    pub(super) fn check_leader(&self, requested: LeaderEpoch) -> Result<Offset, ReadRefusal> {
        self.check_epoch(requested)?;
        match &self.role {
            Role::Leader(leading) if leading.serving => Ok(leading.epoch_start),
            _ => Err(ReadRefusal::NotLeader),
        }
    }

    /// Like Kafka, a client with the wrong epoch is told so even by a broker that does not lead.
    fn check_epoch(&self, requested: LeaderEpoch) -> Result<(), ReadRefusal> {
        let current = self.leader_epoch();
        if matches!(self.role, Role::Failed) {
            return Err(ReadRefusal::Storage);
        }
        if requested.0 >= 0 && requested < current {
            return Err(ReadRefusal::FencedLeaderEpoch { requested, current });
        }
        if requested.0 >= 0 && requested > current {
            return Err(ReadRefusal::UnknownLeaderEpoch { requested, current });
        }
        Ok(())
    }

    /// Whether the leader's log has such an offset, and whether it goes on there as the reader's does (F1):
    /// else where the two part.
    pub(super) fn check_offset(
        &self,
        last_fetched_epoch: LeaderEpoch,
        fetch_offset: Offset,
    ) -> Result<Option<EpochEnd>, ReadRefusal> {
        // Below the log's start there is nothing to compare, whatever the epochs say (KAFKA-12996).
        if fetch_offset < self.positions.log_start.offset() {
            return Err(self.out_of_range(fetch_offset));
        }
        let diverging = self.diverging_epoch(last_fetched_epoch, fetch_offset);
        let diverging = diverging.ok_or_else(|| self.out_of_range(fetch_offset))?;
        if diverging.is_none() && fetch_offset > self.positions.log_end.offset() {
            return Err(self.out_of_range(fetch_offset));
        }
        Ok(diverging)
    }

    /// The same at a follower; see the module's text.
    fn check_follower_read(
        &self,
        following: &Following,
        request: &ReadRequest,
    ) -> Result<Option<EpochEnd>, ReadRefusal> {
        let Positions { log_start, high_watermark, log_end, .. } = self.positions;
        let fetch_offset = request.fetch_offset;
        if self.truncating.is_some() {
            return Err(ReadRefusal::OffsetNotAvailable);
        }
        if fetch_offset < log_start.offset() {
            return Err(self.out_of_range(fetch_offset));
        }
        if fetch_offset > log_end.offset() {
            let elsewhere = fetch_offset <= following.leader_high_watermark().offset();
            return Err(if elsewhere {
                ReadRefusal::OffsetNotAvailable
            } else {
                self.out_of_range(fetch_offset)
            });
        }
        match self.diverging_epoch(request.last_fetched_epoch, fetch_offset) {
            Some(None) => Ok(None),
            Some(Some(end)) if end.end_offset <= high_watermark.offset() => Ok(Some(end)),
            _ => Err(ReadRefusal::OffsetNotAvailable),
        }
    }

    fn out_of_range(&self, requested: Offset) -> ReadRefusal {
        let Positions { log_start, log_end, .. } = self.positions;
        ReadRefusal::OffsetOutOfRange { requested, log_start, log_end }
    }

    /// The end of the reader's last epoch here, if its log goes on differently (F1). `None` outside if this
    /// replica knows nothing of that epoch.
    fn diverging_epoch(
        &self,
        last_fetched_epoch: LeaderEpoch,
        fetch_offset: Offset,
    ) -> Option<Option<EpochEnd>> {
        if last_fetched_epoch.0 < 0 {
            return Some(None);
        }
        let end = self.epochs.end_offset_for(last_fetched_epoch, self.positions.log_end)?;
        let diverges = end.epoch < last_fetched_epoch || end.end_offset < fetch_offset;
        Some(diverges.then_some(end))
    }
}
