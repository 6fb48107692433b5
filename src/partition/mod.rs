//! One replica of one partition: what it may append, what counts, what is committed, who waits.
//!
//! A [`Partition`] is a value that the shell owns together with the partition's log, behind one lock. It sees
//! the headers of batches, never payloads or files; it neither waits nor reads a clock. To append, under the
//! lock: [`Partition::prepare_append`], then the log's own append, then [`Partition::appended`]. Once a sync
//! has ended: [`Partition::synced`]. When the cluster's metadata changed: [`Partition::apply`]. Every step
//! that moves a position returns an [`Advance`], with which the shell releases its [`Waiters`].
//!
//! | role | where | steps |
//! |---|---|---|
//! | leader | `leader`, `followers`, `isr` | append; [`follower_fetch`]; [`check_isr`], [`alter_partition_answered`] |
//! | follower | `follower`, `truncation` | [`next_fetch`]; [`fetch_answered`], then [`replicated`] or [`truncated`] |
//! | any | `registration`, `reads`, `snapshot` | [`apply`](Partition::apply); [`synced`](Partition::synced); reads |
//!
//! [`follower_fetch`]: Partition::follower_fetch
//! [`check_isr`]: Partition::check_isr
//! [`alter_partition_answered`]: Partition::alter_partition_answered
//! [`next_fetch`]: Partition::next_fetch
//! [`fetch_answered`]: Partition::fetch_answered
//! [`replicated`]: Partition::replicated
//! [`truncated`]: Partition::truncated
//!
//! # For the shell
//!
//! Partition and log are under one lock, and nothing that waits happens while it is held.
//!
//! Any [`Advance`]: release waiters with `after`; with `under_min_isr`, fail those who still wait for the high
//! watermark; tell the log where it starts now.
//!
//! What [`apply`](Partition::apply) says:
//! - [`Applied::Elected`]: make [`Partition::epochs`] durable, then [`Partition::start_serving`]. Who waits goes
//!   on waiting. Fetch no more.
//! - [`Applied::Following`]: fail producers that wait, wake readers. With `restart`, begin to fetch anew.
//! - [`Applied::NotLeading`]: the same, and fetch no more.
//! - [`Applied::AfterTruncation`]: apply the latest registration once more after [`truncated`].
//!
//! To follow: send what [`next_fetch`] says; on `None` leave the partition out of the fetch session until
//! something moves. Of an answer, [`fetch_answered`] says:
//! - [`Replication::Append`]: append so many batches as they are, then [`replicated`]; sync, then
//!   [`Partition::synced`]. Only then does `next_fetch` go on.
//! - [`Replication::Truncate`]: lower the checkpoints of high watermark and recovery point that lie above; cut
//!   the log durably, and if it begins anew, save where; then [`truncated`]. Save the epochs before the next
//!   append.
//!
//! Of an error, [`Partition::fetch_refused`] says what follows; [`AfterError::AskForEnds`] means ListOffsets to
//! the leader, then [`Partition::fetch_out_of_range`].
//!
//! To lead: take in a follower's Fetch once with [`follower_fetch`]; while there is too little, wait for
//! `plan.more`, then plan again with [`Partition::plan_follower_read`]. The log is read without the lock. Call
//! [`check_isr`] every half `replica.lag.time.max.ms`. An [`AlterPartition`] from either is sent, and kept for
//! [`alter_partition_answered`]; on [`AlterOutcome::Resend`], or if no answer comes, send
//! [`Partition::resend_alter`] after a pause.
//!
//! An IO error: [`Partition::fail_storage`], and KAFKA_STORAGE_ERROR for all who wait.
//!
//! # Positions
//!
//! `log start <= high watermark <= counted end <= log end`, last stable offset <= high watermark. All are
//! ends: the first offset not covered. It is asserted after each step, and no step but a truncation moves one
//! back.
//!
//! | effect | waits for |
//! |---|---|
//! | a batch may be read by this replica itself | log end |
//! | answer to acks=0 | nothing |
//! | answer to acks=1 | the leader's counted end behind the batch |
//! | answer to acks=all | high watermark behind the batch |
//! | answer to a batch sent again | the same, behind the batch that was sent first |
//! | a consumer sees a record | high watermark; with read_committed, last stable offset |
//! | the first append or read of a new leader epoch | the epoch and its start are durable (R1) |
//! | the log start may rise | high watermark (KAFKA-5634) |
//! | a follower is sent a record | log end: nothing |
//! | a follower's next Fetch, whose offset says what it holds | the follower's counted end at its log end |
//!
//! *Counted* is durable in a topic that syncs ([`Counting::WhenSynced`]), else appended. So where a topic
//! syncs, acks=1 survives the leader's loss of power, and acks=all that of every replica at once: the high
//! watermark is the least counted end in the ISR, and whoever leads next was in it. Below
//! `min.insync.replicas` the high watermark stands still whatever the acks (R3, KIP-966): what a consumer was
//! shown counts on at least that many replicas, and is in every later leader that is elected cleanly.
//!
//! A follower is sent what its leader has not counted yet: both sync at the same time, and the leader's own
//! counted end is one of those that the high watermark is the least of. If the leader loses what the follower
//! has, then it was not committed, and the leader's next epoch starts before it: the follower truncates.
//!
//! # Epochs
//!
//! An epoch is led once. A replica that restarts may have lost the end of what it wrote, while others have
//! read it; appending in the same epoch again would give one (epoch, offset) to two records. Hence a leader's
//! epoch is durable before it serves, and a registration that names an epoch of before the restart is not
//! acted on: the controller raises the epoch when the broker registers.
//!
//! # Truncation
//!
//! A follower cuts its log only where the leader's epochs show that the two have parted (F1, KIP-101), never to
//! its own high watermark. What lies below the high watermark of a replica stays, save for what the guarantee
//! leaves out: an unclean election; a page-cache topic of which more replicas lost power than it survives; a
//! permanent loss of more disks than that. Then the outcome says so, and the high watermark is lowered.

