//! Who votes: a set of voters, and how it changed along the log.
//!
//! At kraft.version 0 the voters are those of `controller.quorum.voters`, known by their ids alone. From 1 on
//! they stand in the log as VotersRecords (KIP-853). The last one counts, committed or not; if it is truncated,
//! the one before it counts again.

use std::collections::BTreeMap;

use super::VoterKey;
use super::config::Address;
use crate::types::{BrokerId, Offset, Uuid};
use crate::wire::VersionRange;
use crate::wire::control::{ControlRecord, Endpoint, KRaftVersionFeature, Voter, VotersRecord};

/// The level of kraft.version from which on the voters stand in the log.
pub const RECONFIGURABLE: i16 = 1;

/// A voter of a set.
#[derive(Debug, Clone, PartialEq)]
pub struct VoterNode {
    /// Its key. The directory is zero where it is not known: any directory of the node then votes.
    pub key: VoterKey,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// The levels of kraft.version that it supports.
    pub versions: VersionRange,
}

impl VoterNode {
    /// Whether this voter is `key`.
    pub fn is(&self, key: VoterKey) -> bool {
        self.key.id == key.id && (self.key.directory == Uuid::ZERO || self.key.directory == key.directory)
    }
}

/// The voters at one offset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VoterSet {
    voters: BTreeMap<BrokerId, VoterNode>,
}

impl FromIterator<VoterNode> for VoterSet {
    fn from_iter<T: IntoIterator<Item = VoterNode>>(voters: T) -> Self {
        Self { voters: voters.into_iter().map(|voter| (voter.key.id, voter)).collect() }
    }
}

impl VoterSet {
    /// The set that a record names.
    pub fn from_record(record: &VotersRecord) -> Self {
        let voter = |voter: &Voter| VoterNode {
            key: VoterKey { id: BrokerId(voter.voter_id), directory: voter.voter_directory_id },
            endpoints: voter.endpoints.clone(),
            versions: VersionRange {
                min: voter.k_raft_version_feature.min_supported_version,
                max: voter.k_raft_version_feature.max_supported_version,
            },
        };
        record.voters.iter().map(voter).collect()
    }

    /// The record that names this set.
    pub fn to_record(&self) -> VotersRecord {
        let voter = |voter: &VoterNode| Voter {
            voter_id: voter.key.id.0,
            voter_directory_id: voter.key.directory,
            endpoints: voter.endpoints.clone(),
            k_raft_version_feature: KRaftVersionFeature {
                min_supported_version: voter.versions.min,
                max_supported_version: voter.versions.max,
            },
        };
        VotersRecord { version: 0, voters: self.voters.values().map(voter).collect() }
    }

    /// The voters in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &VoterNode> {
        self.voters.values()
    }

    /// The voter with this id.
    pub fn get(&self, id: BrokerId) -> Option<&VoterNode> {
        self.voters.get(&id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.voters.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.voters.is_empty()
    }

    /// How many are more than half.
    pub fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// Whether `key` is one of them.
    pub fn contains(&self, key: VoterKey) -> bool {
        self.get(key.id).is_some_and(|voter| voter.is(key))
    }

    /// Whether `key` is the only one.
    pub fn is_only(&self, key: VoterKey) -> bool {
        self.len() == 1 && self.contains(key)
    }

    /// Where the voter with this id listens under this name.
    pub fn address(&self, id: BrokerId, listener: &str) -> Option<Address> {
        Address::of_listener(&self.get(id)?.endpoints, listener)
    }

    /// This set and one more; `None` if the id is taken.
    pub fn with(&self, voter: VoterNode) -> Option<Self> {
        let mut new = self.clone();
        new.voters.insert(voter.key.id, voter).is_none().then_some(new)
    }

    /// This set without one; `None` if exactly this voter is not in it, or nobody else is.
    pub fn without(&self, key: VoterKey) -> Option<Self> {
        if self.len() <= 1 || self.get(key.id)?.key != key {
            return None;
        }
        let mut new = self.clone();
        new.voters.remove(&key.id);
        Some(new)
    }

    /// This set with one voter's endpoints and versions (and directory, where it was not known) replaced;
    /// `None` if it is not in it.
    pub fn updated(&self, voter: VoterNode) -> Option<Self> {
        if !self.contains(voter.key) {
            return None;
        }
        let mut new = self.clone();
        new.voters.insert(voter.key.id, voter);
        Some(new)
    }
}

