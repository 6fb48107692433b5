//! The log as the quorum sees it: positions and epochs, no bytes.
//!
//! `start <= durable end <= end`. Before the first record of a log that begins with a snapshot stands that
//! snapshot; a log that begins at offset 0 has epoch 0 before its first record, which nobody ever leads.

use std::collections::BTreeSet;

use super::snapshot::SnapshotId;
use crate::partition::EpochCache;
use crate::types::{LeaderEpoch, LogEnd, LogStart, Offset};

/// The epoch before the first record of a log.
pub(super) const PRIMORDIAL: LeaderEpoch = LeaderEpoch(0);

/// An epoch, and where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EndOfEpoch {
    pub(super) epoch: LeaderEpoch,
    pub(super) end: Offset,
}

/// What a follower's position is to the leader's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lineage {
    /// It is a prefix of it.
    Prefix,
    /// It left it here at the latest.
    Diverging(EndOfEpoch),
    /// The log no longer says: fetch this snapshot.
    Snapshot(SnapshotId),
}

/// The positions of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogView {
    start: Offset,
    end: Offset,
    durable_end: Offset,
    epochs: EpochCache,
    snapshots: BTreeSet<SnapshotId>,
}

impl LogView {
    /// The log as it was recovered. `snapshots` are those that are whole and durable, without the one that
    /// was written when the directory was formatted (its id is 0-0).
    pub fn new(
        start: Offset,
        end: Offset,
        durable_end: Offset,
        epochs: EpochCache,
        snapshots: impl IntoIterator<Item = SnapshotId>,
    ) -> Self {
        let snapshots: BTreeSet<SnapshotId> =
            snapshots.into_iter().filter(|id| id.end > Offset::ZERO).collect();
        let view = Self { start, end, durable_end, epochs, snapshots };
        view.check();
        assert!(
            view.start == Offset::ZERO || view.latest_snapshot().is_some_and(|id| id.end >= start),
            "a log that begins at {start} needs a snapshot"
        );
        view
    }

    /// The log of a node that was just formatted.
    pub fn empty() -> Self {
        Self::new(Offset::ZERO, Offset::ZERO, Offset::ZERO, EpochCache::default(), [])
    }

    /// The first offset.
    pub fn start(&self) -> Offset {
        self.start
    }

    /// The offset that the next record gets.
    pub fn end(&self) -> Offset {
        self.end
    }

    /// The end of what survives a loss of power.
    pub fn durable_end(&self) -> Offset {
        self.durable_end
    }

    /// The epochs.
    pub fn epochs(&self) -> &EpochCache {
        &self.epochs
    }

    /// The latest snapshot.
    pub fn latest_snapshot(&self) -> Option<SnapshotId> {
        self.snapshots.last().copied()
    }

    /// The epoch of the last record.
    pub fn last_epoch(&self) -> LeaderEpoch {
        self.epoch_before(self.end).unwrap_or(PRIMORDIAL)
    }

    /// The snapshot that a recovered log has to give way to, if any: the latest one, if the log neither holds
    /// nor begins with what is in it. A crash came after a snapshot of the leader's was there, and before the
    /// log was replaced by it.
    pub fn superseded_by(
        start: Offset,
        end: Offset,
        epochs: &EpochCache,
        snapshots: impl IntoIterator<Item = SnapshotId>,
    ) -> Option<SnapshotId> {
        let latest = snapshots.into_iter().max_by_key(|id| id.end)?;
        let holds =
            start < latest.end && latest.end <= end && epoch_in(epochs, latest.end) == Some(latest.epoch);
        (latest.end > start && !holds).then_some(latest)
    }

    /// Whether the log holds, or begins with, exactly what the snapshot holds.
    pub fn contains(&self, id: SnapshotId) -> bool {
        self.start <= id.end && id.end <= self.end && self.epoch_before(id.end) == Some(id.epoch)
    }

    /// The epoch of the record before `end`.
    pub(super) fn epoch_before(&self, end: Offset) -> Option<LeaderEpoch> {
        // What stands before the log, only a snapshot says; what stands in it, the log.
        match self.snapshots.iter().find(|id| id.end == end) {
            Some(id) if end <= self.start => Some(id.epoch),
            _ => epoch_in(&self.epochs, end),
        }
    }

    fn earliest_snapshot(&self) -> Option<SnapshotId> {
        self.snapshots.first().copied()
    }

