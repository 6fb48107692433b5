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
    /// How far each epoch's leader has committed.
    commits: BTreeMap<LeaderEpoch, Offset>,
}

impl Oracle {
    /// Election safety: one leader per epoch, which after a restart is another (KAFKA-10527); leader
    /// completeness: it has all that was committed in earlier epochs. (One that was paused while it was elected
    /// may find that later epochs have gone further.)
    /// Says whether it was not known.
    pub(super) fn leads(&mut self, epoch: LeaderEpoch, life: Life, disk: &Disk) -> bool {
        if let Some(first) = self.leaders.get(&epoch) {
            assert_eq!(*first, life, "two leaders in epoch {epoch}");
            return false;
        }
        self.leaders.insert(epoch, life);
        self.voted(life.key, epoch, life.key);
        let earlier = self.commits.range(..epoch).map(|(_, end)| *end).max();
        if let Some((end, digest)) = earlier.and_then(|end| self.committed.get_key_value(&end)) {
            let held = if *end < disk.start { Some(*digest) } else { disk.digest_at(*end) };
            assert_eq!(held, Some(*digest), "{life:?} leads epoch {epoch} without all before {end}");
        }
        true
    }

    /// What leaves a node, or makes it lead, follows from what it has durably: an epoch, and a vote in it.
    pub(super) fn follows_from(&self, disk: &Disk, epoch: LeaderEpoch, voted: Option<VoterKey>) {
        let durable =
            disk.state.unwrap_or(ElectionState { epoch: LeaderEpoch(0), leader: None, voted: None });
        let forgettable =
            durable.epoch < epoch || (voted.is_some() && durable.epoch == epoch && durable.voted != voted);
        assert!(
            !forgettable,
            "{:?} acts in epoch {epoch}, voting for {voted:?}, but may forget it: {durable:?}",
            disk.key
        );
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

    /// The first record of an epoch is the LeaderChange. One voter more or less at a time, and each change
    /// after the one before is committed.
    pub(super) fn appends(&self, quorum: &Quorum, span: BatchSpan, controls: &[(Offset, ControlRecord)]) {
        let is_first = quorum.log().epochs().latest().is_none_or(|latest| latest.epoch < span.epoch);
        let change = match controls.first() {
            Some((_, ControlRecord::LeaderChange(change))) => Some(change.leader_id),
            _ => None,
        };
        let expected = is_first.then_some(quorum.identity.key.id.0);
        assert_eq!(change, expected, "the LeaderChange stands first in its epoch, and nowhere else");
        let before = quorum.voters().current();
        for (_, record) in controls {
            let ControlRecord::KRaftVoters(record) = record else { continue };
            let after = VoterSet::from_record(record);
            let come = after.iter().filter(|voter| !before.contains(voter.key)).count();
            let gone = before.iter().filter(|voter| !after.contains(voter.key)).count();
            let settled = quorum.leads().is_some()
                && quorum.voters().current_offset().is_some_and(|offset| offset < quorum.committed());
            assert!(come + gone <= usize::from(!is_first), "{come} come and {gone} go at once in {span:?}");
            assert!(is_first || settled, "a change before the last one and the LeaderChange are committed");
        }
    }

    /// A controller starts when its LeaderChange is committed.
    pub(super) fn is_told_to_lead(&self, disk: &Disk, epoch: LeaderEpoch, committed: Offset) {
        let first = disk.batches.iter().find(|batch| batch.span.epoch == epoch).expect("it has appended");
        assert!(first.span.end <= committed && self.committed.contains_key(&first.span.end));
        assert_eq!(self.leaders.get(&epoch).map(|life| life.key), Some(disk.key));
    }

    /// What is committed stays with those who hold it (KAFKA-12460).
    pub(super) fn truncates(&self, disk: &Disk, to: Offset) {
        let held = |batch: &&Batch| self.committed.get(&batch.span.end) == Some(&batch.digest);
        let end = disk.batches.iter().rev().find(held).map_or(Offset::ZERO, |batch| batch.span.end);
        assert!(to >= end, "{:?} truncates to {to} what is committed up to {end}", disk.key);
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
    pub(super) fn leader_commits(&mut self, quorum: &Quorum, end: Offset, disks: &[&Disk]) {
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
        self.commits.insert(epoch.epoch, end);
    }

    pub(super) fn committed_end(&self) -> Offset {
        self.committed.last_key_value().map_or(Offset::ZERO, |(end, _)| *end)
    }
}
