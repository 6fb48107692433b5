//! What must hold, whatever happens.

use std::collections::BTreeMap;

use super::disk::{Batch, Disk, digest};
use super::*;

/// One run of one node: a restart begins another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) key: VoterKey,
    pub(super) number: u64,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    leaders: BTreeMap<LeaderEpoch, Life>,
    votes: BTreeMap<(VoterKey, LeaderEpoch), VoterKey>,
    /// The digest up to the end of a batch, by its epoch and end.
    batches: BTreeMap<(LeaderEpoch, Offset), u64>,
    /// The digests up to the ends of committed batches.
    committed: BTreeMap<Offset, u64>,
}

impl Oracle {
    /// Election safety: one leader per epoch, which after a restart is another (KAFKA-10527); leader
    /// completeness: it has all that was ever committed.
    /// Says whether it was not known.
    pub(super) fn leads(&mut self, epoch: LeaderEpoch, life: Life, disk: &Disk) -> bool {
        if let Some(first) = self.leaders.get(&epoch) {
            assert_eq!(*first, life, "two leaders in epoch {epoch}");
            return false;
        }
        self.leaders.insert(epoch, life);
        self.voted(life.key, epoch, life.key);
        if let Some((end, digest)) = self.committed.last_key_value() {
            let held = if *end < disk.start { Some(*digest) } else { disk.digest_at(*end) };
            assert_eq!(held, Some(*digest), "{life:?} leads epoch {epoch} without all before {end}");
        }
        true
    }

    /// Nobody votes twice in an epoch.
    pub(super) fn voted(&mut self, voter: VoterKey, epoch: LeaderEpoch, candidate: VoterKey) {
        let first = *self.votes.entry((voter, epoch)).or_insert(candidate);
        assert_eq!(first, candidate, "{voter:?} votes twice in epoch {epoch}");
    }

    /// Log matching: an epoch and an offset identify a record and all before it.
    pub(super) fn appended(&mut self, disk: &Disk, batch: &Batch) {
        let before = disk.digest_at(batch.span.base).expect("the batch continues the log");
        assert_eq!(batch.digest, digest(before, batch.span, batch.content), "another log before {batch:?}");
        let known = *self.batches.entry((batch.span.epoch, batch.span.end)).or_insert(batch.digest);
        assert_eq!(known, batch.digest, "{batch:?} has a double");
    }

    /// State machine safety: everybody commits the same.
    pub(super) fn commits(&mut self, disk: &Disk, end: Offset) {
        let digest = disk.digest_at(end).expect("a batch ends where the commit does");
        let last = self.committed.last_key_value().map(|(end, _)| *end);
        if last.is_none_or(|last| last < end) {
            if let Some(last) = last.filter(|last| *last >= disk.start) {
                assert_eq!(disk.digest_at(last), Some(self.committed[&last]), "{:?} lost a commit", disk.key);
            }
            let new = disk.batches.iter().filter(|batch| batch.span.end <= end);
            self.committed.extend(new.map(|batch| (batch.span.end, batch.digest)));
            self.committed.insert(end, digest);
        }
        assert_eq!(self.committed.get(&end), Some(&digest), "{:?} commits something else", disk.key);
    }

    /// A leader commits only what a majority holds durably (KAFKA-10533), and nothing before its own first
    /// record (KAFKA-12619).
    pub(super) fn leader_commits(&self, quorum: &Quorum, end: Offset, disks: &[&Disk]) {
        let voters = quorum.voters().current();
        let digest =
            disks.iter().find(|disk| disk.key == quorum.identity.key).and_then(|own| own.digest_at(end));
        let holds =
            |disk: &&&Disk| disk.durable_end >= end && (disk.start > end || disk.digest_at(end) == digest);
        let holders = disks.iter().filter(|disk| voters.contains(disk.key)).filter(holds).count();
        assert!(holders >= voters.majority(), "{holders} of {} voters hold {end}", voters.len());
        let epoch = quorum.log().epochs().latest().expect("the log has records");
        assert_eq!(epoch.epoch, quorum.epoch());
        assert!(end > epoch.start_offset, "commits {end} before its own first record");
    }

    pub(super) fn committed_end(&self) -> Offset {
        self.committed.last_key_value().map_or(Offset::ZERO, |(end, _)| *end)
    }
}