mod epochs;
mod follower;
mod followers;
mod isr;
mod leader;
mod producers;
mod reads;
mod registration;
mod selection;
mod snapshot;
mod truncation;
mod waiters;

pub use epochs::{EpochCache, EpochEnd, EpochEntry, InvalidEpochs};
pub use follower::{AfterError, BadAnswer, FetchAnswer, FollowerFetch, Replication};
pub use followers::{FollowerRead, ReplicaFetch};
pub use isr::{AlterOutcome, AlterPartition, AlteredPartition, IsrMember};
pub use leader::{Acks, AppendRefusal, Prepared};
pub use producers::{
    InvalidSnapshot, ProducerTable, REMEMBERED_BATCHES, RememberedBatch, Sequence, SequenceError,
    SnapshotEntry,
};
pub use reads::{Isolation, OffsetBounds, ReadFrom, ReadPlan, ReadRefusal, ReadRequest};
pub use registration::{Applied, BrokerState, Brokers, Registration};
pub use snapshot::{Lag, PartitionSnapshot, ReplicaState, RoleName};
pub use truncation::{TruncatedLog, Truncation};
pub use waiters::{Position, Wait, WaiterId, Waiters};

use std::time::Duration;

use thiserror::Error;

use crate::error_code::ErrorCode;
use crate::types::{
    BrokerId, CountedEnd, HighWatermark, LastStable, LeaderEpoch, LogEnd, LogStart, Offset, WallMs,
};

use follower::Following;
use leader::Leading;

/// The positions of one replica, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positions {
    /// `<= high_watermark`
    pub log_start: LogStart,
    /// `>= log_start`, `<= high_watermark`
    pub last_stable: LastStable,
    /// `<= counted_end`
    pub high_watermark: HighWatermark,
    /// `<= log_end`
    pub counted_end: CountedEnd,
    /// At least all the others.
    pub log_end: LogEnd,
}

impl Positions {
    /// The bare offset of one that can be waited for.
    pub fn get(&self, position: Position) -> Offset {
        match position {
            Position::CountedEnd => self.counted_end.offset(),
            Position::HighWatermark => self.high_watermark.offset(),
            Position::LastStable => self.last_stable.offset(),
            Position::LogEnd => self.log_end.offset(),
        }
    }

    fn assert_ordered(&self) {
        let Self { log_start, last_stable, high_watermark, counted_end, log_end } = *self;
        let ordered = log_start.offset() <= last_stable.offset()
            && last_stable.offset() <= high_watermark.offset()
            && high_watermark.offset() <= counted_end.offset()
            && counted_end.offset() <= log_end.offset();
        assert!(log_start.offset() >= Offset::ZERO && ordered, "positions out of order: {self:?}");
    }

    fn assert_not_before(&self, earlier: &Self) {
        let risen = self.log_start >= earlier.log_start
            && self.last_stable >= earlier.last_stable
            && self.high_watermark >= earlier.high_watermark
            && self.counted_end >= earlier.counted_end
            && self.log_end >= earlier.log_end;
        assert!(risen, "a position moved back: {earlier:?} to {self:?}");
    }
}

