//! Looking for a leader, and following it: Fetch after Fetch, each one from the durable end of the log.

use super::lineage::EndOfEpoch;
use super::requests::Peer;
use super::snapshot::Download;
use super::transitions::Learnt;
use super::*;
use crate::error_code::ErrorCode;
use std::time::Duration;

/// Without a leader that it could ask.
#[derive(Debug, Clone)]
pub(super) struct Unattached {
    pub(super) election_deadline: Mono,
}

/// The leader that is followed.
#[derive(Debug, Clone)]
pub(super) struct FollowedLeader {
    pub(super) id: BrokerId,
    pub(super) address: Address,
}

/// With a leader.
#[derive(Debug, Clone)]
pub(super) struct Follower {
    pub(super) leader: FollowedLeader,
    /// A voter that has not heard of the leader by then stands for election.
    pub(super) fetch_deadline: Mono,
    /// Whether the leader has answered since this node follows it.
    pub(super) has_fetched: bool,
    /// The high watermark that the leader has told, which may lie ahead of what is durable here.
    leader_committed: Offset,
    download: Option<Download>,
    /// When to see to it that the voters' record about this node is right.
    update_deadline: Mono,
}

impl Follower {
    pub(super) fn new(id: BrokerId, address: Address, fetch_deadline: Mono) -> Self {
        Self {
            leader: FollowedLeader { id, address },
            fetch_deadline,
            has_fetched: false,
            leader_committed: Offset::ZERO,
            download: None,
            update_deadline: fetch_deadline,
        }
    }
}

impl Quorum {
    pub(super) fn poll_unattached(&mut self, now: Mono) -> bool {
        let Role::Unattached(unattached) = &mut self.role else { unreachable!("asked by its role") };
        let is_due = unattached.election_deadline <= now;
        if is_due && self.may_stand() {
            self.become_prospective(now);
            return true;
        }
        self.fetch_from_anybody(now);
        false
    }

    pub(super) fn poll_follower(&mut self, now: Mono) -> bool {
        let Role::Follower(follower) = &self.role else { unreachable!("asked by its role") };
        if follower.fetch_deadline <= now && self.may_stand() {
            self.become_prospective(now);
            return true;
        }
        if self.requests.any_under_way() {
            return false;
        }
        let peer = Peer::Node(follower.leader.id);
        if !self.requests.is_ready(peer) {
            // The leader did not answer as it should: perhaps somebody knows another.
            self.fetch_from_anybody(now);
            return false;
        }
        let to = Destination { peer, address: follower.leader.address.clone() };
        let update_is_due = follower.update_deadline <= now && self.is_voter();
        let download = follower.download;
        if update_is_due && self.update_voter(now, &to) {
            return false;
        }
        match download {
            Some(download) => self.fetch_snapshot(now, to, download),
            None => self.fetch(now, to),
        }
        false
    }

    pub(super) fn follower_deadline(&self, follower: &Follower) -> Option<Mono> {
        let mut deadlines = vec![self.if_may_stand(follower.fetch_deadline)];
        // While a request is under way, or the leader is given a rest, an update waits for the end of it.
        let peer = Peer::Node(follower.leader.id);
        if self.is_voter() && !self.requests.any_under_way() && self.requests.is_ready(peer) {
            deadlines.push(Some(follower.update_deadline));
        }
        deadlines.into_iter().flatten().min()
    }

    fn fetch_from_anybody(&mut self, now: Mono) {
        if self.requests.any_under_way() {
            return;
        }
        let mut ready: Vec<Destination> =
            self.other_voters().iter().filter_map(|voter| self.ready_voter(voter.id)).collect();
        for (place, address) in self.identity.bootstrap.iter().enumerate() {
            let peer = Peer::Bootstrap(place);
            if self.requests.is_ready(peer) && self.identity.address().as_ref() != Some(address) {
                ready.push(Destination { peer, address: address.clone() });
            }
        }
        if !ready.is_empty() {
            let chosen = ready.swap_remove(self.random_below(ready.len()));
            self.fetch(now, chosen);
        }
    }

