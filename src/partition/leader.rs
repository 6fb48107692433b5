//! The leader's side: serving an epoch, appending, and what answers wait for.

use std::collections::BTreeMap;

use thiserror::Error;

use super::followers::FollowerState;
use super::isr::Pending;
use super::{
    Advance, Brokers, Counting, Partition, Position, Registration, Role, Sequence, SequenceError, Wait,
};
use crate::error_code::ErrorCode;
use crate::types::{BrokerId, CountedEnd, LeaderEpoch, LogEnd, Mono, Offset, WallMs};
use crate::wire::batch::BatchHeader;

/// What a replica knows while it leads.
#[derive(Debug)]
pub(super) struct Leading {
    /// The log end when the epoch began.
    pub(super) epoch_start: Offset,
    /// The epoch is durable: appends and reads are allowed.
    pub(super) serving: bool,
    /// The other replicas.
    pub(super) followers: BTreeMap<BrokerId, FollowerState>,
    /// What the controller was asked for and has not answered.
    pub(super) pending: Option<Pending>,
    /// How often it was asked in this epoch.
    pub(super) asked: u64,
    /// The latest time that a call has told. Steps that tell none go by it: that makes a follower look less
    /// late than it is, and holds the high watermark for it a little longer, never too short.
    pub(super) now: Mono,
}

impl Leading {
    /// At the beginning of an epoch nothing is known of the followers: what they had in an earlier one they may
    /// have lost since. Those in the ISR have `replica.lag.time.max.ms` from now on to catch up.
    pub(super) fn new(
        registration: &Registration,
        epoch_start: Offset,
        brokers: &Brokers,
        now: Mono,
    ) -> Self {
        let followers = BTreeMap::new();
        let mut leading = Self { epoch_start, serving: false, followers, pending: None, asked: 0, now };
        leading.update(registration);
        for (id, follower) in &mut leading.followers {
            if registration.isr.contains(id) {
                follower.given_time_from(now);
            }
        }
        leading.learn(brokers, now);
        leading
    }

    /// Takes in a change within the epoch.
    pub(super) fn update(&mut self, registration: &Registration) {
        let Registration { leader, replicas, .. } = registration;
        self.followers.retain(|id, _| replicas.contains(id));
        for &id in replicas.iter().filter(|id| *id != leader) {
            self.followers.entry(id).or_default();
        }
        self.pending = None;
    }

    /// Takes in what the metadata says of the followers' brokers, and the time.
    pub(super) fn learn(&mut self, brokers: &Brokers, now: Mono) {
        self.now = self.now.max(now);
        for (id, follower) in &mut self.followers {
            follower.learn(brokers.get(id));
        }
    }
}

/// What a producer asks to be told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// 0: nothing; there is no answer at all.
    None,
    /// 1: the leader's record counts.
    Leader,
    /// -1: the record is committed.
    All,
}

impl Acks {
    /// The value of a Produce request; `None` is INVALID_REQUIRED_ACKS.
    pub fn from_code(code: i16) -> Option<Self> {
        match code {
            0 => Some(Self::None),
            1 => Some(Self::Leader),
            -1 => Some(Self::All),
            _ => None,
        }
    }
}

/// What is to be done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    /// It is stamped with these and appended.
    Append {
        /// The offset of its first record.
        base_offset: Offset,
        /// The epoch that it is appended in.
        leader_epoch: LeaderEpoch,
    },
    /// It is in the log already. The answer names the first copy and waits for that one's position.
    Duplicate {
        /// The first copy's offset.
        base_offset: Offset,
        /// The first copy's largest timestamp, which Kafka answers as the log append time of a duplicate
        /// whatever the topic's timestamp type.
        log_append_time: WallMs,
        /// The end of the first copy, for [`Partition::wait_for`].
        wait_for: Offset,
    },
}

/// Why a batch is not appended. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AppendRefusal {
    /// This replica does not lead, or not yet.
    #[error("this broker does not lead the partition")]
    NotLeader,
    /// The log had an IO error.
    #[error("the log of this replica has failed")]
    Storage,
    /// As many wait for acknowledgements as may.
    #[error("too many records wait to be acknowledged")]
    Crowded,
    /// acks=all, and too few replicas are in sync (R6).
    #[error("{isr} replicas are in sync, min.insync.replicas asks for {min_isr}")]
    NotEnoughReplicas {
        /// Replicas in the ISR.
        isr: usize,
        /// The min ISR in force.
        min_isr: usize,
    },
    /// Not the producer's turn.
    #[error(transparent)]
    Sequence(#[from] SequenceError),
    /// A header that validation should have refused.
    #[error("a batch cannot end {0} offsets after it starts")]
    InvalidOffsets(i32),
    /// The partition has no offsets left.
    #[error("a batch of {last_offset_delta} offsets after its first does not fit behind offset {log_end}")]
    OffsetsExhausted {
        /// Where the log ends.
        log_end: LogEnd,
        /// The batch's last offset less its first.
        last_offset_delta: i32,
    },
}

