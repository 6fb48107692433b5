//! Leading: who holds what, what is committed, who fetches.

use crate::wire::control::Endpoint;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::lineage::Lineage;
use super::voter_changes::PendingChange;
use super::*;
use crate::error_code::ErrorCode;

/// A replica that does not fetch for this long is no longer an observer. Kafka's value.
const OBSERVER_SESSION: Duration = Duration::from_secs(300);

/// What the leader knows of a replica.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    key: VoterKey,
    /// The offset that it fetched from: it holds all before durably.
    end: Option<Offset>,
    last_fetch: Option<Mono>,
    /// When it last had all that the leader had.
    caught_up: Option<Mono>,
    /// The leader's log end at its last fetch.
    leader_end: Offset,
}

impl Progress {
    fn new(key: VoterKey) -> Self {
        Self { key, end: None, last_fetch: None, caught_up: None, leader_end: Offset::ZERO }
    }

    fn fetched(&mut self, now: Mono, offset: Offset, leader_end: Offset) {
        if offset >= leader_end {
            self.caught_up = Some(now);
        } else if self.last_fetch.is_some() && offset >= self.leader_end {
            self.caught_up = self.caught_up.max(self.last_fetch);
        }
        self.leader_end = leader_end;
        self.last_fetch = Some(now);
        self.end = Some(offset);
    }
}

/// A Fetch that waits for something new.
#[derive(Debug, Clone, Copy)]
struct Parked {
    request: FetchRequest,
    deadline: Mono,
}

/// The state of a leader.
#[derive(Debug, Clone)]
pub(super) struct Leader {
    own: VoterKey,
    /// The offset of its LeaderChange, once it is appended.
    epoch_start: Option<Offset>,
    /// Whether its LeaderChange is committed.
    established: bool,
    voters: BTreeMap<BrokerId, Progress>,
    observers: BTreeMap<VoterKey, Progress>,
    /// Voters that have fetched since the majority last had.
    fetched: BTreeSet<BrokerId>,
    check_quorum: Mono,
    begin_quorum: Mono,
    parked: BTreeMap<RequestToken, Parked>,
    pub(super) change: Option<PendingChange>,
}

/// What DescribeQuorum says. Times are of this node's clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The leader: this node.
    pub leader: BrokerId,
    /// Its epoch.
    pub epoch: LeaderEpoch,
    /// The high watermark, once it has one in its epoch.
    pub high_watermark: Option<Offset>,
    /// The voters, the leader among them if it is one.
    pub voters: Vec<ReplicaDescription>,
    /// The other replicas that fetch.
    pub observers: Vec<ReplicaDescription>,
    /// Where the voters listen, as far as that is known.
    pub endpoints: Vec<(BrokerId, Vec<Endpoint>)>,
}

/// A replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaDescription {
    /// Who.
    pub key: VoterKey,
    /// The end of its log, as far as is known.
    pub log_end: Option<Offset>,
    /// When it last fetched.
    pub last_fetch: Option<Mono>,
    /// When it last had all that the leader had.
    pub last_caught_up: Option<Mono>,
}

impl Leader {
    pub(super) fn new(now: Mono, voters: &VoterSet, own: VoterKey, config: &QuorumConfig) -> Self {
        let mut leader = Self {
            own,
            epoch_start: None,
            established: false,
            voters: BTreeMap::new(),
            observers: BTreeMap::new(),
            fetched: BTreeSet::new(),
            check_quorum: now,
            begin_quorum: now,
            parked: BTreeMap::new(),
            change: None,
        };
        leader.set_voters(now, voters, config);
        leader
    }

    pub(super) fn is_established(&self) -> bool {
        self.established
    }

    /// The voters have changed: what is known of a replica stays known.
    fn set_voters(&mut self, now: Mono, voters: &VoterSet, config: &QuorumConfig) {
        let before = std::mem::take(&mut self.voters);
        self.observers.extend(before.into_values().map(|progress| (progress.key, progress)));
        for voter in voters.iter() {
            let known = self.observers.keys().copied().find(|key| voter.is(*key));
            let progress = known.and_then(|key| self.observers.remove(&key));
            self.voters.insert(voter.key.id, progress.unwrap_or_else(|| Progress::new(voter.key)));
        }
        self.observers.remove(&self.own);
        // The new majority gets the whole time; a former only voter had no time running at all.
        self.fetched.clear();
        self.check_quorum = now + config.check_quorum_timeout();
    }