    /// What `offset`, with a record of `epoch` before it, is to this log.
    pub(super) fn lineage(&self, offset: Offset, epoch: LeaderEpoch) -> Lineage {
        if offset == Offset::ZERO {
            // A snapshot brings a node that has nothing up to date faster than the log does.
            return self.latest_snapshot().map_or(Lineage::Prefix, Lineage::Snapshot);
        }
        let gone = |earliest: SnapshotId| {
            offset < self.start || (offset == self.start && epoch != earliest.epoch) || epoch < earliest.epoch
        };
        if self.earliest_snapshot().is_some_and(gone) {
            return Lineage::Snapshot(self.latest_snapshot().expect("there is an earliest"));
        }
        let ours = self.end_of(epoch);
        if ours.epoch == epoch && offset <= ours.end { Lineage::Prefix } else { Lineage::Diverging(ours) }
    }

    /// Where to truncate this log, whose leader says that `theirs` is the last that both have in common, at
    /// the most.
    pub(super) fn common_end(&self, theirs: EndOfEpoch) -> Offset {
        if theirs.epoch == PRIMORDIAL {
            return theirs.end.min(self.end);
        }
        let ours = self.end_of(theirs.epoch);
        if ours.epoch == theirs.epoch { ours.end.min(theirs.end) } else { ours.end }
    }

    /// The end of the largest epoch of this log that is not above `epoch`.
    fn end_of(&self, epoch: LeaderEpoch) -> EndOfEpoch {
        let Some(known) = self.epochs.end_offset_for(epoch, LogEnd(self.end)) else {
            return EndOfEpoch { epoch: self.last_epoch(), end: self.end };
        };
        match self.earliest_snapshot() {
            // The epoch lies below all that the log holds: what it ends with is the snapshot.
            Some(earliest) if earliest.end == known.end_offset && known.epoch == epoch => {
                EndOfEpoch { epoch: earliest.epoch, end: earliest.end }
            }
            _ => EndOfEpoch { epoch: known.epoch, end: known.end_offset },
        }
    }

    pub(super) fn append(&mut self, base: Offset, end: Offset, epoch: LeaderEpoch) {
        assert!(
            base == self.end && end > base,
            "a batch {base}..{end} follows a log that ends at {}",
            self.end
        );
        assert!(epoch >= self.last_epoch(), "epoch {epoch} follows {}", self.last_epoch());
        // After a snapshot its epoch may go on, and is not yet known here.
        if self.epochs.latest().is_none_or(|latest| latest.epoch < epoch) {
            self.epochs.assign(epoch, base);
        }
        self.end = end;
    }

    pub(super) fn made_durable(&mut self, end: Offset) {
        assert!(end <= self.end, "durable up to {end} in a log that ends at {}", self.end);
        self.durable_end = self.durable_end.max(end);
    }

    pub(super) fn truncate(&mut self, end: Offset) {
        assert!(self.start <= end && end <= self.end, "truncate {}..{} to {end}", self.start, self.end);
        self.epochs.truncate_from_end(end);
        self.end = end;
        self.durable_end = self.durable_end.min(end);
        self.check();
    }

    pub(super) fn add_snapshot(&mut self, id: SnapshotId) {
        assert!(self.contains(id), "snapshot {id} is not of this log: {self:?}");
        self.snapshots.insert(id);
    }

    pub(super) fn raise_start(&mut self, start: Offset) {
        assert!(
            self.start <= start && self.snapshots.iter().any(|id| id.end == start),
            "no snapshot ends where the log is to begin: {start}"
        );
        self.start = start;
        self.epochs.truncate_from_start(LogStart(start));
        self.snapshots.retain(|id| id.end >= start);
        self.check();
    }

    /// Replaces the log by a snapshot.
    pub(super) fn replace(&mut self, id: SnapshotId) {
        *self = Self::new(id.end, id.end, id.end, EpochCache::default(), [id]);
    }

    fn check(&self) {
        assert!(self.start <= self.durable_end && self.durable_end <= self.end, "{self:?}");
        assert!(self.latest_snapshot().is_none_or(|id| self.contains(id)), "{self:?}");
    }
}

