//! What a node has on disk, and what of it survives a loss of power.

use std::collections::BTreeMap;

use rand_core::Rng as _;

use super::*;

/// A batch, with a content of which no other batch has the like, and a digest of all up to its end.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Batch {
    pub(super) span: BatchSpan,
    pub(super) controls: Vec<(Offset, ControlRecord)>,
    pub(super) content: u64,
    pub(super) digest: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Snapshot {
    pub(super) controls: Vec<ControlRecord>,
    pub(super) digest: u64,
    pub(super) bytes: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Disk {
    pub(super) key: VoterKey,
    pub(super) state: Option<ElectionState>,
    /// Written, but perhaps not durable.
    pub(super) states_under_way: Vec<ElectionState>,
    pub(super) start: Offset,
    start_digest: u64,
    pub(super) batches: Vec<Batch>,
    pub(super) durable_end: Offset,
    /// Truncated, but perhaps not durably.
    before_truncation: Option<Vec<Batch>>,
    pub(super) generation: u64,
    pub(super) snapshots: BTreeMap<SnapshotId, Snapshot>,
}

pub(super) fn digest(before: u64, span: BatchSpan, content: u64) -> u64 {
    let mut hash = before ^ 0xcbf2_9ce4_8422_2325;
    for word in [span.base.0 as u64, span.end.0 as u64, span.epoch.0 as u64, content] {
        hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
    }
    hash
}

impl Disk {
    pub(super) fn new(key: VoterKey) -> Self {
        Self {
            key,
            state: None,
            states_under_way: Vec::new(),
            start: Offset::ZERO,
            start_digest: 0,
            batches: Vec::new(),
            durable_end: Offset::ZERO,
            before_truncation: None,
            generation: 0,
            snapshots: BTreeMap::new(),
        }
    }

    pub(super) fn end(&self) -> Offset {
        self.batches.last().map_or(self.start, |batch| batch.span.end)
    }

    /// The digest of all before `end`; `None` where no batch ends.
    pub(super) fn digest_at(&self, end: Offset) -> Option<u64> {
        if end == self.start {
            return Some(self.start_digest);
        }
        self.batches.iter().rev().find(|batch| batch.span.end == end).map(|batch| batch.digest)
    }

    pub(super) fn append(&mut self, batch: Batch) {
        assert_eq!(batch.span.base, self.end());
        self.batches.push(batch);
    }

    pub(super) fn truncate(&mut self, end: Offset) {
        self.before_truncation.get_or_insert_with(|| self.batches.clone());
        self.batches.retain(|batch| batch.span.end <= end);
        assert_eq!(self.end(), end, "truncated within a batch");
        self.durable_end = self.durable_end.min(end);
        self.generation += 1;
    }

    /// A sync that was issued at this end and generation has ended.
    pub(super) fn synced(&mut self, end: Offset, generation: u64) {
        if generation == self.generation {
            self.before_truncation = None;
            self.durable_end = self.durable_end.max(end);
        }
    }

    pub(super) fn replace(&mut self, id: SnapshotId) {
        let digest = self.snapshots[&id].digest;
        self.snapshots.retain(|known, _| *known == id);
        (self.start, self.start_digest, self.durable_end) = (id.end, digest, id.end);
        self.batches.clear();
        self.before_truncation = None;
        self.generation += 1;
    }

    pub(super) fn raise_start(&mut self, id: SnapshotId) {
        (self.start, self.start_digest) = (id.end, self.snapshots[&id].digest);
        self.snapshots.retain(|known, _| known.end >= id.end);
        self.batches.retain(|batch| batch.span.base >= id.end);
        if let Some(batches) = &mut self.before_truncation {
            batches.retain(|batch| batch.span.base >= id.end);
        }
    }

    /// The power goes: of what was not synced some may be there, some not.
    pub(super) fn lose_power(&mut self, rng: &mut Rng) {
        let written = std::mem::take(&mut self.states_under_way);
        let kept = (rng.next_u64() % (written.len() as u64 + 1)) as usize;
        if kept > 0 {
            self.state = Some(written[kept - 1]);
        }
        match self.before_truncation.take() {
            // The truncation itself is undone, together with all that was written after it.
            Some(batches) if rng.next_u64().is_multiple_of(2) => self.batches = batches,
            _ => {
                let durable = self.batches.iter().filter(|batch| batch.span.end <= self.durable_end).count();
                let unsynced = (self.batches.len() - durable) as u64;
                self.batches.truncate(durable + (rng.next_u64() % (unsynced + 1)) as usize);
            }
        }
        self.generation += 1;
        // Recovery: a log that is not what its latest snapshot holds gives way to it; the rest is synced.
        let ids = self.snapshots.keys().copied();
        if let Some(id) = LogView::superseded_by(self.start, self.end(), &self.epochs(), ids) {
            self.replace(id);
        }
        self.durable_end = self.end();
    }

    fn epochs(&self) -> EpochCache {
        let mut epochs = EpochCache::default();
        for batch in &self.batches {
            if epochs.latest().is_none_or(|latest| latest.epoch < batch.span.epoch) {
                epochs.assign(batch.span.epoch, batch.span.base);
            }
        }
        epochs
    }

    /// What the node starts with; `fixed` are the voters of the configuration, `formatted` those of the
    /// snapshot that was written when the directory was formatted.
    pub(super) fn recovered(&self, fixed: &VoterSet, formatted: &[ControlRecord]) -> (LogView, VoterHistory) {
        let mut voters = VoterHistory::new(fixed.clone());
        let (from, controls) = match self.snapshots.last_key_value() {
            Some((id, snapshot)) => (id.end, &snapshot.controls[..]),
            None => (Offset::ZERO, formatted),
        };
        for record in controls {
            voters.record(Offset(from.0 - 1), record);
        }
        for (offset, record) in self.batches.iter().flat_map(|batch| &batch.controls) {
            if *offset >= from {
                voters.record(*offset, record);
            }
        }
        (
            LogView::new(self.start, self.end(), self.end(), self.epochs(), self.snapshots.keys().copied()),
            voters,
        )
    }
}