    fn fetch(&mut self, now: Mono, to: Destination) {
        if self.log.durable_end() < self.log.end() {
            // Whom it asks may be the leader, which counts the offset that is asked for.
            return;
        }
        // Who looks for the leader wants to hear of it at once, not when there is something new.
        let waits = matches!(self.role, Role::Follower(_));
        let request = FetchRequest {
            replica: self.identity.key,
            epoch: self.epoch(),
            offset: self.log.end(),
            last_epoch: self.last_epoch(),
            high_watermark: self.committed,
            max_wait: if waits { self.config.fetch_wait_max } else { Duration::ZERO },
        };
        self.send(now, to, Request::Fetch(request));
    }

    fn fetch_snapshot(&mut self, now: Mono, to: Destination, download: Download) {
        let request = FetchSnapshotRequest {
            replica: self.identity.key,
            epoch: self.epoch(),
            id: download.id,
            position: download.position,
            max_bytes: self.config.snapshot_chunk_bytes,
        };
        self.send(now, to, Request::FetchSnapshot(request));
    }

    /// Tells the leader if this voter listens elsewhere than the voters' record says. False if it need not.
    fn update_voter(&mut self, now: Mono, to: &Destination) -> bool {
        let Role::Follower(follower) = &mut self.role else { unreachable!("asked by its role") };
        follower.update_deadline = now + self.config.fetch_timeout;
        let own = self.identity.voter();
        if !self.voters.is_reconfigurable() || self.voters.current().get(own.key.id) == Some(&own) {
            return false;
        }
        let request = UpdateVoterRequest {
            epoch: self.epoch(),
            voter: own.key,
            endpoints: own.endpoints,
            versions: own.versions,
        };
        self.send(now, to.clone(), Request::UpdateVoter(request));
        true
    }

    pub(super) fn on_begin(&mut self, now: Mono, token: RequestToken, request: &BeginQuorumEpochRequest) {
        let leader = LeaderAt { id: request.leader, address: request.address.clone() };
        let error = match self.learn_from_leader(now, request.epoch, &leader) {
            ErrorCode::None if !self.is_meant(request.voter) => ErrorCode::InvalidVoterKey,
            error => error,
        };
        // A voter that had given its leader up hears that it lives.
        if error == ErrorCode::None
            && matches!(self.role, Role::Prospective(_))
            && self.election.leader == Some(leader.id)
            && let Some(address) = self.address_of(&leader)
        {
            self.become_follower(now, self.election, address);
        }
        let known = self.known(error);
        self.answer(token, Answer::BeginQuorumEpoch(known));
    }

    /// What somebody who claims to lead, or to have led, says of itself.
    pub(super) fn learn_from_leader(
        &mut self,
        now: Mono,
        epoch: LeaderEpoch,
        leader: &LeaderAt,
    ) -> ErrorCode {
        if epoch < self.epoch() {
            return ErrorCode::FencedLeaderEpoch;
        }
        if leader.id.0 < 0 {
            return ErrorCode::InvalidRequest;
        }
        match self.learn(now, epoch, Some(leader)) {
            Learnt::Inconsistent => ErrorCode::InvalidRequest,
            Learnt::Nothing | Learnt::Changed => ErrorCode::None,
        }
    }

    pub(super) fn on_fetch_response(
        &mut self,
        now: Mono,
        peer: Peer,
        id: RequestId,
        response: FetchResponse<Vec<BatchSpan>>,
    ) {
        if !self.hear(now, peer, &response.known) {
            return;
        }
        let understood = match &response.fetched {
            _ if !self.is_from_leader(&response.known) => false,
            None => false,
            Some(Fetched::Diverging { epoch, end }) => self.diverged(EndOfEpoch { epoch: *epoch, end: *end }),
            Some(Fetched::Snapshot(snapshot)) => self.begin_download(*snapshot),
            Some(Fetched::Records(batches)) => {
                self.receive(id, batches, response.high_watermark.unwrap_or(Offset::ZERO))
            }
        };
        self.heard_from_leader(now, peer, understood);
    }

    fn is_from_leader(&self, known: &Known) -> bool {
        let says = known.leader.as_ref().map(|leader| leader.id);
        matches!(&self.role, Role::Follower(follower) if says == Some(follower.leader.id))
    }