    fn progress(&mut self, now: Mono, voters: &VoterSet, key: VoterKey) -> &mut Progress {
        if voters.contains(key) {
            let progress = self.voters.get_mut(&key.id).expect("the leader follows the voter set");
            progress.key = key;
            return progress;
        }
        if !self.observers.contains_key(&key) {
            self.observers.retain(|_, observer| {
                observer.last_fetch.is_some_and(|last| now.since(last) < OBSERVER_SESSION)
            });
        }
        self.observers.entry(key).or_insert_with(|| Progress::new(key))
    }

    /// A replica has asked for something: a majority that does keeps the leader in office.
    pub(super) fn heard_from(&mut self, now: Mono, voters: &VoterSet, key: VoterKey, config: &QuorumConfig) {
        if !voters.contains(key) {
            return;
        }
        self.fetched.insert(key.id);
        if self.fetched.len() + usize::from(voters.contains(self.own)) >= voters.majority() {
            self.fetched.clear();
            self.check_quorum = now + config.check_quorum_timeout();
        }
    }

    pub(super) fn next_deadline(&self, counts_quorum: bool) -> Option<Mono> {
        let check_quorum = counts_quorum.then_some(self.check_quorum);
        let change = self.change.as_ref().map(PendingChange::deadline);
        let parked = self.parked.values().map(|parked| parked.deadline).min();
        [check_quorum, Some(self.begin_quorum), change, parked].into_iter().flatten().min()
    }

    /// The other voters, the one that holds most first.
    pub(super) fn voters_by_end(&self) -> Vec<VoterKey> {
        let mut others: Vec<&Progress> =
            self.voters.values().filter(|progress| progress.key.id != self.own.id).collect();
        others.sort_by_key(|progress| (std::cmp::Reverse(progress.end), progress.key));
        others.into_iter().map(|progress| progress.key).collect()
    }

    /// Whether a replica has had, within this time, all that the leader had.
    pub(super) fn is_caught_up(&self, now: Mono, key: VoterKey, within: Duration) -> bool {
        let caught_up = self.observers.get(&key).and_then(|progress| progress.caught_up);
        caught_up.is_some_and(|at| now.since(at) <= within)
    }
}

impl Quorum {
    pub(super) fn poll_leader(&mut self, now: Mono) -> bool {
        let counts_quorum = self.counts_quorum();
        let Role::Leader(leader) = &mut self.role else { unreachable!("asked by its role") };
        // A candidate that was told to stop may have won all the same.
        if self.stopping || (counts_quorum && leader.check_quorum <= now) {
            self.resign(now);
            return true;
        }
        let late = leader.parked.iter().filter(|(_, parked)| parked.deadline <= now);
        let late: Vec<RequestToken> = late.map(|(token, _)| *token).collect();
        let begins = leader.begin_quorum <= now;
        for token in late {
            self.answer_parked(token);
        }
        self.expire_change(now);
        if begins {
            self.make_known(now);
        }
        false
    }

    /// Whether the leader depends on others: not if it is the only voter (KAFKA-16144).
    pub(super) fn counts_quorum(&self) -> bool {
        !self.voters.current().is_only(self.identity.key)
    }

    /// Tells voters that do not fetch who leads.
    fn make_known(&mut self, now: Mono) {
        let interval = self.config.begin_quorum_interval();
        let Role::Leader(leader) = &mut self.role else { unreachable!("asked by its role") };
        leader.begin_quorum = now + interval;
        let fetches =
            |progress: &Progress| progress.last_fetch.is_some_and(|last| now.since(last) < interval);
        let silent = leader.voters.iter().filter(|(_, progress)| !fetches(progress));
        let silent: Vec<BrokerId> =
            silent.map(|(id, _)| *id).filter(|id| *id != self.identity.key.id).collect();
        for id in silent {
            let Some(to) = self.ready_voter(id) else { continue };
            let request = BeginQuorumEpochRequest {
                epoch: self.epoch(),
                leader: self.identity.key.id,
                address: self.identity.address(),
                voter: self.voters.current().get(id).map(|voter| voter.key),
            };
            self.send(now, to, Request::BeginQuorumEpoch(request));
        }
    }

