//! Which leader epoch began at which offset.
//!
//! A leader appends (its epoch, its log end) before it serves (R1), so that the lineage of every offset is
//! known even where an epoch has no record (KAFKA-7415). Two logs agree up to the end of the last epoch that
//! they share, and [`EpochCache::end_offset_for`] tells where that is (KIP-101, KIP-279).
//!
//! The entries go to `leader-epoch-checkpoint` as they stand. The file can be rebuilt from the batches,
//! except for epochs without a record.
//!
//! Invariant: epochs and start offsets both rise strictly from entry to entry.

use thiserror::Error;

use crate::types::{LeaderEpoch, LogEnd, LogStart, Offset};
use crate::wire::batch::BatchHeader;

/// One epoch and the offset of its first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EpochEntry {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The log end of the leader when the epoch began.
    pub start_offset: Offset,
}

/// Where an epoch ends in this log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest epoch of this log that is not above the one asked for.
    pub epoch: LeaderEpoch,
    /// The offset after its last record.
    pub end_offset: Offset,
}

/// The entries of a checkpoint are not such as this cache could have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("leader epoch {} starting at {} cannot follow epoch {} starting at {}",
    .entry.epoch, .entry.start_offset, .previous.epoch, .previous.start_offset)]
pub struct InvalidEpochs {
    /// The first entry out of order.
    pub entry: EpochEntry,
    /// The one before it; (-1, -1) before the first.
    pub previous: EpochEntry,
}

/// The leader epochs of one replica's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EpochCache {
    entries: Vec<EpochEntry>,
}

impl EpochCache {
    /// The cache that a checkpoint describes.
    ///
    /// # Errors
    ///
    /// [`InvalidEpochs`] where epochs or start offsets are negative or do not rise.
    pub fn from_entries(entries: Vec<EpochEntry>) -> Result<Self, InvalidEpochs> {
        let mut previous = EpochEntry { epoch: LeaderEpoch::NONE, start_offset: Offset(-1) };
        for &entry in &entries {
            if entry.epoch <= previous.epoch || entry.start_offset <= previous.start_offset {
                return Err(InvalidEpochs { entry, previous });
            }
            previous = entry;
        }
        Ok(Self { entries })
    }