    fn heard_from_leader(&mut self, now: Mono, peer: Peer, understood: bool) {
        if !understood {
            self.requests.back_off(now, peer, &self.config);
        } else if let Role::Follower(follower) = &mut self.role {
            follower.fetch_deadline = now + self.config.fetch_timeout;
            follower.has_fetched = true;
        }
    }

    fn receive(&mut self, id: RequestId, batches: &[BatchSpan], leader_committed: Offset) -> bool {
        let (mut end, mut epoch) = (self.log.end(), self.last_epoch());
        for batch in batches {
            let follows = batch.base == end && batch.end > end;
            if !follows || batch.epoch < epoch || batch.epoch > self.epoch() {
                return false;
            }
            (end, epoch) = (batch.end, batch.epoch);
        }
        let Role::Follower(follower) = &mut self.role else { unreachable!("its leader has answered") };
        follower.leader_committed = follower.leader_committed.max(leader_committed);
        if batches.is_empty() {
            self.commit_what_the_leader_says();
        } else {
            self.emit(Effect::AppendFetched(id));
        }
        true
    }

    /// What is durable here was fetched from the leader, or found to be in its log: so far its high watermark
    /// holds.
    pub(super) fn commit_what_the_leader_says(&mut self) {
        let Role::Follower(follower) = &self.role else { unreachable!("asked by its role") };
        let end = follower.leader_committed.min(self.log.durable_end());
        if end > self.committed {
            self.commit(end);
        }
    }

    fn diverged(&mut self, theirs: EndOfEpoch) -> bool {
        if theirs.epoch.0 < 0 || theirs.end < Offset::ZERO {
            return false;
        }
        let to = self.log.common_end(theirs);
        if to >= self.log.end() {
            // What the leader asks for is no truncation; it would ask for it again.
            return false;
        }
        if to < self.committed {
            // KAFKA-12460. Others than these voters have elected it, or its disk has lost what it had: what is
            // committed stays, and once this leader has not been of use for long enough, another is elected.
            return false;
        }
        self.emit(Effect::Truncate(to));
        true
    }

    fn begin_download(&mut self, id: SnapshotId) -> bool {
        if id.end <= Offset::ZERO || id.epoch.0 < 0 || id.epoch > self.epoch() || self.log.contains(id) {
            return false;
        }
        if id.end < self.committed {
            return false;
        }
        let Role::Follower(follower) = &mut self.role else { unreachable!("its leader has answered") };
        follower.download = Some(Download { id, position: 0 });
        true
    }

    pub(super) fn on_snapshot_response(
        &mut self,
        now: Mono,
        peer: Peer,
        id: RequestId,
        response: FetchSnapshotResponse<Chunk>,
    ) {
        let Role::Follower(follower) = &mut self.role else { return };
        if response.known.error == ErrorCode::SnapshotNotFound
            || response.known.error == ErrorCode::PositionOutOfRange
        {
            // It has a newer one by now: the next Fetch will tell.
            follower.download = None;
        }
        if !self.hear(now, peer, &response.known) {
            return;
        }
        let understood = self.is_from_leader(&response.known)
            && response.chunk.is_some_and(|chunk| self.receive_chunk(id, chunk));
        self.heard_from_leader(now, peer, understood);
    }

    fn receive_chunk(&mut self, response: RequestId, chunk: Chunk) -> bool {
        let Role::Follower(follower) = &mut self.role else { unreachable!("its leader has answered") };
        let Some(download) = &mut follower.download else { return false };
        let end = chunk.position.saturating_add(chunk.bytes);
        let fits = chunk.id == download.id && chunk.position == download.position;
        if !fits || chunk.bytes == 0 || end > chunk.size {
            follower.download = None;
            return false;
        }
        let Download { id, position } = *download;
        download.position = end;
        self.emit(Effect::WriteSnapshot { response, id, position });
        if end == chunk.size {
            let Role::Follower(follower) = &mut self.role else { unreachable!("its leader has answered") };
            follower.download = None;
            self.emit(Effect::InstallSnapshot(id));
        }
        true
    }
}
