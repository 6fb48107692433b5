//! What becomes of a partition: the one function that everything goes through that changes ISR, leader or
//! replicas.
//!
//! In this order:
//!
//! 1. A reassignment ends once all its targets are in sync. Kafka also ends one some of whose targets are not:
//!    then fewer replicas may hold an acknowledged record than `min.insync.replicas` promises.
//! 2. ELR (E2, KIP-966): while the ISR is smaller than `min.insync.replicas` in force (capped by the number of
//!    replicas), who leaves the ISR stays eligible, for the high watermark stands still. Not so who has lost
//!    records; nor who has no replica any more.
//! 3. Election (E1): the present leader if it may go on; else the first replica, in the order of assignment,
//!    that is in the ISR, or in the ELR if the ISR is empty; else, with ISR and ELR empty, the last known
//!    leader; else, where the topic allows it, any replica. The last two are unclean: the ISR becomes the new
//!    leader alone, and it is RECOVERING. Nobody is elected who is fenced, shutting down, or whose directory is
//!    not in use.
//! 4. The ELR is empty once the ISR is large enough again, also by that election.
//! 5. Epochs (R2): the partition epoch rises with every record. The leader epoch rises where the leader
//!    changes, where a replica is removed, and where a member of the ISR has started anew; not where the ISR
//!    shrinks.

use std::collections::BTreeMap;

use super::image::{Image, LeaderRecoveryState, PartitionRegistration};
use super::placement::directory;
use crate::types::{BrokerId, PartitionKey, Uuid};
use crate::wire::metadata::PartitionChangeRecord;

/// Who may be elected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Election {
    /// Whoever keeps the partition online without a loss; the present leader first.
    Online,
    /// The same, but the preferred leader before the present one.
    Preferred,
    /// As a last resort any replica.
    Unclean,
}

/// What a partition shall become. It begins as what the partition is.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) isr: Vec<BrokerId>,
    pub(super) replicas: Vec<BrokerId>,
    pub(super) removing: Vec<BrokerId>,
    pub(super) adding: Vec<BrokerId>,
    /// Where replicas lie; those that are not in here get a directory.
    pub(super) directories: BTreeMap<BrokerId, Uuid>,
    pub(super) recovery: LeaderRecoveryState,
    pub(super) election: Election,
    /// Replicas that may have lost records: they are not eligible.
    pub(super) unclean: Vec<BrokerId>,
    /// Replicas that have lost everything: neither eligible nor remembered as the last known leader.
    pub(super) lost: Vec<BrokerId>,
    /// Whether the leader epoch must rise even if the leader stays.
    pub(super) raise_epoch: bool,
}

impl Target {
    pub(super) fn of(partition: &PartitionRegistration, election: Election) -> Self {
        let directories = partition.replicas.iter().copied().zip(partition.directories.iter().copied());
        Self {
            isr: partition.isr.clone(),
            replicas: partition.replicas.clone(),
            removing: partition.removing.clone(),
            adding: partition.adding.clone(),
            directories: directories.collect(),
            recovery: partition.leader_recovery,
            election,
            unclean: Vec::new(),
            lost: Vec::new(),
            raise_epoch: false,
        }
    }

    /// Ends a reassignment once all that were added are in sync, and enough of the targets: with fewer left than
    /// `min.insync.replicas` promises, or fewer targets than there were replicas, all of them.
    fn complete_reassignment(&mut self, rules: &Rules<'_>) {
        if self.removing.is_empty() && self.adding.is_empty() {
            return;
        }
        let stays = |ids: &[BrokerId]| -> Vec<BrokerId> {
            ids.iter().copied().filter(|id| !self.removing.contains(id)).collect()
        };
        let (replicas, isr) = (stays(&self.replicas), stays(&self.isr));
        let are_in_sync = |ids: &[BrokerId]| !ids.is_empty() && ids.iter().all(|id| isr.contains(id));
        let shrinks = self.adding.len() < self.removing.len();
        let enough = !shrinks && isr.len() >= rules.min_isr.min(replicas.len());
        if are_in_sync(&replicas) || enough && are_in_sync(&self.adding) {
            (self.replicas, self.isr) = (replicas, isr);
            self.removing.clear();
            self.adding.clear();
        }
    }
}

/// What a change depends on besides the partition.
pub(super) struct Rules<'a> {
    /// Who is active, and with which directories.
    pub(super) image: &'a Image,
    /// `min.insync.replicas`, not capped.
    pub(super) min_isr: usize,
    /// Whether eligible leader replicas are kept.
    pub(super) elr: bool,
}

/// The record that makes the target of a partition; `None` if it is that already.
pub(super) fn change(
    key: PartitionKey,
    old: &PartitionRegistration,
    mut target: Target,
    rules: &Rules<'_>,
) -> Option<PartitionChangeRecord> {
    target.complete_reassignment(rules);
    let mut elr = if rules.elr { eligible(old, &target) } else { Vec::new() };
    if target.isr.len() >= min_isr(&target, rules) {
        elr.clear();
    }
    let elected = elect(old, &target, &elr, rules);
    if elected.unclean {
        target.recovery = LeaderRecoveryState::Recovering;
        elr.clear();
    }
    if elected.unclean || target.isr.is_empty() && elected.leader != BrokerId::NONE {
        target.isr = vec![elected.leader];
        elr.retain(|&id| id != elected.leader);
    }
    if target.isr.is_empty() && !rules.elr {
        // Without an ELR the last member of the ISR stays there, so that it is known who may lead again.
        let stays = |id: &BrokerId| target.replicas.contains(id) && !target.lost.contains(id);
        target.isr = old.isr.iter().copied().filter(stays).collect();
    }
    if target.isr.len() >= min_isr(&target, rules) {
        elr.clear();
    }
    let last_known = last_known(old, &target, elected.leader, rules);
    Some(record(key, old, &target, New { leader: elected.leader, elr, last_known }, rules))
        .filter(|record| *record != blank(key))
}

