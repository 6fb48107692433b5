//! Cutting a log that has parted from its leader's.
//!
//! It takes three steps. The decision (from [`Partition::fetch_answered`] or [`Partition::fetch_out_of_range`])
//! puts the partition out of use. Then the shell cuts the log durably, folds the producers over what is left,
//! and hands both to [`Partition::truncated`], which moves the positions and the epochs. Nothing is appended
//! until the epochs are durable, too: else recovery would find records under an epoch that was cut.
//!
//! Only a log that is counted to its end is cut (it has just been fetched with), so that what is left counts.

use super::follower::{BadAnswer, FollowerFetch, Replication};
use super::{Advance, EpochCache, EpochEnd, Partition, Positions, ProducerTable, Role};
use crate::types::{CountedEnd, HighWatermark, LogEnd, LogStart, Offset};

/// Where a log is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truncation {
    /// Everything from this offset on goes, or from the beginning of the batch that contains it. The log may end
    /// there already: then only epochs without records go, the log itself is left alone.
    To(Offset),
    /// Everything goes, and the log begins anew, empty, at this offset.
    StartAt(Offset),
}

/// A log that was cut.
#[derive(Debug)]
pub struct TruncatedLog {
    /// Where it ends now.
    pub log_end: LogEnd,
    /// Its truncation generation now.
    pub generation: u64,
    /// The producers, as a fold over what is left.
    pub producers: ProducerTable,
}

impl Partition {
    /// The truncation under way, if there is one.
    pub fn truncating(&self) -> Option<Truncation> {
        self.truncating
    }

    /// The log was cut as decided, durably. The shell makes [`Self::epochs`] durable before it appends, and
    /// applies the latest registration once more.
    ///
    /// The high watermark is lowered only if the log ends before it now (F2).
    pub fn truncated(&mut self, log: TruncatedLog) -> Advance {
        let truncation = self.truncating.take().expect("a truncation was decided");
        let before = self.positions;
        let end = log.log_end.offset();
        assert!(log.generation >= self.truncation_generation, "truncation {} was before", log.generation);
        self.truncation_generation = log.generation;
        self.producers = log.producers;
        self.epochs_revision += 1;
        match truncation {
            Truncation::To(to) => {
                assert!(
                    end <= to && log.log_end <= before.log_end,
                    "cut to {end} instead of {to}: {before:?}"
                );
                // Even where the log is no shorter (KAFKA-10706).
                self.epochs.truncate_from_end(end);
                self.positions = before.cut_at(end);
            }
            Truncation::StartAt(start) => {
                assert_eq!(end, start, "a log that begins anew is empty");
                self.epochs = EpochCache::default();
                self.positions = before.moved_to(start);
            }
        }
        if let Role::Follower(following) = &mut self.role {
            following.forget_positions();
        }
        self.finish_truncation(before)
    }

    /// Where this log parts from the leader's: both agree up to the end that the epoch has in the log that has
    /// less of it. If this log lacks the leader's epoch, its next later one goes and the leader is asked again,
    /// with an earlier epoch (KIP-279).
    pub(super) fn truncate_where_parted(
        &mut self,
        request: &FollowerFetch,
        end: EpochEnd,
        leader_log_start: LogStart,
    ) -> Result<Replication, BadAnswer> {
        let FollowerFetch { last_fetched_epoch, fetch_offset, .. } = *request;
        let bad = BadAnswer::Divergence { last_fetched_epoch, fetch_offset, end };
        if end.epoch.0 < 0 || end.epoch > last_fetched_epoch || end.end_offset.0 < 0 {
            return Err(bad);
        }
        let log_end = self.positions.log_end;
        let to = match self.epochs.end_offset_for(end.epoch, log_end) {
            Some(here) if here.epoch == end.epoch => here.end_offset.min(end.end_offset),
            Some(here) => here.end_offset,
            None => end.end_offset,
        };
        // Whatever is cut, the next Fetch must say something else: or two replicas would argue for ever.
        let cuts_epoch = self.epochs.latest().is_some_and(|latest| latest.start_offset >= to);
        if to >= log_end.offset() && !cuts_epoch {
            return Err(bad);
        }
        self.truncate_to(to.min(log_end.offset()), leader_log_start)
    }

    /// What lies before the start of either log cannot be kept: then the replica starts where the leader does.
    pub(super) fn truncate_to(
        &mut self,
        to: Offset,
        leader_log_start: LogStart,
    ) -> Result<Replication, BadAnswer> {
        if to < self.positions.log_start.offset() || to < leader_log_start.offset() {
            return self.start_at(leader_log_start);
        }
        Ok(self.begin(Truncation::To(to), to < self.positions.high_watermark.offset()))
    }

    pub(super) fn start_at(&mut self, start: LogStart) -> Result<Replication, BadAnswer> {
        if start.offset() < Offset::ZERO {
            return Err(BadAnswer::LogStart(start));
        }
        let Positions { log_start, high_watermark, .. } = self.positions;
        // What the leader has deleted itself is no loss.
        let has_committed = log_start.offset() < high_watermark.offset();
        let below_high_watermark = has_committed && start.offset() < high_watermark.offset();
        Ok(self.begin(Truncation::StartAt(start.offset()), below_high_watermark))
    }

    fn begin(&mut self, truncation: Truncation, below_high_watermark: bool) -> Replication {
        self.truncating = Some(truncation);
        if let Role::Follower(following) = &mut self.role {
            following.within_batch = None;
        }
        Replication::Truncate { truncation, below_high_watermark }
    }
}

impl Positions {
    fn cut_at(&self, end: Offset) -> Self {
        Self {
            log_start: self.log_start.min(LogStart(end)),
            last_stable: self.last_stable,
            high_watermark: self.high_watermark.min(HighWatermark(end)),
            counted_end: self.counted_end.min(CountedEnd(end)),
            log_end: LogEnd(end),
        }
    }

    /// Those of an empty log. Everything before it is committed, and deleted.
    fn moved_to(&self, start: Offset) -> Self {
        Self {
            log_start: LogStart(start),
            last_stable: self.last_stable,
            high_watermark: HighWatermark(start),
            counted_end: CountedEnd(start),
            log_end: LogEnd(start),
        }
    }
}
