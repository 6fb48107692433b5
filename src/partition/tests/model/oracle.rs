//! What must hold, whatever happens.

use super::*;
use crate::partition::tests::model::node::Disk;

/// What all replicas together have done.
#[derive(Default)]
pub(super) struct Oracle {
    /// Who led each epoch.
    leaders: BTreeMap<i32, BrokerId>,
    /// What leaders wrote, by epoch and offset.
    written: BTreeMap<(i32, i64), u64>,
    /// What any replica ever showed below its high watermark, and the first leader epoch in which one did.
    committed: BTreeMap<i64, (Record, i32)>,
    /// What producers were told is safe, and in which epoch.
    acknowledged: BTreeMap<i64, (Record, i32)>,
    /// Up to where records were deleted on purpose.
    deleted: i64,
}

impl Oracle {
    /// A leader has everything that was committed before its epoch; it may hear late that it was elected.
    pub(super) fn elected(&mut self, id: BrokerId, epoch: i32, disk: &Disk) {
        eprintln!("ELECTED {id} epoch {epoch} end {}", disk.end());
        let before = self.leaders.insert(epoch, id);
        assert!(before.is_none(), "epoch {epoch} has the leaders {before:?} and {id}");
        let from = self.deleted.max(disk.base);
        assert!(disk.base <= self.deleted, "leader {id} of epoch {epoch} begins at {} only", disk.base);
        for known in [&self.committed, &self.acknowledged] {
            for (&offset, (record, _)) in known.range(from..).filter(|(_, (_, first))| *first < epoch) {
                let has = disk.record(offset);
                assert_eq!(has, Some(*record), "offset {offset} at leader {id} of epoch {epoch}");
            }
        }
    }

    /// An epoch and an offset mean one record.
    pub(super) fn wrote(&mut self, id: BrokerId, offset: i64, record: Record) {
        assert_eq!(self.leaders.get(&record.epoch), Some(&id), "{id} does not lead epoch {}", record.epoch);
        eprintln!("WROTE {id} at {offset} epoch {}", record.epoch);
        let before = self.written.insert((record.epoch, offset), record.id);
        assert!(before.is_none(), "two records at {offset} in epoch {}", record.epoch);
    }

    pub(super) fn replicated(&self, offset: i64, record: Record) {
        let written = self.written.get(&(record.epoch, offset));
        assert_eq!(written, Some(&record.id), "another record at {offset} in epoch {}", record.epoch);
    }

    /// What is below a high watermark is the same everywhere, for ever.
    pub(super) fn showed(&mut self, id: BrokerId, epoch: i32, offsets: std::ops::Range<i64>, disk: &Disk) {
        if !offsets.is_empty() {
            eprintln!("SHOWED {id} {offsets:?} in epoch {epoch}");
        }
        for offset in offsets.start.max(disk.base)..offsets.end {
            let record = disk.record(offset).expect("a high watermark lies within the log");
            let (known, first) = self.committed.entry(offset).or_insert((record, epoch));
            assert_eq!(*known, record, "offset {offset}, shown by {id}");
            *first = epoch.min(*first);
        }
    }

    pub(super) fn acknowledged(&mut self, offset: i64, record: Record, epoch: i32) {
        let committed = self.committed.get(&offset).map(|(record, _)| *record);
        assert_eq!(committed, Some(record), "acknowledged at {offset}, not committed");
        self.acknowledged.insert(offset, (record, epoch));
    }

    pub(super) fn deleted(&mut self, to: i64) {
        self.deleted = self.deleted.max(to);
    }
}