fn min_isr(target: &Target, rules: &Rules<'_>) -> usize {
    rules.min_isr.min(target.replicas.len())
}

/// Who may lead if the ISR is empty: whoever was in ISR or ELR and has lost nothing.
fn eligible(old: &PartitionRegistration, target: &Target) -> Vec<BrokerId> {
    let is_eligible = |id: &BrokerId| {
        (old.isr.contains(id) || old.elr.contains(id))
            && !target.isr.contains(id)
            && !target.unclean.contains(id)
            && !target.lost.contains(id)
    };
    let eligible: Vec<BrokerId> = target.replicas.iter().copied().filter(is_eligible).collect();
    // The same set in another order, as Kafka may have written it, is no change.
    if eligible.len() == old.elr.len() && eligible.iter().all(|id| old.elr.contains(id)) {
        return old.elr.clone();
    }
    eligible
}

struct Elected {
    leader: BrokerId,
    unclean: bool,
}

fn elect(old: &PartitionRegistration, target: &Target, elr: &[BrokerId], rules: &Rules<'_>) -> Elected {
    let acceptable = |id: BrokerId| {
        let has_directory = |&dir: &Uuid| rules.image.has_online_dir(id, dir);
        rules.image.is_active(id) && target.directories.get(&id).is_none_or(has_directory)
    };
    let clean = |id: &BrokerId| {
        let member = if target.isr.is_empty() { elr.contains(id) } else { target.isr.contains(id) };
        member && acceptable(*id)
    };
    let preferred = target.replicas.first().filter(|_| target.election == Election::Preferred);
    let candidates = preferred.into_iter().chain([&old.leader]).chain(&target.replicas).copied();
    if let Some(leader) = candidates.into_iter().find(clean) {
        return Elected { leader, unclean: false };
    }
    let known = match old.last_known_elr[..] {
        [known] if rules.elr && target.isr.is_empty() && elr.is_empty() => Some(known),
        _ => None,
    };
    let keeps_something = |id: &BrokerId| acceptable(*id) && !target.lost.contains(id);
    let known = known.filter(|id| target.replicas.contains(id) && keeps_something(id));
    let any = || {
        let allowed = target.election == Election::Unclean;
        target.replicas.iter().copied().filter(|_| allowed).find(|&id| acceptable(id))
    };
    match known.or_else(any) {
        Some(leader) => Elected { leader, unclean: true },
        None => Elected { leader: BrokerId::NONE, unclean: false },
    }
}

/// The last known ELR, where Kafka keeps no more than the last leader: noted when the partition loses it,
/// forgotten when it has one again.
fn last_known(
    old: &PartitionRegistration,
    target: &Target,
    leader: BrokerId,
    rules: &Rules<'_>,
) -> Vec<BrokerId> {
    if !rules.elr || leader != BrokerId::NONE {
        return Vec::new();
    }
    let remembered = |id: &BrokerId| target.replicas.contains(id) && !target.lost.contains(id);
    let known = if old.last_known_elr.is_empty() { &[old.leader][..] } else { &old.last_known_elr };
    known.iter().copied().filter(remembered).collect()
}

/// What the change itself works out.
struct New {
    leader: BrokerId,
    elr: Vec<BrokerId>,
    last_known: Vec<BrokerId>,
}

fn blank(key: PartitionKey) -> PartitionChangeRecord {
    PartitionChangeRecord {
        topic_id: key.topic_id,
        partition_id: key.index,
        ..PartitionChangeRecord::default()
    }
}

fn record(
    key: PartitionKey,
    old: &PartitionRegistration,
    target: &Target,
    new: New,
    rules: &Rules<'_>,
) -> PartitionChangeRecord {
    let differing = |new: &[BrokerId], old: &[BrokerId]| {
        (new != old).then(|| new.iter().map(|id| id.0).collect::<Vec<_>>())
    };
    let removes = old.replicas.iter().any(|id| !target.replicas.contains(id));
    let raises = new.leader != old.leader || target.raise_epoch || removes;
    let place = |&id: &BrokerId| match target.directories.get(&id) {
        Some(&dir) => dir,
        None => directory(rules.image, id, key.index),
    };
    let directories: Vec<Uuid> = target.replicas.iter().map(place).collect();
    let mut record = blank(key);
    if raises {
        record.leader = new.leader.0;
    }
    if target.recovery != old.leader_recovery {
        record.leader_recovery_state = target.recovery as i8;
    }
    PartitionChangeRecord {
        isr: differing(&target.isr, &old.isr),
        replicas: differing(&target.replicas, &old.replicas),
        removing_replicas: differing(&target.removing, &old.removing),
        adding_replicas: differing(&target.adding, &old.adding),
        eligible_leader_replicas: differing(&new.elr, &old.elr),
        last_known_elr: differing(&new.last_known, &old.last_known_elr),
        directories: (directories != old.directories).then_some(directories),
        ..record
    }
}