    pub(super) fn leader_appended(&mut self, now: Mono, voters_changed: bool) {
        let epoch = self.epoch();
        let start = self.log.epochs().latest().filter(|latest| latest.epoch == epoch);
        let Role::Leader(leader) = &mut self.role else { unreachable!("asked by its role") };
        leader.epoch_start = start.map(|entry| entry.start_offset);
        if voters_changed {
            leader.set_voters(now, self.voters.current(), &self.config);
            self.change_appended();
        }
        self.wake_parked();
        self.advance(now);
    }

    /// Looks what a majority holds durably by now.
    pub(super) fn advance(&mut self, now: Mono) {
        let (own, durable_end) = (self.identity.key, self.log.durable_end());
        let Role::Leader(leader) = &mut self.role else { unreachable!("asked by its role") };
        let held = |progress: &Progress| {
            if progress.key.id == own.id { durable_end } else { progress.end.unwrap_or(Offset::ZERO) }
        };
        let mut ends: Vec<Offset> = leader.voters.values().map(held).collect();
        ends.sort_by_key(|end| std::cmp::Reverse(*end));
        // So many voters and one more hold at least this much.
        let majority = ends[ends.len() / 2].min(durable_end);
        // What lies before the own LeaderChange may be held by a majority and still be lost, until that is
        // held as well (KAFKA-12619).
        if leader.epoch_start.is_none_or(|start| majority <= start) || majority <= self.committed {
            return;
        }
        let first = !leader.established;
        self.commit(majority);
        if first && !self.is_removed() {
            let Role::Leader(leader) = &mut self.role else { unreachable!("asked by its role") };
            leader.established = true;
            let epoch = self.epoch();
            self.emit(Effect::Lead(epoch));
        }
        self.wake_parked();
        self.change_committed(now);
    }

    /// The leader is no more: answers who waited for it.
    pub(super) fn dismiss(&mut self, epoch: LeaderEpoch, leader: Leader) {
        if leader.established {
            self.emit(Effect::Lost(epoch));
        }
        for token in leader.parked.into_keys() {
            self.answer_fetch(token, ErrorCode::NotLeaderOrFollower, None);
        }
        if let Some(change) = leader.change {
            self.answer_change(change, ErrorCode::NotLeaderOrFollower, "the leader has resigned");
        }
    }

    pub(super) fn on_fetch(&mut self, now: Mono, token: RequestToken, request: FetchRequest) {
        let FetchRequest { replica, epoch, offset, last_epoch, .. } = request;
        let malformed = offset < Offset::ZERO || last_epoch.0 < 0 || last_epoch > epoch;
        if malformed || replica.id == self.identity.key.id {
            return self.answer_fetch(token, ErrorCode::InvalidRequest, None);
        }
        if let Some(error) = self.refuse_unless_leader(epoch) {
            return self.answer_fetch(token, error, None);
        }
        let lineage = self.log.lineage(offset, last_epoch);
        let (log_end, config) = (self.log.end(), self.config);
        let Role::Leader(leader) = &mut self.role else { unreachable!("it was looked at") };
        if replica.id.0 >= 0 {
            leader.heard_from(now, self.voters.current(), replica, &config);
            if lineage == Lineage::Prefix {
                leader.progress(now, self.voters.current(), replica).fetched(now, offset, log_end);
                self.advance(now);
            }
        }
        self.answer_or_park(now, token, request, lineage);
    }

