//! What must hold, whatever happens.

use super::node::Disk;
use super::*;

/// What all replicas together have done.
#[derive(Default)]
pub(super) struct Oracle {
    /// Who led each epoch.
    leaders: BTreeMap<i32, BrokerId>,
    /// What leaders wrote, by epoch and offset.
    written: BTreeMap<(i32, i64), u64>,
    /// What any replica ever let consumers read, and the first leader epoch in which one did.
    exposed: BTreeMap<i64, (Record, i32)>,
    /// What producers were told is safe, and in which epoch.
    acknowledged: BTreeMap<i64, (Record, i32)>,
    /// Up to where records were deleted on purpose.
    deleted: i64,
}

impl Oracle {
    /// A leader has everything that was committed before its epoch; it may hear late that it was elected.
    pub(super) fn elected(&mut self, id: BrokerId, epoch: i32, disk: &Disk) {
        let before = self.leaders.insert(epoch, id);
        assert!(before.is_none(), "epoch {epoch} has the leaders {before:?} and {id}");
        assert!(disk.base <= self.deleted, "leader {id} of epoch {epoch} begins at {} only", disk.base);
        for known in [&self.exposed, &self.acknowledged] {
            for (&offset, (record, _)) in known.range(self.deleted..).filter(|(_, (_, first))| *first < epoch)
            {
                let has = disk.record(offset);
                assert_eq!(has, Some(*record), "offset {offset} at leader {id} of epoch {epoch}");
            }
        }
    }

    /// An epoch and an offset mean one record.
    pub(super) fn wrote(&mut self, id: BrokerId, offset: i64, record: Record) {
        assert_eq!(self.leaders.get(&record.epoch), Some(&id), "{id} does not lead epoch {}", record.epoch);
        let before = self.written.insert((record.epoch, offset), record.id);
        assert!(before.is_none(), "two records at {offset} in epoch {}", record.epoch);
    }

    pub(super) fn replicated(&self, offset: i64, record: Record) {
        let written = self.written.get(&(record.epoch, offset));
        assert_eq!(written, Some(&record.id), "another record at {offset} in epoch {}", record.epoch);
    }

    /// What consumers can read is the same everywhere, for ever.
    pub(super) fn exposes(&mut self, id: BrokerId, epoch: i32, offsets: Range<i64>, disk: &Disk) {
        for offset in offsets {
            let record = disk.record(offset).expect("what is exposed lies within the log");
            let (known, first) = self.exposed.entry(offset).or_insert((record, epoch));
            assert_eq!(*known, record, "offset {offset}, exposed by {id}");
            *first = epoch.min(*first);
        }
    }

    /// Nor does a restart uncover anything else, though it may lower the log start.
    pub(super) fn exposes_again(&self, id: BrokerId, offsets: Range<i64>, disk: &Disk) {
        for offset in offsets {
            let known = self.exposed.get(&offset).map(|(record, _)| *record);
            assert_eq!(known, disk.record(offset), "offset {offset}, exposed by {id} after its restart");
        }
    }

    /// R7: a leader that names the end does not name one before what earlier leaders let be read.
    pub(super) fn said_latest(&self, id: BrokerId, epoch: i32, latest: Offset) {
        let exposed = self.exposed.iter().rev().find(|(_, (_, first))| *first < epoch);
        let end = exposed.map_or(0, |(offset, _)| offset + 1);
        assert!(latest.0 >= end, "{id} says that epoch {epoch} ends at {latest}, {end} was readable before");
    }

    pub(super) fn acknowledged(&mut self, offset: i64, record: Record, epoch: i32) {
        let exposed = self.exposed.get(&offset).map(|(record, _)| *record);
        assert_eq!(exposed, Some(record), "acknowledged at {offset}, not committed");
        self.acknowledged.insert(offset, (record, epoch));
    }

    pub(super) fn deleted(&mut self, to: i64) {
        self.deleted = self.deleted.max(to);
    }
}