/// What one step moved. The shell releases its waiters with `after`.
#[must_use = "waiters are released by what a step moved"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// The leader epoch in force.
    pub leader_epoch: LeaderEpoch,
    /// The positions before the step.
    pub before: Positions,
    /// The positions after the step.
    pub after: Positions,
    /// This replica leads, and the maximal ISR is below min ISR: the high watermark stands still. Those who
    /// wait for it with acks=all and are not released by `after` get NOT_ENOUGH_REPLICAS_AFTER_APPEND (R6).
    ///
    /// Kafka since 4.2 lets them run into their timeout instead, which tells the producer less, and later.
    pub under_min_isr: bool,
}

impl Advance {
    /// Whether any position moved.
    pub fn moved(&self) -> bool {
        self.before != self.after
    }
}

/// When an appended record counts: the topic's `flush.messages`, fixed when the topic is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// Once it is durable: `flush.messages=1`.
    WhenSynced,
    /// At once: any larger value.
    WhenAppended,
}

/// What a partition knows from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionConfig {
    /// The broker that this replica is on.
    pub broker_id: BrokerId,
    /// When records count.
    pub counting: Counting,
    /// The topic's `min.insync.replicas`, at least 1. In force is at most the number of replicas.
    pub min_insync_replicas: usize,
    /// `replica.lag.time.max.ms`: how long a follower may be behind before it leaves the ISR.
    pub replica_lag_time_max: Duration,
}

/// What the log and the checkpoints of a replica say when it is opened.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// The log's first offset.
    pub log_start: LogStart,
    /// The end of what is surely on disk.
    pub durable_end: Offset,
    /// The log's end.
    pub log_end: LogEnd,
    /// The high watermark of the checkpoint, zero without one. It is clipped to what there is.
    pub high_watermark: HighWatermark,
    /// The log's truncation generation.
    pub truncation_generation: u64,
    /// The epochs, from the checkpoint and the batches behind it.
    pub epochs: EpochCache,
    /// The producers, folded up to the log's end.
    pub producers: ProducerTable,
}

/// The log start cannot be raised beyond what is committed, nor be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the log cannot start at {requested}, the high watermark is {high_watermark}")]
pub struct LogStartOutOfRange {
    /// The offset asked for.
    pub requested: Offset,
    /// The last offset that it could be.
    pub high_watermark: HighWatermark,
}

impl LogStartOutOfRange {
    /// What the client is told.
    pub fn error_code(&self) -> ErrorCode {
        ErrorCode::OffsetOutOfRange
    }
}

/// One replica of one partition.
#[derive(Debug)]
pub struct Partition {
    config: PartitionConfig,
    positions: Positions,
    truncation_generation: u64,
    /// The truncation under way.
    truncating: Option<Truncation>,
    epochs: EpochCache,
    epochs_revision: u64,
    producers: ProducerTable,
    /// The latest epoch that the log knew when it was opened: none up to there is led again.
    epoch_before_restart: LeaderEpoch,
    registration: Option<Registration>,
    role: Role,
}

#[derive(Debug)]
enum Role {
    /// Neither leads nor follows, or may not.
    Idle,
    /// Leads the registration's epoch.
    Leader(Leading),
    /// Follows in the registration's epoch.
    Follower(Following),
    /// The log failed. Final: after an IO error nothing is tried again (KAFKA-10778).
    Failed,
}

impl Partition {
    /// A replica whose log was just opened. It serves nothing until a registration makes it leader.
    pub fn open(config: PartitionConfig, recovered: Recovered) -> Self {
        let Recovered { log_start, durable_end, log_end, .. } = recovered;
        assert!(config.min_insync_replicas >= 1, "{config:?}");
        assert!(
            log_start.offset() <= durable_end && durable_end <= log_end.offset(),
            "a log from {log_start} to {log_end} cannot be durable up to {durable_end}"
        );
        let counted_end = match config.counting {
            Counting::WhenSynced => durable_end,
            Counting::WhenAppended => log_end.offset(),
        };
        let high_watermark = recovered.high_watermark.offset().clamp(log_start.offset(), counted_end);
        let epoch_before_restart = recovered.epochs.latest().map_or(LeaderEpoch::NONE, |latest| latest.epoch);
        let mut epochs = recovered.epochs;
        epochs.fit(log_start, log_end);
        let mut partition = Self {
            config,
            positions: Positions {
                log_start,
                last_stable: LastStable(log_start.offset()),
                high_watermark: HighWatermark(high_watermark),
                counted_end: CountedEnd(counted_end),
                log_end,
            },
            truncation_generation: recovered.truncation_generation,
            truncating: None,
            epochs,
            epochs_revision: 0,
            producers: recovered.producers,
            epoch_before_restart,
            registration: None,
            role: Role::Idle,
        };
        partition.positions.last_stable = partition.last_stable();
        partition.positions.assert_ordered();
        partition
    }