    fn answer_or_park(&mut self, now: Mono, token: RequestToken, request: FetchRequest, lineage: Lineage) {
        // To advance may have ended the leadership: of who removed itself, for instance.
        let Role::Leader(leader) = &mut self.role else {
            return self.answer_fetch(token, ErrorCode::NotLeaderOrFollower, None);
        };
        let is_new = request.offset < self.log.end()
            || (leader.established && request.high_watermark < self.committed)
            || lineage != Lineage::Prefix;
        if is_new || request.max_wait.is_zero() {
            let fetched = self.fetched(request.offset, lineage);
            return self.answer_fetch(token, ErrorCode::None, Some(fetched));
        }
        let deadline = now + request.max_wait.min(self.config.fetch_wait_max);
        leader.parked.insert(token, Parked { request, deadline });
    }

    fn fetched(&self, offset: Offset, lineage: Lineage) -> Fetched<ReadRange> {
        match lineage {
            Lineage::Prefix => Fetched::Records(ReadRange { from: offset, to: self.log.end() }),
            Lineage::Diverging(end) => Fetched::Diverging { epoch: end.epoch, end: end.end },
            Lineage::Snapshot(id) => Fetched::Snapshot(id),
        }
    }

    fn answer_fetch(&mut self, token: RequestToken, error: ErrorCode, fetched: Option<Fetched<ReadRange>>) {
        let known = self.known(error);
        let high_watermark = match &self.role {
            Role::Leader(leader) if leader.established => Some(self.committed),
            _ => None,
        };
        self.answer(token, Answer::Fetch(FetchResponse { known, high_watermark, fetched }));
    }

    fn wake_parked(&mut self) {
        let (end, committed) = (self.log.end(), self.committed);
        let Role::Leader(leader) = &self.role else { unreachable!("asked by its role") };
        let established = leader.established;
        let has_news = |parked: &Parked| {
            parked.request.offset < end || (established && parked.request.high_watermark < committed)
        };
        let woken = leader.parked.iter().filter(|(_, parked)| has_news(parked));
        for token in woken.map(|(token, _)| *token).collect::<Vec<_>>() {
            self.answer_parked(token);
        }
    }

    fn answer_parked(&mut self, token: RequestToken) {
        let Role::Leader(leader) = &mut self.role else { unreachable!("asked by its role") };
        let Parked { request, .. } = leader.parked.remove(&token).expect("it is parked");
        let lineage = self.log.lineage(request.offset, request.last_epoch);
        let fetched = self.fetched(request.offset, lineage);
        self.answer_fetch(token, ErrorCode::None, Some(fetched));
    }

    pub(super) fn on_fetch_snapshot(
        &mut self,
        now: Mono,
        token: RequestToken,
        request: FetchSnapshotRequest,
    ) {
        let refusal = self.refuse_unless_leader(request.epoch);
        let config = self.config;
        let mut chunk = None;
        if let (None, Role::Leader(leader)) = (refusal, &mut self.role) {
            leader.heard_from(now, self.voters.current(), request.replica, &config);
            let FetchSnapshotRequest { id, position, max_bytes, .. } = request;
            chunk = Some(ReadChunk { id, position, max_bytes });
        }
        let known = self.known(refusal.unwrap_or(ErrorCode::None));
        self.answer(token, Answer::FetchSnapshot(FetchSnapshotResponse { known, chunk }));
    }

    /// What DescribeQuorum says. `None` if this node does not lead.
    pub fn describe(&self, now: Mono) -> Option<Description> {
        let Role::Leader(leader) = &self.role else { return None };
        let describe = |progress: &Progress| {
            let own = progress.key.id == self.identity.key.id;
            ReplicaDescription {
                key: progress.key,
                log_end: if own { Some(self.log.end()) } else { progress.end },
                last_fetch: if own { Some(now) } else { progress.last_fetch },
                last_caught_up: if own { Some(now) } else { progress.caught_up },
            }
        };
        let fetches =
            |progress: &&Progress| progress.last_fetch.is_some_and(|last| now.since(last) < OBSERVER_SESSION);
        Some(Description {
            leader: self.identity.key.id,
            epoch: self.epoch(),
            high_watermark: leader.established.then_some(self.committed),
            voters: leader.voters.values().map(describe).collect(),
            observers: leader.observers.values().filter(fetches).map(describe).collect(),
            endpoints: self.voters.current().iter().map(|it| (it.key.id, it.endpoints.clone())).collect(),
        })
    }
}
