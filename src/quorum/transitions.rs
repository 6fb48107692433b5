//! From one role to another, and what every role does alike: persisting, following the log, learning of an
//! epoch or a leader.

use super::follower::{Follower, Unattached};
use super::lineage::PRIMORDIAL;
use super::requests::Peer;
use super::*;
use crate::error_code::ErrorCode;
use rand_core::Rng as _;
use std::time::Duration;

/// What came of hearing of an epoch and a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learnt {
    Nothing,
    /// The role has changed: whatever was going on is over.
    Changed,
    /// Another leader is known in this epoch. Somebody is wrong.
    Inconsistent,
}

impl Quorum {
    pub(super) fn first_role(&mut self, now: Mono) -> Role {
        let ElectionState { leader, .. } = self.election;
        if leader == Some(self.identity.key.id) {
            let deadline = now + self.random_election_timeout();
            return Role::Resigned(Resigned::new(self.other_voters(), Vec::new(), deadline));
        }
        let listener = &self.identity.listener;
        match leader.and_then(|id| Some((id, self.voters.current().address(id, listener)?))) {
            Some((id, address)) => Role::Follower(self.new_follower(now, id, address)),
            None => Role::Unattached(Unattached { election_deadline: now + self.random_election_timeout() }),
        }
    }

    pub(super) fn become_unattached(&mut self, now: Mono, election: ElectionState) {
        // Whoever was waiting to stand for election goes on waiting: higher epochs must not put it off.
        let waiting = match &self.role {
            Role::Unattached(unattached) => Some(unattached.election_deadline),
            Role::Candidate(nominee) => Some(nominee.deadline),
            Role::Prospective(nominee) => (!nominee.is_lost()).then_some(nominee.deadline),
            Role::Resigned(resigned) => Some(resigned.deadline),
            Role::Leader(_) | Role::Follower(_) => None,
        };
        let election_deadline = waiting
            .filter(|deadline| *deadline > now)
            .unwrap_or_else(|| now + self.random_election_timeout());
        self.enter(election, Role::Unattached(Unattached { election_deadline }));
    }

    pub(super) fn become_follower(&mut self, now: Mono, election: ElectionState, address: Address) {
        let leader = election.leader.expect("a follower has a leader");
        let follower = self.new_follower(now, leader, address);
        self.enter(election, Role::Follower(follower));
    }

    fn new_follower(&self, now: Mono, id: BrokerId, address: Address) -> Follower {
        assert_ne!(id, self.identity.key.id, "nobody follows itself");
        Follower::new(id, address, now + self.config.fetch_timeout)
    }

    /// Takes on a role. Requests of the old one are forgotten.
    pub(super) fn enter(&mut self, election: ElectionState, role: Role) {
        let old_election = self.election;
        self.set_election(election);
        self.requests.reset();
        self.held.retain(|effect| !matches!(effect, Effect::Send { .. } | Effect::Append { .. }));
        let old = std::mem::replace(&mut self.role, role);
        if let Role::Leader(leader) = old {
            self.dismiss(old_election.epoch, *leader);
        }
    }

    fn set_election(&mut self, new: ElectionState) {
        let old = self.election;
        if new == old {
            return;
        }
        let kept = (old.voted.is_none() || new.voted == old.voted)
            && (old.leader.is_none() || new.leader == old.leader);
        assert!(new.epoch > old.epoch || (new.epoch == old.epoch && kept), "{new:?} after {old:?}");
        self.election = new;
        self.effects.push(Effect::Persist(new));
    }