/// The voters and kraft.version along the log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct VoterHistory {
    /// The voters where the log names none.
    fixed: VoterSet,
    sets: Vec<(Offset, VoterSet)>,
    versions: Vec<(Offset, i16)>,
}

impl VoterHistory {
    /// The history of a log that names no voters yet; `fixed` are those of `controller.quorum.voters`.
    pub fn new(fixed: VoterSet) -> Self {
        Self { fixed, ..Self::default() }
    }

    /// The voters now.
    pub fn current(&self) -> &VoterSet {
        self.sets.last().map_or(&self.fixed, |(_, voters)| voters)
    }

    /// Where the log names the current voters; -1 for a snapshot that stands before the log, `None` if the
    /// configuration does.
    pub fn current_offset(&self) -> Option<Offset> {
        self.sets.last().map(|(offset, _)| *offset)
    }

    /// The voters before the last change. That the last could be made says that they were committed.
    pub fn previous(&self) -> &VoterSet {
        match self.sets.len() {
            0 | 1 => &self.fixed,
            count => &self.sets[count - 2].1,
        }
    }

    /// kraft.version now.
    pub fn version(&self) -> i16 {
        self.versions.last().map_or(0, |(_, version)| *version)
    }

    /// Whether voters are known by their directories, and may change.
    pub fn is_reconfigurable(&self) -> bool {
        self.version() >= RECONFIGURABLE
    }

    /// What the log names before `end`: for a snapshot that ends there.
    pub fn before(&self, end: Offset) -> (i16, Option<&VoterSet>) {
        let version = self.versions.iter().rev().find(|(offset, _)| *offset < end);
        let voters = self.sets.iter().rev().find(|(offset, _)| *offset < end);
        (version.map_or(0, |(_, version)| *version), voters.map(|(_, voters)| voters))
    }

    /// Takes in a control record of the log or of its snapshot, in order; a snapshot's stand at the offset
    /// before its end. Says whether it names the voters.
    pub fn record(&mut self, offset: Offset, record: &ControlRecord) -> bool {
        match record {
            ControlRecord::KRaftVoters(record) => {
                self.add_voters(offset, VoterSet::from_record(record));
                true
            }
            ControlRecord::KRaftVersion(record) => {
                self.add_version(offset, record.k_raft_version);
                false
            }
            ControlRecord::LeaderChange(_)
            | ControlRecord::SnapshotHeader(_)
            | ControlRecord::SnapshotFooter(_) => false,
        }
    }

    fn add_voters(&mut self, offset: Offset, voters: VoterSet) {
        assert!(self.current_offset().is_none_or(|last| last < offset), "voters at {offset} again");
        self.sets.push((offset, voters));
    }

    fn add_version(&mut self, offset: Offset, version: i16) {
        assert!(self.versions.last().is_none_or(|last| last.0 < offset), "kraft.version at {offset} again");
        self.versions.push((offset, version));
    }

    /// Forgets what stands at `end` or later.
    pub(super) fn truncate_from_end(&mut self, end: Offset) {
        self.sets.retain(|(offset, _)| *offset < end);
        self.versions.retain(|(offset, _)| *offset < end);
    }

    /// Forgets what a snapshot that ends at `start` makes superfluous: the last before it stays.
    pub(super) fn truncate_from_start(&mut self, start: Offset) {
        let superfluous = |offsets: &mut dyn Iterator<Item = Offset>| {
            offsets.filter(|offset| *offset < start).count().saturating_sub(1)
        };
        let sets = superfluous(&mut self.sets.iter().map(|(offset, _)| *offset));
        self.sets.drain(..sets);
        let versions = superfluous(&mut self.versions.iter().map(|(offset, _)| *offset));
        self.versions.drain(..versions);
    }

    /// Forgets all that the log named: a snapshot takes its place.
    pub(super) fn clear(&mut self) {
        self.sets.clear();
        self.versions.clear();
    }
}
