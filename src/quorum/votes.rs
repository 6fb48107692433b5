//! Elections: who stands, who votes for whom.
//!
//! A voter votes once in an epoch, for a candidate whose log is not behind its own. Before a voter raises the
//! epoch, it asks whether it could win (pre-vote): a node that was cut off cannot disturb a leader that
//! others follow, for they refuse as long as they fetch.

use std::collections::BTreeMap;

use super::follower::Unattached;
use super::leader::Leader;
use super::requests::Peer;
use super::*;
use crate::error_code::ErrorCode;
use crate::wire::control::{KRaftVersionRecord, LeaderChangeMessage, LeaderChangeVoter};

/// Who stands for election, and what the voters have said so far.
#[derive(Debug, Clone)]
pub(super) struct Nominee {
    votes: BTreeMap<BrokerId, Option<bool>>,
    pub(super) deadline: Mono,
}

impl Nominee {
    fn new(own: BrokerId, voters: &VoterSet, deadline: Mono) -> Self {
        let vote = |voter: &VoterNode| (voter.key.id, (voter.key.id == own).then_some(true));
        Self { votes: voters.iter().map(vote).collect(), deadline }
    }

    fn record(&mut self, voter: BrokerId, granted: bool) {
        if let Some(vote) = self.votes.get_mut(&voter) {
            *vote = Some(granted);
        }
    }

    fn is_won(&self) -> bool {
        self.granting().count() > self.votes.len() / 2
    }

    pub(super) fn is_lost(&self) -> bool {
        self.votes.values().filter(|vote| **vote == Some(false)).count() >= self.votes.len().div_ceil(2)
    }

    fn granting(&self) -> impl Iterator<Item = BrokerId> {
        self.votes.iter().filter(|(_, vote)| **vote == Some(true)).map(|(voter, _)| *voter)
    }

    fn silent(&self) -> Vec<BrokerId> {
        self.votes.iter().filter(|(_, vote)| vote.is_none()).map(|(voter, _)| *voter).collect()
    }
}

impl Quorum {
    pub(super) fn become_prospective(&mut self, now: Mono) {
        assert!(self.is_electable(), "an observer does not stand for election (KAFKA-17067)");
        let nominee = self.new_nominee(now);
        self.enter(self.election, Role::Prospective(nominee));
    }

    pub(super) fn become_candidate(&mut self, now: Mono) {
        assert!(self.is_electable(), "an observer does not stand for election (KAFKA-17067)");
        let epoch = LeaderEpoch(self.epoch().0.checked_add(1).expect("who may stand has an epoch left"));
        let nominee = self.new_nominee(now);
        let election = ElectionState { epoch, leader: None, voted: Some(self.identity.key) };
        self.enter(election, Role::Candidate(nominee));
    }

    fn new_nominee(&mut self, now: Mono) -> Nominee {
        let deadline = now + self.random_election_timeout();
        Nominee::new(self.identity.key.id, self.voters.current(), deadline)
    }

    fn become_leader(&mut self, now: Mono) {
        let Role::Candidate(nominee) = &self.role else { unreachable!("a candidate has won") };
        let granting: Vec<BrokerId> = nominee.granting().collect();
        let election = ElectionState { leader: Some(self.identity.key.id), ..self.election };
        let leader = Leader::new(now, self.voters.current(), self.identity.key, &self.config);
        self.enter(election, Role::Leader(Box::new(leader)));
        let records = self.first_records(&granting);
        self.emit(Effect::Append { epoch: self.epoch(), records });
    }

    fn first_records(&self, granting: &[BrokerId]) -> Vec<ControlRecord> {
        let voter = |id: BrokerId| LeaderChangeVoter { voter_id: id.0, ..LeaderChangeVoter::default() };
        let change = LeaderChangeMessage {
            version: 0,
            leader_id: self.identity.key.id.0,
            voters: self.voters.current().iter().map(|node| voter(node.key.id)).collect(),
            granting_voters: granting.iter().copied().map(voter).collect(),
        };
        let mut records = vec![ControlRecord::LeaderChange(change)];
        if self.voters.is_reconfigurable() {
            let current = self.voters.current();
            let updated = current.updated(self.identity.voter()).unwrap_or_else(|| current.clone());
            // The voters of the formatting stand in no log yet; and the leader itself may have moved.
            let in_log = self.voters.current_offset().is_some_and(|offset| offset >= Offset::ZERO);
            if !in_log || updated != *current {
                let k_raft_version = self.voters.version();
                records.push(ControlRecord::KRaftVersion(KRaftVersionRecord { version: 0, k_raft_version }));
                records.push(ControlRecord::KRaftVoters(updated.to_record()));
            }
        }
        records
    }