    /// The entries in order, for the checkpoint.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The entry of the largest epoch.
    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    /// Notes that `epoch` begins at `start_offset`. Entries that it contradicts (of its own or a later epoch,
    /// or starting there or later) go: nothing was written in them, or it was cut off.
    ///
    /// Says whether anything changed; an epoch that is the latest already keeps an earlier start.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        assert!(epoch.0 >= 0 && start_offset.0 >= 0, "epoch {epoch} at {start_offset}");
        if self.latest().is_some_and(|latest| latest.epoch == epoch && latest.start_offset <= start_offset) {
            return false;
        }
        while self.latest().is_some_and(|last| last.epoch >= epoch || last.start_offset >= start_offset) {
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start_offset });
        true
    }

    /// Takes in a batch of the log: one that a follower appended, or one of a log that is opened, in the order
    /// of the log. Says whether anything changed; a batch of an epoch that is known says nothing new.
    ///
    /// What the log holds is right. A later epoch that is said to begin just where a batch of an earlier one
    /// stands has left no record: this replica led it, or had its records and lost them, and goes on behind
    /// another leader. Its entry and those behind it go.
    pub fn fold(&mut self, header: &BatchHeader) -> bool {
        let (epoch, base_offset) = (header.partition_leader_epoch, header.base_offset);
        if epoch.0 < 0 {
            return false;
        }
        let begins_here = self.entries.binary_search_by_key(&base_offset, |entry| entry.start_offset);
        let contradicted = begins_here.is_ok_and(|index| self.entries[index].epoch > epoch);
        if contradicted {
            self.truncate_from_end(base_offset);
        }
        let new = self.latest().is_none_or(|latest| latest.epoch < epoch);
        (new && self.assign(epoch, base_offset)) || contradicted
    }

    /// The epoch in which the record at `offset` was written; `None` before the first epoch known.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let later = self.entries.partition_point(|entry| entry.start_offset <= offset);
        later.checked_sub(1).map(|index| self.entries[index].epoch)
    }

    /// Where `requested` ends in this log (F1): at the start of the next epoch that this log knows, or at the
    /// log end for the latest one. `None` if the epoch lies above all that this log knows, or is negative.
    ///
    /// For an epoch below the first entry its records are gone, and the answer is where that one began.
    pub fn end_offset_for(&self, requested: LeaderEpoch, log_end: LogEnd) -> Option<EpochEnd> {
        if requested.0 < 0 {
            return None;
        }
        if self.latest().is_some_and(|latest| latest.epoch == requested) {
            return Some(EpochEnd { epoch: requested, end_offset: log_end.offset() });
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= requested);
        let end_offset = self.entries.get(above)?.start_offset;
        let epoch = if above == 0 { requested } else { self.entries[above - 1].epoch };
        Some(EpochEnd { epoch, end_offset })
    }

    /// Forgets the epochs that start at `end` or later, because the log now ends there.
    ///
    /// It looks at the entries and never at the log's own end: a log that is not shortened may still have
    /// an entry without records that must go (KAFKA-10706). Says whether anything changed.
    pub fn truncate_from_end(&mut self, end: Offset) -> bool {
        let before = self.entries.len();
        let kept = self.entries.partition_point(|entry| entry.start_offset < end);
        self.entries.truncate(kept);
        kept < before
    }

    /// Forgets the epochs that ended before `start`, where the log begins.
    ///
    /// The one in which the record before `start` was written stays, and where it began: who comes with that
    /// record and its epoch has what this log had, and who comes with another epoch has not.
    pub fn truncate_from_start(&mut self, start: LogStart) {
        let begun = self.entries.partition_point(|entry| entry.start_offset < start.offset());
        self.entries.drain(..begun.saturating_sub(1));
    }

    /// Fits the cache to a log that was just opened.
    ///
    /// Epochs before the log start are forgotten only here. A log start that has just been raised goes back when
    /// a crash comes before its checkpoint, and the epochs behind it must be known then.
    ///
    /// The latest epoch stays, moved back to the log's end where its records are gone: this replica may have
    /// led it, and must know so in order not to lead it twice.
    pub fn fit(&mut self, log_start: LogStart, log_end: LogEnd) {
        if let Some(latest) = self.latest().filter(|latest| latest.start_offset >= log_end.offset()) {
            self.truncate_from_end(log_end.offset());
            self.assign(latest.epoch, log_end.offset());
        }
        self.truncate_from_start(log_start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ProducerEpoch, ProducerId};
    use crate::wire::batch::MAGIC;

    fn cache(entries: &[(i32, i64)]) -> EpochCache {
        let entries = entries
            .iter()
            .map(|&(epoch, start)| EpochEntry { epoch: LeaderEpoch(epoch), start_offset: Offset(start) })
            .collect();
        EpochCache::from_entries(entries).unwrap()
    }

    fn end(cache: &EpochCache, requested: i32) -> Option<(i32, i64)> {
        let end = cache.end_offset_for(LeaderEpoch(requested), LogEnd(Offset(100)));
        end.map(|end| (end.epoch.0, end.end_offset.0))
    }

    #[test]
    fn f1_an_epoch_ends_where_the_next_one_starts() {
        let cache = cache(&[(2, 10), (4, 20), (7, 50)]);
        assert_eq!(end(&cache, 7), Some((7, 100)), "the latest ends at the log end");
        assert_eq!(end(&cache, 4), Some((4, 50)));
        // KIP-279: a log that lacks the epoch answers with the largest one below, by name.
        assert_eq!(end(&cache, 5), Some((4, 50)));
        assert_eq!(end(&cache, 3), Some((2, 20)));
        assert_eq!(end(&cache, 1), Some((1, 10)), "its records are gone: the start of the log");
        assert_eq!(end(&cache, 8), None);
        assert_eq!(end(&cache, -1), None);
        assert_eq!(end(&EpochCache::default(), 0), None);
    }

    #[test]
    fn kafka_7415_an_epoch_without_records_has_an_entry() {
        let mut cache = cache(&[(1, 0)]);
        assert!(cache.assign(LeaderEpoch(2), Offset(100)));
        assert_eq!(end(&cache, 1), Some((1, 100)));
        assert_eq!(end(&cache, 2), Some((2, 100)));
    }

    #[test]
    fn assigning_drops_what_it_contradicts() {
        let mut entries = cache(&[(1, 0), (2, 10), (3, 20)]);
        assert!(entries.assign(LeaderEpoch(4), Offset(10)), "epochs 2 and 3 left no record");
        assert_eq!(entries, cache(&[(1, 0), (4, 10)]));
        assert!(!entries.assign(LeaderEpoch(4), Offset(15)), "an epoch begins once");
        assert!(entries.assign(LeaderEpoch(4), Offset(5)));
        assert_eq!(entries, cache(&[(1, 0), (4, 5)]));
    }

    #[test]
    fn kafka_10706_truncation_to_the_log_end_drops_entries_without_records() {
        let mut entries = cache(&[(1, 0), (2, 10), (3, 20)]);
        entries.truncate_from_end(Offset(20));
        assert_eq!(entries, cache(&[(1, 0), (2, 10)]));
        entries.truncate_from_end(Offset(11));
        assert_eq!(entries, cache(&[(1, 0), (2, 10)]));
        entries.truncate_from_end(Offset(0));
        assert_eq!(entries, EpochCache::default());
    }

    #[test]
    fn fitting_to_a_later_log_start_keeps_the_epoch_of_the_record_before() {
        let original = cache(&[(1, 5), (2, 10), (3, 20)]);
        for (start, expected) in [
            (0, vec![(1, 5), (2, 10), (3, 20)]),
            (5, vec![(1, 5), (2, 10), (3, 20)]),
            (10, vec![(1, 5), (2, 10), (3, 20)]),
            (11, vec![(2, 10), (3, 20)]),
            (20, vec![(2, 10), (3, 20)]),
            (99, vec![(3, 20)]),
        ] {
            let mut entries = original.clone();
            entries.fit(LogStart(Offset(start)), LogEnd(Offset(99)));
            assert_eq!(entries, cache(&expected), "start {start}");
        }
    }

    fn batch(epoch: i32, base_offset: i64) -> BatchHeader {
        BatchHeader {
            base_offset: Offset(base_offset),
            batch_length: 100,
            partition_leader_epoch: LeaderEpoch(epoch),
            magic: MAGIC,
            crc: 0,
            attributes: 0,
            last_offset_delta: 0,
            base_timestamp: 0,
            max_timestamp: 0,
            producer_id: ProducerId::NONE,
            producer_epoch: ProducerEpoch::NONE,
            base_sequence: -1,
            records_count: 1,
        }
    }

    #[test]
    fn folding_believes_the_log() {
        let mut entries = cache(&[(1, 0), (3, 8)]);
        assert!(!entries.fold(&batch(1, 7)));
        assert!(!entries.fold(&batch(-1, 8)), "a batch without an epoch says nothing");
        assert!(entries.fold(&batch(1, 8)), "epoch 3 left no record here");
        assert_eq!(entries, cache(&[(1, 0)]));
        assert!(entries.fold(&batch(2, 10)));
        assert!(!entries.fold(&batch(2, 11)));
        assert_eq!(entries, cache(&[(1, 0), (2, 10)]));
        let mut lost = cache(&[(1, 0), (4, 8), (6, 9)]);
        assert!(lost.fold(&batch(3, 8)));
        assert_eq!(lost, cache(&[(1, 0), (3, 8)]));
        // A cache that is rebuilt over a log that it describes stays as it is.
        let mut same = cache(&[(1, 0), (2, 10), (3, 20)]);
        assert!(![(1, 0), (1, 9), (2, 10), (2, 15), (3, 20)].iter().any(|&(e, at)| same.fold(&batch(e, at))));
    }

    #[test]
    fn fitting_to_a_shorter_log_keeps_the_latest_epoch() {
        let mut entries = cache(&[(1, 0), (2, 10), (3, 20)]);
        entries.fit(LogStart(Offset(0)), LogEnd(Offset(8)));
        assert_eq!(entries, cache(&[(1, 0), (3, 8)]));
        entries.fit(LogStart(Offset(7)), LogEnd(Offset(7)));
        assert_eq!(entries, cache(&[(1, 0), (3, 7)]));
        let mut untouched = cache(&[(1, 0), (2, 10)]);
        untouched.fit(LogStart(Offset(0)), LogEnd(Offset(11)));
        assert_eq!(untouched, cache(&[(1, 0), (2, 10)]));
    }

    #[test]
    fn a_checkpoint_out_of_order_is_refused() {
        let entry = |epoch, start| EpochEntry { epoch: LeaderEpoch(epoch), start_offset: Offset(start) };
        for entries in [
            vec![entry(-1, 0)],
            vec![entry(0, -1)],
            vec![entry(1, 0), entry(1, 5)],
            vec![entry(2, 0), entry(1, 5)],
            vec![entry(1, 5), entry(2, 5)],
        ] {
            assert!(EpochCache::from_entries(entries.clone()).is_err(), "{entries:?}");
        }
    }
}