    /// All positions, read once: whoever needs two of them takes them from one call (KAFKA-9807).
    pub fn positions(&self) -> Positions {
        self.positions
    }

    /// The leader epoch of the registration in force, [`LeaderEpoch::NONE`] before the first.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.registration.as_ref().map_or(LeaderEpoch::NONE, |registration| registration.leader_epoch)
    }

    /// The epochs, for the checkpoint.
    pub fn epochs(&self) -> &EpochCache {
        &self.epochs
    }

    /// Raised whenever [`Self::epochs`] change. What was saved must not be behind when an epoch is served for the
    /// first time (R1), when the first batch behind a truncation is appended, and when a producer snapshot is
    /// written, be it at a roll or at a clean stop: recovery folds the log from there only.
    pub fn epochs_revision(&self) -> u64 {
        self.epochs_revision
    }

    /// The producers, for a snapshot.
    pub fn producers(&self) -> &ProducerTable {
        &self.producers
    }

    /// Forgets producers that have been idle for `producer.id.expiration.ms`. Says how many.
    pub fn expire_producers(&mut self, now: WallMs, expiration: Duration) -> usize {
        self.producers.expire(now, expiration)
    }

    /// The topic's `min.insync.replicas` was altered.
    pub fn set_min_insync_replicas(&mut self, min_insync_replicas: usize) -> Advance {
        assert!(min_insync_replicas >= 1, "min.insync.replicas is at least 1");
        let before = self.positions;
        self.config.min_insync_replicas = min_insync_replicas;
        self.finish_step(before)
    }

    /// Raises the log start, for DeleteRecords or retention. An offset at or below the present start changes
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`LogStartOutOfRange`] for an offset above the high watermark (KAFKA-5634).
    pub fn raise_log_start(&mut self, to: Offset) -> Result<Advance, LogStartOutOfRange> {
        let before = self.positions;
        if to < Offset::ZERO || to > before.high_watermark.offset() {
            let high_watermark = before.high_watermark;
            return Err(LogStartOutOfRange { requested: to, high_watermark });
        }
        self.move_log_start(to);
        Ok(self.finish_step(before))
    }

    /// A sync has ended that was issued in `leader_epoch`, when the log had this truncation generation, and
    /// covers everything up to `end`. `None` if it says nothing new.
    ///
    /// A sync of an earlier generation covers bytes that were since cut off, and is ignored; so is one that
    /// ends while the log is being cut. One of an earlier leader epoch and the same generation still tells the
    /// truth about this log, whose bytes only became more; and since the log will not sync them a second time,
    /// it must be heard.
    pub fn synced(
        &mut self,
        leader_epoch: LeaderEpoch,
        truncation_generation: u64,
        end: Offset,
    ) -> Option<Advance> {
        // A log that is cut was counted to its end before.
        if self.truncating.is_some() {
            return None;
        }
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

    /// The log had an IO error. From now on everything is refused with KAFKA_STORAGE_ERROR, which is also the
    /// answer to all who wait.
    pub fn fail_storage(&mut self) {
        self.role = Role::Failed;
    }

    /// The broker that this replica is on.
    pub fn broker_id(&self) -> BrokerId {
        self.config.broker_id
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

    fn move_log_start(&mut self, to: Offset) {
        self.positions.log_start = self.positions.log_start.max(LogStart(to));
    }

    /// Draws the consequences of what a step changed, and checks its outcome.
    fn finish_step(&mut self, before: Positions) -> Advance {
        let advance = self.finish_truncation(before);
        advance.after.assert_not_before(&before);
        advance
    }

    /// The same for a step that may move positions back.
    fn finish_truncation(&mut self, before: Positions) -> Advance {
        if let Some(committed) = self.committed_end().or_else(|| self.committed_here()) {
            self.positions.high_watermark = self.positions.high_watermark.max(HighWatermark(committed));
        }
        if let Role::Follower(following) = &self.role {
            let leaders = following.leader_log_start.offset();
            self.move_log_start(leaders.min(self.positions.high_watermark.offset()));
        }
        self.positions.last_stable = self.last_stable();
        self.positions.assert_ordered();
        Advance {
            leader_epoch: self.leader_epoch(),
            before,
            after: self.positions,
            under_min_isr: self.is_under_min_isr(),
        }
    }

    /// Up to the first transaction that is still open, as far as it is committed.
    fn last_stable(&self) -> LastStable {
        let high_watermark = self.positions.high_watermark.offset();
        let stable =
            self.producers.first_undecided().map_or(high_watermark, |first| first.min(high_watermark));
        LastStable(stable.max(self.positions.log_start.offset()))
    }
}

#[cfg(test)]
mod tests;
