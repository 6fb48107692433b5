//! The leader's side: taking up an epoch, appending, and what is committed.

use thiserror::Error;

use super::{Advance, Counting, Partition, Position, Role, Sequence, SequenceError, Wait};
use crate::error_code::ErrorCode;
use crate::types::{BrokerId, CountedEnd, LeaderEpoch, LogEnd, Offset, PartitionEpoch, WallMs};
use crate::wire::batch::BatchHeader;

/// A partition as the controller has registered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Who leads, [`BrokerId::NONE`] if nobody can.
    pub leader: BrokerId,
    /// Raised with every new leader.
    pub leader_epoch: LeaderEpoch,
    /// Raised with every change.
    pub partition_epoch: PartitionEpoch,
    /// All replicas, in the order of the assignment.
    pub replicas: Vec<BrokerId>,
    /// Those in sync, a subset of `replicas`.
    pub isr: Vec<BrokerId>,
}

/// What a registration did.
#[must_use = "it says who has to be told"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Older than the one in force (R2): nothing changed.
    Stale,
    /// This replica leads a new epoch. The shell makes [`Partition::epochs`] durable, then calls
    /// [`Partition::start_serving`]; until then clients hear NOT_LEADER_OR_FOLLOWER. Who waits goes on
    /// waiting: the log is still the same.
    Elected {
        /// The log end, where the epoch starts.
        epoch_start: Offset,
        /// What is committed at once.
        advance: Advance,
    },
    /// This replica leads as before; other things changed.
    Updated(Advance),
    /// This replica does not lead, or may not because it has led this epoch before a restart. All who wait
    /// get NOT_LEADER_OR_FOLLOWER.
    NotLeading,
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
    /// Takes in a registration from the cluster's metadata.
    pub fn apply(&mut self, registration: &Registration) -> Applied {
        assert_possible(registration);
        let stale = self.registration.as_ref().is_some_and(|current| {
            registration.partition_epoch < current.partition_epoch
                || registration.leader_epoch < current.leader_epoch
        });
        if stale {
            return Applied::Stale;
        }
        let before = self.positions;
        let rises = registration.leader_epoch > self.leader_epoch();
        let leader_epoch = registration.leader_epoch;
        self.registration = Some(registration.clone());
        let led_before = leader_epoch <= self.epoch_before_restart;
        if self.role == Role::Failed {
            return Applied::NotLeading;
        }
        if registration.leader != self.config.broker_id || led_before {
            self.role = Role::Idle;
            return Applied::NotLeading;
        }
        if !rises {
            assert_ne!(self.role, Role::Idle, "a new leader has a new epoch: {registration:?}");
            return Applied::Updated(self.finish_step(before));
        }
        let epoch_start = self.positions.log_end.offset();
        let assigned = self.epochs.assign(leader_epoch, epoch_start);
        assert!(assigned, "epoch {leader_epoch} is above all known ones: {:?}", self.epochs);
        self.role = Role::Leader { epoch_start, serving: false };
        Applied::Elected { epoch_start, advance: self.finish_step(before) }
    }

    /// The epochs are durable up to `leader_epoch` (R1): the leader may serve. Says whether it does; not if
    /// the epoch has passed meanwhile.
    pub fn start_serving(&mut self, leader_epoch: LeaderEpoch) -> bool {
        let in_force = self.leader_epoch();
        match &mut self.role {
            Role::Leader { serving, .. } if leader_epoch == in_force => {
                *serving = true;
                true
            }
            _ => false,
        }
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
        match self.role {
            Role::Leader { serving: true, .. } => {}
            Role::Leader { serving: false, .. } | Role::Idle => return Err(AppendRefusal::NotLeader),
            Role::Failed => return Err(AppendRefusal::Storage),
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
        assert!(matches!(self.role, Role::Leader { serving: true, .. }), "append as {:?}", self.role);
        assert_eq!(header.partition_leader_epoch, self.leader_epoch(), "appended in another epoch");
        assert_eq!(header.base_offset, before.log_end.offset(), "appended elsewhere than prepared");
        self.producers.fold(header);
        self.positions.log_end = LogEnd(header.next_offset());
        if self.config.counting == Counting::WhenAppended {
            self.positions.counted_end = CountedEnd(header.next_offset());
        }
        self.finish_step(before)
    }

    /// A sync has ended that was issued in `leader_epoch`, when the log had this truncation generation, and
    /// covers everything up to `end`. `None` if it says nothing new.
    ///
    /// A sync of an earlier generation covers bytes that were since cut off, and is ignored. One of an
    /// earlier leader epoch and the same generation still tells the truth about this log, whose bytes only
    /// became more; and since the log will not sync them a second time, it must be heard.
    pub fn synced(
        &mut self,
        leader_epoch: LeaderEpoch,
        truncation_generation: u64,
        end: Offset,
    ) -> Option<Advance> {
        assert!(
            leader_epoch <= self.leader_epoch() && truncation_generation <= self.truncation_generation,
            "a sync from the future: epoch {leader_epoch}, generation {truncation_generation}"
        );
        if truncation_generation < self.truncation_generation
            || self.config.counting == Counting::WhenAppended
        {
            return None;
        }
        let before = self.positions;
        assert!(end <= before.log_end.offset(), "synced to {end}, the log ends at {}", before.log_end);
        // Syncs of several files may end in any order.
        if end <= before.counted_end.offset() {
            return None;
        }
        self.positions.counted_end = CountedEnd(end);
        Some(self.finish_step(before))
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

    /// The ISR in force, empty before the first registration.
    pub fn isr(&self) -> &[BrokerId] {
        self.registration.as_ref().map_or(&[], |registration| &registration.isr)
    }

    /// `min.insync.replicas`, but no more than there are replicas (R3).
    fn effective_min_isr(&self) -> usize {
        let replicas = self.registration.as_ref().map_or(0, |registration| registration.replicas.len());
        self.config.min_insync_replicas.min(replicas)
    }

    pub(super) fn is_under_min_isr(&self) -> bool {
        self.isr().len() < self.effective_min_isr()
    }

    /// As far as every member of the ISR has counted, if this replica leads and knows (R3). Below min ISR
    /// nothing more is committed (KAFKA-15583).
    pub(super) fn committed_end(&self) -> Option<Offset> {
        let leads = matches!(self.role, Role::Leader { .. });
        // Of its own counted end alone a leader knows; a follower in the ISR holds the high watermark.
        let alone = self.isr().iter().all(|&member| member == self.config.broker_id);
        (leads && alone && !self.is_under_min_isr()).then_some(self.positions.counted_end.offset())
    }
}

/// The controller's records are consistent in themselves; a node that reads otherwise must not go on.
fn assert_possible(registration: &Registration) {
    let Registration { leader, leader_epoch, partition_epoch, replicas, isr } = registration;
    assert!(leader_epoch.0 >= 0 && partition_epoch.0 >= 0, "{registration:?}");
    assert!(
        isr.iter().all(|member| replicas.contains(member)),
        "the ISR is not of the replicas: {registration:?}"
    );
    assert!(*leader == BrokerId::NONE || isr.contains(leader), "the leader is not in sync: {registration:?}");
}