/// The epoch of the record before `end`, where that lies in the log.
fn epoch_in(epochs: &EpochCache, end: Offset) -> Option<LeaderEpoch> {
    epochs.epoch_of(Offset(end.0 - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(end: i64, epoch: i32) -> SnapshotId {
        SnapshotId { epoch: LeaderEpoch(epoch), end: Offset(end) }
    }

    fn log(batches: &[(i64, i32)]) -> LogView {
        let mut log = LogView::empty();
        for &(end, epoch) in batches {
            log.append(log.end(), Offset(end), LeaderEpoch(epoch));
        }
        log.made_durable(log.end());
        log
    }

    fn diverging(end: i64, epoch: i32) -> Lineage {
        Lineage::Diverging(EndOfEpoch { epoch: LeaderEpoch(epoch), end: Offset(end) })
    }

    #[test]
    fn a_position_is_a_prefix_or_leaves_the_log_somewhere() {
        let log = log(&[(10, 1), (20, 3), (25, 3)]);
        for (offset, epoch, expected) in [
            (0, 0, Lineage::Prefix),
            (5, 1, Lineage::Prefix),
            (10, 1, Lineage::Prefix),
            (25, 3, Lineage::Prefix),
            (11, 1, diverging(10, 1)),
            (12, 2, diverging(10, 1)),
            (26, 3, diverging(25, 3)),
            (7, 4, diverging(25, 3)),
        ] {
            assert_eq!(log.lineage(Offset(offset), LeaderEpoch(epoch)), expected, "{offset} {epoch}");
        }
    }

    #[test]
    fn a_follower_truncates_to_what_both_have() {
        let log = log(&[(10, 1), (20, 3)]);
        for (end, epoch, expected) in
            [(10, 1, 10), (8, 1, 8), (12, 2, 10), (15, 3, 15), (5, 0, 5), (40, 7, 20)]
        {
            let theirs = EndOfEpoch { epoch: LeaderEpoch(epoch), end: Offset(end) };
            assert_eq!(log.common_end(theirs), Offset(expected), "{end} {epoch}");
        }
    }

    #[test]
    fn kafka_14240_what_lies_before_the_log_is_in_a_snapshot() {
        let mut log = log(&[(10, 1), (20, 3), (30, 4)]);
        log.add_snapshot(id(10, 1));
        log.add_snapshot(id(20, 3));
        assert_eq!(
            log.lineage(Offset(0), LeaderEpoch(0)),
            Lineage::Snapshot(id(20, 3)),
            "faster than the log"
        );
        assert_eq!(log.lineage(Offset(10), LeaderEpoch(1)), Lineage::Prefix);
        log.raise_start(Offset(20));
        for (offset, epoch, expected) in [
            (10, 1, Lineage::Snapshot(id(20, 3))),
            (20, 3, Lineage::Prefix),
            (20, 2, Lineage::Snapshot(id(20, 3))),
            (25, 2, Lineage::Snapshot(id(20, 3))),
            (25, 3, diverging(20, 3)),
            (30, 4, Lineage::Prefix),
        ] {
            assert_eq!(log.lineage(Offset(offset), LeaderEpoch(epoch)), expected, "{offset} {epoch}");
        }
    }

    #[test]
    fn a_log_that_a_snapshot_replaced_ends_with_its_epoch() {
        let mut log = log(&[(10, 1)]);
        log.replace(id(50, 3));
        assert_eq!((log.start(), log.end(), log.durable_end()), (Offset(50), Offset(50), Offset(50)));
        assert_eq!(log.last_epoch(), LeaderEpoch(3));
        assert!(log.contains(id(50, 3)));
        assert!(!log.contains(id(50, 4)));
        assert_eq!(log.lineage(Offset(50), LeaderEpoch(3)), Lineage::Prefix);
        log.append(Offset(50), Offset(51), LeaderEpoch(3));
        assert_eq!(log.last_epoch(), LeaderEpoch(3), "the snapshot's epoch goes on");
        assert_eq!(log.lineage(Offset(51), LeaderEpoch(3)), Lineage::Prefix);
        log.append(Offset(51), Offset(52), LeaderEpoch(5));
        assert_eq!(log.last_epoch(), LeaderEpoch(5));
        log.truncate(Offset(50));
        assert_eq!(log.last_epoch(), LeaderEpoch(3));
    }

    #[test]
    fn a_recovered_log_gives_way_to_a_snapshot_that_is_not_of_it() {
        let log = log(&[(10, 1), (20, 3)]);
        let (start, end, epochs) = (log.start(), log.end(), log.epochs());
        let superseded = |ids: &[SnapshotId]| LogView::superseded_by(start, end, epochs, ids.iter().copied());
        assert_eq!(superseded(&[]), None);
        assert_eq!(superseded(&[id(10, 1), id(20, 3)]), None);
        assert_eq!(superseded(&[id(10, 1), id(15, 2)]), Some(id(15, 2)), "another record stands there");
        assert_eq!(superseded(&[id(10, 1), id(21, 3)]), Some(id(21, 3)), "the log ends before");
        let begins_with_it = LogView::superseded_by(end, end, &EpochCache::default(), [id(20, 3)]);
        assert_eq!(begins_with_it, None, "it has given way already");
    }

    #[test]
    #[should_panic(expected = "needs a snapshot")]
    fn kafka_14238_a_log_never_begins_without_its_snapshot() {
        let _ = LogView::new(Offset(5), Offset(9), Offset(9), EpochCache::default(), []);
    }
}