    /// Has an effect carried out; not before what the node persists is durable, if it leaves the node or
    /// makes it lead.
    pub(super) fn emit(&mut self, effect: Effect) {
        let waits = matches!(effect, Effect::Send { .. } | Effect::Answer { .. } | Effect::Append { .. });
        if waits && self.persisted != Some(self.election) {
            self.held.push(effect);
        } else {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let change = match effect {
            Effect::Append { .. } | Effect::AppendFetched(_) => Some(LogChange::Append),
            Effect::Truncate(to) => Some(LogChange::Truncate(to)),
            Effect::InstallSnapshot(id) => Some(LogChange::Install(id)),
            _ => None,
        };
        if change.is_some() {
            assert_eq!(self.log_change, None, "one change of the log at a time: {effect:?}");
            self.log_change = change;
        }
        self.effects.push(effect);
    }

    pub(super) fn on_persisted(&mut self, state: ElectionState) {
        if state != self.election {
            // It is superseded: what is held waits for the later one.
            return;
        }
        self.persisted = Some(state);
        for effect in std::mem::take(&mut self.held) {
            self.carry_out(effect);
        }
    }

    pub(super) fn on_appended(&mut self, now: Mono, batches: Vec<AppendedBatch>) {
        let fetched = matches!(self.role, Role::Follower(_));
        let own = self.log_change.take().is_some();
        let mut voters_changed = false;
        for AppendedBatch { span, controls } in batches {
            assert!(fetched || span.epoch == self.epoch(), "{span:?} in epoch {}", self.epoch());
            self.log.append(span.base, span.end, span.epoch);
            for (offset, record) in &controls {
                assert!(span.base <= *offset && *offset < span.end, "offset {offset} in {span:?}");
                voters_changed |= self.voters.record(*offset, record);
            }
        }
        match self.role {
            Role::Leader(_) => self.leader_appended(now, voters_changed),
            _ => assert!(own, "only a leader appends without being told to"),
        }
    }

    pub(super) fn on_durable(&mut self, now: Mono, end: Offset) {
        self.log.made_durable(end);
        match self.role {
            Role::Leader(_) => self.advance(now),
            Role::Follower(_) => self.commit_what_the_leader_says(),
            _ => {}
        }
    }

    pub(super) fn on_truncated(&mut self) {
        let Some(LogChange::Truncate(to)) = self.log_change.take() else {
            unreachable!("the step has checked what is under way")
        };
        self.log.truncate(to);
        self.voters.truncate_from_end(to);
    }

    pub(super) fn on_snapshot_installed(&mut self, controls: &[ControlRecord]) {
        let Some(LogChange::Install(id)) = self.log_change.take() else {
            unreachable!("the step has checked what is under way")
        };
        self.log.replace(id);
        self.voters.clear();
        for record in controls {
            self.voters.record(Offset(id.end.0 - 1), record);
        }
        self.commit(id.end);
    }

    pub(super) fn on_snapshot_taken(&mut self, id: SnapshotId) {
        // A snapshot of the leader's may have overtaken it.
        if id.end > self.log.start() {
            assert!(id.end <= self.committed, "snapshot {id} of what is not committed: {}", self.committed);
            self.log.add_snapshot(id);
        }
    }

    pub(super) fn on_log_start_raised(&mut self, start: Offset) {
        self.log.raise_start(start);
        self.voters.truncate_from_start(start);
    }

    pub(super) fn commit(&mut self, end: Offset) {
        assert!(end >= self.committed, "commit {end} after {}", self.committed);
        if end > self.committed {
            self.committed = end;
            self.carry_out(Effect::Commit(end));
        }
    }

    pub(super) fn on_request(&mut self, now: Mono, token: RequestToken, request: Request) {
        match request {
            Request::Vote(request) => self.on_vote(now, token, request),
            Request::BeginQuorumEpoch(request) => self.on_begin(now, token, &request),
            Request::EndQuorumEpoch(request) => self.on_end(now, token, &request),
            Request::Fetch(request) => self.on_fetch(now, token, request),
            Request::FetchSnapshot(request) => self.on_fetch_snapshot(now, token, request),
            Request::AddVoter(request) => self.on_add_voter(now, token, request),
            Request::RemoveVoter(request) => self.on_remove_voter(now, token, request),
            Request::UpdateVoter(request) => self.on_update_voter(now, token, request),
            Request::SupportedVersions => unreachable!("ApiVersions is answered elsewhere"),
        }
    }

    pub(super) fn on_response(&mut self, now: Mono, id: RequestId, response: Response) {
        let Some(peer) = self.requests.answered(id) else { return };
        match response {
            Response::Vote(response) => self.on_vote_response(now, peer, response),
            Response::BeginQuorumEpoch(known) => {
                self.hear(now, peer, &known);
            }
            Response::EndQuorumEpoch(known) => self.on_end_response(now, peer, &known),
            Response::Fetch(response) => self.on_fetch_response(now, peer, id, response),
            Response::FetchSnapshot(response) => self.on_snapshot_response(now, peer, id, response),
            Response::UpdateVoter(known) => {
                self.hear(now, peer, &known);
            }
            Response::SupportedVersions(versions) => self.on_supported_versions(now, id, versions),
        }
    }

    pub(super) fn on_failed(&mut self, now: Mono, id: RequestId, failure: Failure) {
        let Some(peer) = self.requests.answered(id) else { return };
        self.requests.back_off(now, peer, &self.config);
        match self.role {
            // A voter that knows no pre-vote: only a vote will tell.
            Role::Prospective(_) if failure == Failure::UnsupportedVersion && self.may_stand() => {
                self.become_candidate(now);
            }
            Role::Leader(_) => self.versions_unknown(id),
            _ => {}
        }
    }

    /// Acts on what a response says about epoch and leader. True if the rest of it is about the current role
    /// and free of errors.
    pub(super) fn hear(&mut self, now: Mono, peer: Peer, known: &Known) -> bool {
        let learnt = self.learn(now, known.epoch, known.leader.as_ref());
        let current = known.epoch == self.epoch() && learnt == Learnt::Nothing;
        if current && known.error == ErrorCode::None {
            return true;
        }
        if learnt != Learnt::Changed {
            // Asking again at once would bring the same answer.
            self.requests.back_off(now, peer, &self.config);
        }
        false
    }

    /// Takes note that somebody knows this epoch and leader.
    pub(super) fn learn(&mut self, now: Mono, epoch: LeaderEpoch, leader: Option<&LeaderAt>) -> Learnt {
        let own = self.identity.key.id;
        let address = leader.and_then(|leader| self.address_of(leader));
        let leader = leader.map(|leader| leader.id).filter(|id| id.0 >= 0);
        if epoch < self.epoch() {
            return Learnt::Nothing;
        }
        if epoch > self.epoch() {
            let election = ElectionState { epoch, leader, voted: None };
            match address.filter(|_| leader.is_some_and(|leader| leader != own)) {
                Some(address) => self.become_follower(now, election, address),
                // If the leader is this very node, it has lost its disk since. It may not vote in that epoch,
                // and as the leader of the epoch it does not.
                None => self.become_unattached(now, election),
            }
            return Learnt::Changed;
        }
        let Some(leader) = leader.filter(|leader| *leader != own) else { return Learnt::Nothing };
        match (self.election.leader, address) {
            (Some(known), _) if known != leader => Learnt::Inconsistent,
            (None, Some(address)) => {
                self.become_follower(now, ElectionState { leader: Some(leader), ..self.election }, address);
                Learnt::Changed
            }
            (Some(_), Some(address)) if matches!(self.role, Role::Unattached(_)) => {
                self.become_follower(now, self.election, address);
                Learnt::Changed
            }
            _ => Learnt::Nothing,
        }
    }

    pub(super) fn address_of(&self, leader: &LeaderAt) -> Option<Address> {
        let listener = &self.identity.listener;
        leader.address.clone().or_else(|| self.voters.current().address(leader.id, listener))
    }

    /// What this node says about epoch and leader.
    pub(super) fn known(&self, error: ErrorCode) -> Known {
        let leader = self.election.leader.map(|id| LeaderAt {
            id,
            address: match &self.role {
                Role::Follower(follower) => Some(follower.leader.address.clone()),
                _ if id == self.identity.key.id => self.identity.address(),
                _ => self.voters.current().address(id, &self.identity.listener),
            },
        });
        Known { error, epoch: self.epoch(), leader }
    }

    /// What stands against a request that only a leader of `epoch` answers.
    pub(super) fn refuse_unless_leader(&self, epoch: LeaderEpoch) -> Option<ErrorCode> {
        match epoch.cmp(&self.epoch()) {
            std::cmp::Ordering::Less => Some(ErrorCode::FencedLeaderEpoch),
            std::cmp::Ordering::Greater => Some(ErrorCode::UnknownLeaderEpoch),
            std::cmp::Ordering::Equal if matches!(self.role, Role::Leader(_)) => None,
            std::cmp::Ordering::Equal => Some(ErrorCode::NotLeaderOrFollower),
        }
    }

    /// Whether a request that names its receiver means this node.
    pub(super) fn is_meant(&self, voter: Option<VoterKey>) -> bool {
        let own = self.identity.key;
        voter.is_none_or(|voter| {
            voter.id == own.id && (voter.directory == Uuid::ZERO || voter.directory == own.directory)
        })
    }

    pub(super) fn send(&mut self, now: Mono, to: Destination, request: Request) -> RequestId {
        let id = self.requests.send(now, to.peer, &self.config);
        self.emit(Effect::Send { id, to, request });
        id
    }

    /// Where a voter listens, if it is known and no request to it is under way or put off.
    pub(super) fn ready_voter(&self, id: BrokerId) -> Option<Destination> {
        let peer = Peer::Node(id);
        let address = self.voters.current().address(id, &self.identity.listener)?;
        self.requests.is_ready(peer).then_some(Destination { peer, address })
    }

    pub(super) fn answer(&mut self, token: RequestToken, answer: Answer) {
        self.emit(Effect::Answer { token, answer });
    }

    pub(super) fn other_voters(&self) -> Vec<VoterKey> {
        let voters = self.voters.current().iter().map(|voter| voter.key);
        voters.filter(|voter| voter.id != self.identity.key.id).collect()
    }

    /// Whether this node may stand for election when its time has come.
    pub(super) fn may_stand(&self) -> bool {
        !self.stopping && self.is_electable() && self.election.epoch.0 < i32::MAX
    }

    /// A voter is; and so is one that was removed, until it knows that to be committed. It may be the only one
    /// that holds the record. Then those who lack it cannot elect anybody without its vote, which it does not
    /// give to a log behind its own. (It does not count itself, and resigns once the removal is committed.)
    pub(super) fn is_electable(&self) -> bool {
        let in_doubt = self.voters.current_offset().is_some_and(|offset| offset >= self.committed);
        self.is_voter() || (in_doubt && self.voters.previous().contains(self.identity.key))
    }

    pub(super) fn if_may_stand(&self, deadline: Mono) -> Option<Mono> {
        self.may_stand().then_some(deadline)
    }

    pub(super) fn random_election_timeout(&mut self) -> Duration {
        let timeout = self.config.election_timeout;
        timeout + self.random_up_to(timeout)
    }

    pub(super) fn random_up_to(&mut self, limit: Duration) -> Duration {
        let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX).max(1);
        Duration::from_nanos(self.rng.next_u64() % nanos)
    }

    pub(super) fn random_below(&mut self, count: usize) -> usize {
        (self.rng.next_u64() % count as u64) as usize
    }

    /// The epoch that a request for votes names for a log without records.
    pub(super) fn last_epoch(&self) -> LeaderEpoch {
        self.log.last_epoch().max(PRIMORDIAL)
    }
}
