//! A leader that leads no more: it tells the voters, and goes on in the next epoch.

use std::collections::BTreeSet;

use super::requests::Peer;
use super::*;
use crate::error_code::ErrorCode;
use std::time::Duration;

#[derive(Debug, Clone)]
pub(super) struct Resigned {
    /// Who has not yet been told.
    untold: BTreeSet<BrokerId>,
    /// Who should stand for election, the one with the longest log first.
    successors: Vec<VoterKey>,
    pub(super) deadline: Mono,
}

impl Resigned {
    pub(super) fn new(voters: Vec<VoterKey>, successors: Vec<VoterKey>, deadline: Mono) -> Self {
        let untold = voters.into_iter().map(|voter| voter.id).collect();
        Self { untold, successors, deadline }
    }
}

impl Quorum {
    pub(super) fn on_resign(&mut self, now: Mono, epoch: LeaderEpoch) {
        if epoch == self.epoch() && matches!(self.role, Role::Leader(_)) {
            self.resign(now);
        }
    }

    pub(super) fn on_shutdown(&mut self, now: Mono) {
        self.stopping = true;
        if matches!(self.role, Role::Leader(_)) {
            self.resign(now);
        }
    }

    pub(super) fn resign(&mut self, now: Mono) {
        let Role::Leader(leader) = &self.role else { unreachable!("only a leader resigns") };
        let successors = leader.voters_by_end();
        let deadline = now + self.random_election_timeout();
        let resigned = Resigned::new(self.other_voters(), successors, deadline);
        self.enter(self.election, Role::Resigned(resigned));
    }

    pub(super) fn poll_resigned(&mut self, now: Mono) -> bool {
        let Role::Resigned(resigned) = &self.role else { unreachable!("asked by its role") };
        if resigned.deadline <= now && !self.stopping {
            // In the next epoch nobody takes this node for the leader. There may be none.
            let epoch = LeaderEpoch(self.epoch().0.saturating_add(1));
            let election = if epoch > self.epoch() {
                ElectionState { epoch, leader: None, voted: None }
            } else {
                self.election
            };
            self.become_unattached(now, election);
            return true;
        }
        let successors = resigned.successors.clone();
        for id in resigned.untold.clone() {
            let Some(to) = self.ready_voter(id) else { continue };
            let request = EndQuorumEpochRequest {
                epoch: self.epoch(),
                leader: self.identity.key.id,
                address: self.identity.address(),
                successors: successors.clone(),
            };
            self.send(now, to, Request::EndQuorumEpoch(request));
        }
        false
    }

    pub(super) fn on_end_response(&mut self, now: Mono, peer: Peer, known: &Known) {
        if !self.hear(now, peer, known) {
            return;
        }
        if let (Role::Resigned(resigned), Peer::Node(id)) = (&mut self.role, peer) {
            resigned.untold.remove(&id);
        }
    }

    pub(super) fn on_end(&mut self, now: Mono, token: RequestToken, request: &EndQuorumEpochRequest) {
        let leader = LeaderAt { id: request.leader, address: request.address.clone() };
        let error = self.learn_from_leader(now, request.epoch, &leader);
        if error == ErrorCode::None {
            let pause = self.pause_before_succeeding(&request.successors);
            if let Role::Follower(follower) = &mut self.role {
                follower.fetch_deadline = now + pause;
                // It may vote for a successor at once: the leader itself says that it is over.
                follower.has_fetched = false;
            }
        }
        let known = self.known(error);
        self.answer(token, Answer::EndQuorumEpoch(known));
    }

    /// How long to wait before standing for election: the first successor does not, the others wait ever
    /// longer. The pauses are drawn, also the longest (KAFKA-18345): two that wait alike must not collide.
    fn pause_before_succeeding(&mut self, successors: &[VoterKey]) -> Duration {
        let max = self.config.election_backoff_max;
        let place = successors.iter().position(|successor| self.is_meant(Some(*successor)));
        let pause = match place {
            Some(0) => return Duration::ZERO,
            Some(place) => {
                let halvings = u32::try_from(successors.len() - 1 - place).unwrap_or(u32::MAX);
                max / 1u32.checked_shl(halvings).unwrap_or(u32::MAX)
            }
            None => max,
        };
        pause + self.random_up_to(pause / 2)
    }
}