    pub(super) fn poll_prospective(&mut self, now: Mono) -> bool {
        let Role::Prospective(nominee) = &self.role else { unreachable!("asked by its role") };
        let (won, lost) = (nominee.is_won(), nominee.is_lost() || nominee.deadline <= now);
        if self.may_stand() && won {
            self.become_candidate(now);
            return true;
        }
        if self.may_stand() && lost {
            self.give_up(now);
            return true;
        }
        self.ask_for_votes(now, true);
        false
    }

    pub(super) fn poll_candidate(&mut self, now: Mono) -> bool {
        let Role::Candidate(nominee) = &self.role else { unreachable!("asked by its role") };
        // Its own vote counts once it cannot be forgotten.
        if nominee.is_won() && self.persisted == Some(self.election) {
            self.become_leader(now);
            return true;
        }
        if self.may_stand() && nominee.deadline <= now {
            self.become_prospective(now);
            return true;
        }
        // Who has lost waits for its timeout, which is random: so the next election has fewer candidates.
        if !nominee.is_lost() {
            self.ask_for_votes(now, false);
        }
        false
    }

    /// Goes back to where it came from: the others still have a leader, or are no more able to elect.
    fn give_up(&mut self, now: Mono) {
        let leader = self.election.leader.filter(|leader| *leader != self.identity.key.id);
        let listener = &self.identity.listener;
        match leader.and_then(|leader| self.voters.current().address(leader, listener)) {
            Some(address) => self.become_follower(now, self.election, address),
            None => self.become_unattached(now, self.election),
        }
    }

    fn ask_for_votes(&mut self, now: Mono, pre_vote: bool) {
        let (Role::Prospective(nominee) | Role::Candidate(nominee)) = &self.role else {
            unreachable!("asked by its role")
        };
        for id in nominee.silent() {
            let Some(to) = self.ready_voter(id) else { continue };
            let voter = self.voters.current().get(id).map(|voter| voter.key);
            let request = VoteRequest {
                epoch: self.epoch(),
                candidate: self.identity.key,
                voter,
                last_epoch: self.last_epoch(),
                log_end: self.log.end(),
                pre_vote,
            };
            self.send(now, to, Request::Vote(request));
        }
    }

    pub(super) fn on_vote(&mut self, now: Mono, token: RequestToken, request: VoteRequest) {
        let (error, granted) = match self.vote(now, request) {
            Ok(granted) => (ErrorCode::None, granted),
            Err(error) => (error, false),
        };
        let known = self.known(error);
        self.answer(token, Answer::Vote(VoteResponse { known, granted }));
    }

    fn vote(&mut self, now: Mono, request: VoteRequest) -> Result<bool, ErrorCode> {
        let VoteRequest { epoch, candidate, voter, last_epoch, log_end, pre_vote } = request;
        let ahead_of_itself = if pre_vote { last_epoch > epoch } else { last_epoch >= epoch };
        let nobody = candidate.id.0 < 0 || candidate.id == self.identity.key.id;
        if log_end < Offset::ZERO || last_epoch.0 < 0 || ahead_of_itself || nobody {
            return Err(ErrorCode::InvalidRequest);
        }
        if epoch < self.epoch() {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if epoch > self.epoch() {
            self.become_unattached(now, ElectionState { epoch, leader: None, voted: None });
        }
        if !self.is_meant(voter) {
            return Err(ErrorCode::InvalidVoterKey);
        }
        let up_to_date = (last_epoch, log_end) >= (self.last_epoch(), self.log.end());
        let granted = self.grants(candidate, up_to_date, pre_vote);
        if granted && !pre_vote && self.election.voted.is_none() {
            let election_deadline = now + self.random_election_timeout();
            let election = ElectionState { voted: Some(candidate), ..self.election };
            self.enter(election, Role::Unattached(Unattached { election_deadline }));
        }
        Ok(granted)
    }

    fn grants(&self, candidate: VoterKey, up_to_date: bool, pre_vote: bool) -> bool {
        match &self.role {
            Role::Leader(_) => false,
            // Once it has fetched, its leader lives; until then it only believes so.
            Role::Follower(follower) => pre_vote && up_to_date && !follower.has_fetched,
            _ if pre_vote => up_to_date,
            Role::Candidate(_) | Role::Resigned(_) => false,
            Role::Unattached(_) | Role::Prospective(_) => match (self.election.voted, self.election.leader) {
                (Some(voted), _) => voted == candidate,
                (None, Some(_)) => false,
                (None, None) => up_to_date,
            },
        }
    }

    pub(super) fn on_vote_response(&mut self, now: Mono, peer: Peer, response: VoteResponse) {
        if !self.hear(now, peer, &response.known) {
            return;
        }
        if let (Role::Prospective(nominee) | Role::Candidate(nominee), Peer::Node(voter)) =
            (&mut self.role, peer)
        {
            nominee.record(voter, response.granted);
        }
    }
}