impl AppendRefusal {
    /// What the client is told.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::NotLeader => ErrorCode::NotLeaderOrFollower,
            Self::Storage => ErrorCode::KafkaStorageError,
            // What tells a producer to wait and send it again.
            Self::Crowded => ErrorCode::RequestTimedOut,
            Self::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
            Self::Sequence(error) => error.error_code(),
            Self::InvalidOffsets(_) => ErrorCode::InvalidRecord,
            Self::OffsetsExhausted { .. } => ErrorCode::UnknownServerError,
        }
    }
}

impl Partition {
    /// The epochs are durable up to `leader_epoch` (R1): the leader may serve. Says whether it does; not if
    /// the epoch has passed meanwhile.
    pub fn start_serving(&mut self, leader_epoch: LeaderEpoch) -> bool {
        let in_force = self.leader_epoch();
        match &mut self.role {
            Role::Leader(leading) if leader_epoch == in_force => {
                leading.serving = true;
                true
            }
            _ => false,
        }
    }

    /// Whether this replica leads an epoch that it may not serve yet (R1).
    pub fn awaits_epoch(&self) -> bool {
        matches!(&self.role, Role::Leader(leading) if !leading.serving)
    }

    /// Decides about one batch, whose payload was validated. Changes nothing, so that a failed append leaves
    /// no trace (KAFKA-6683); the shell keeps the lock until [`Self::appended`].
    ///
    /// Transactional batches and control batches are not for this path.
    ///
    /// # Errors
    ///
    /// [`AppendRefusal`].
    pub fn prepare_append(&self, header: &BatchHeader, acks: Acks) -> Result<Prepared, AppendRefusal> {
        match &self.role {
            Role::Leader(leading) if leading.serving => {}
            Role::Failed => return Err(AppendRefusal::Storage),
            _ => return Err(AppendRefusal::NotLeader),
        }
        let (isr, min_isr) = (self.isr().len(), self.effective_min_isr());
        if acks == Acks::All && isr < min_isr {
            return Err(AppendRefusal::NotEnoughReplicas { isr, min_isr });
        }
        let (log_end, last_offset_delta) = (self.positions.log_end, header.last_offset_delta);
        if last_offset_delta < 0 {
            return Err(AppendRefusal::InvalidOffsets(last_offset_delta));
        }
        if let Sequence::Duplicate(first) = self.producers.check(header)? {
            return Ok(Prepared::Duplicate {
                base_offset: first.base_offset(),
                log_append_time: first.timestamp,
                wait_for: first.last_offset.next(),
            });
        }
        // The new end must be an offset too, and so must the one after it, which a reader waits for.
        if i64::MAX - log_end.offset().0 <= i64::from(last_offset_delta) + 1 {
            return Err(AppendRefusal::OffsetsExhausted { log_end, last_offset_delta });
        }
        Ok(Prepared::Append { base_offset: log_end.offset(), leader_epoch: self.leader_epoch() })
    }

    /// The log has appended a batch that was prepared; `header` is the stamped one.
    pub fn appended(&mut self, header: &BatchHeader) -> Advance {
        let before = self.positions;
        let serving = matches!(&self.role, Role::Leader(leading) if leading.serving);
        assert!(serving, "append as {:?}", self.role);
        assert_eq!(header.partition_leader_epoch, self.leader_epoch(), "appended in another epoch");
        assert_eq!(header.base_offset, before.log_end.offset(), "appended elsewhere than prepared");
        self.producers.fold(header);
        self.positions.log_end = LogEnd(header.next_offset());
        if self.config.counting == Counting::WhenAppended {
            self.positions.counted_end = CountedEnd(header.next_offset());
        }
        self.finish_step(before)
    }

    /// What the answer to a batch that ends at `end` waits for; `None` if nothing, or nothing any more.
    pub fn wait_for(&self, acks: Acks, end: Offset) -> Option<Wait> {
        let position = match acks {
            Acks::None => return None,
            Acks::Leader => Position::CountedEnd,
            Acks::All => Position::HighWatermark,
        };
        let wait = Wait { position, until: end };
        (!wait.is_over(&self.positions)).then_some(wait)
    }
}
