//! The leader changes who votes, one voter at a time (KIP-853).
//!
//! A change is a VotersRecord, in force as soon as it is appended. A next one comes after it is committed, and
//! not before the leader has committed something in its own epoch: so any two sets that can be in force at the
//! same time have a majority in common.

use super::requests::Peer;
use super::*;
use crate::error_code::ErrorCode;

/// A change that somebody waits for.
#[derive(Debug, Clone)]
pub(super) struct PendingChange {
    kind: Kind,
    /// Who waits; nobody any more once it was told that the record is appended.
    token: Option<RequestToken>,
    /// Where the VotersRecord stands, once it is appended.
    offset: Option<Offset>,
    deadline: Mono,
}

#[derive(Debug, Clone)]
enum Kind {
    Add {
        voter: VoterKey,
        endpoints: Vec<crate::wire::control::Endpoint>,
        asked: RequestId,
        ack_when_committed: bool,
    },
    Remove,
}

impl PendingChange {
    pub(super) fn deadline(&self) -> Mono {
        self.deadline
    }

    fn answer(&self, error: ErrorCode, message: &str) -> Answer {
        let message = (error != ErrorCode::None).then(|| message.to_owned());
        let response = VoterChangeResponse { error, message };
        match self.kind {
            Kind::Add { .. } => Answer::AddVoter(response),
            Kind::Remove => Answer::RemoveVoter(response),
        }
    }
}

/// Why a change is not begun.
struct Refusal {
    error: ErrorCode,
    message: String,
}

impl Refusal {
    fn new(error: ErrorCode, message: impl Into<String>) -> Self {
        Self { error, message: message.into() }
    }
}

impl Quorum {
    pub(super) fn on_add_voter(&mut self, now: Mono, token: RequestToken, request: AddVoterRequest) {
        if let Err(Refusal { error, message }) = self.begin_adding(now, token, request) {
            let response = VoterChangeResponse { error, message: Some(message) };
            self.answer(token, Answer::AddVoter(response));
        }
    }

    fn begin_adding(
        &mut self,
        now: Mono,
        token: RequestToken,
        request: AddVoterRequest,
    ) -> Result<(), Refusal> {
        let AddVoterRequest { voter, endpoints, ack_when_committed } = request;
        self.may_change_voters()?;
        let address = Address::of_listener(&endpoints, &self.identity.listener);
        let Some(address) = address.filter(|_| is_named(voter)) else {
            let message = format!(
                "a voter needs an id, a directory id and an endpoint for the listener {}",
                self.identity.listener
            );
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        };
        self.is_settled()?;
        if self.voters.current().get(voter.id).is_some() {
            let message = format!("node {} is a voter already", voter.id);
            return Err(Refusal::new(ErrorCode::DuplicateVoter, message));
        }
        let peer = Peer::Node(voter.id);
        if !self.requests.is_ready(peer) {
            let message = format!("node {} cannot be asked for what it supports just now", voter.id);
            return Err(Refusal::new(ErrorCode::RequestTimedOut, message));
        }
        let asked = self.send(now, Destination { peer, address }, Request::SupportedVersions);
        let kind = Kind::Add { voter, endpoints, asked, ack_when_committed };
        self.begin(now, kind, token);
        Ok(())
    }

    /// The new voter has said what it supports: the record can be written.
    pub(super) fn on_supported_versions(&mut self, now: Mono, id: RequestId, versions: Option<VersionRange>) {
        let Some(change) = self.take_change_that_asked(id) else { return };
        match self.addition(now, &change, versions) {
            Ok((voters, ack_when_committed)) => self.append_voters(change, &voters, !ack_when_committed),
            Err(Refusal { error, message }) => self.answer_change(change, error, &message),
        }
    }

    fn addition(
        &self,
        now: Mono,
        change: &PendingChange,
        versions: Option<VersionRange>,
    ) -> Result<(VoterSet, bool), Refusal> {
        let Kind::Add { voter, endpoints, ack_when_committed, .. } = &change.kind else {
            unreachable!("only who adds asks")
        };
        let version = self.voters.version();
        let Some(versions) = versions.filter(|versions| versions.contains(version)) else {
            let message = format!("node {} does not support kraft.version {version}", voter.id);
            return Err(Refusal::new(ErrorCode::InvalidRequest, message));
        };
        let Role::Leader(leader) = &self.role else { unreachable!("a change is the leader's") };
        // A voter that is behind, or gone, could make the majority unreachable at once.
        if !leader.is_caught_up(now, *voter, self.config.fetch_timeout) {
            let message = format!("node {} is behind the leader's log", voter.id);
            return Err(Refusal::new(ErrorCode::RequestTimedOut, message));
        }
        let node = VoterNode { key: *voter, endpoints: endpoints.clone(), versions };
        let voters = self.voters.current().with(node).expect("no other change has come between");
        Ok((voters, *ack_when_committed))
    }

    /// There will be no answer to what the leader has asked a new voter.
    pub(super) fn versions_unknown(&mut self, id: RequestId) {
        if let Some(change) = self.take_change_that_asked(id) {
            self.answer_change(change, ErrorCode::RequestTimedOut, "the new voter cannot be reached");
        }
    }

    fn take_change_that_asked(&mut self, id: RequestId) -> Option<PendingChange> {
        let Role::Leader(leader) = &mut self.role else { return None };
        leader.change.take_if(|change| matches!(change.kind, Kind::Add { asked, .. } if asked == id))
    }

    pub(super) fn on_remove_voter(&mut self, now: Mono, token: RequestToken, request: RemoveVoterRequest) {
        if let Err(Refusal { error, message }) = self.begin_removing(now, token, request.voter) {
            let response = VoterChangeResponse { error, message: Some(message) };
            self.answer(token, Answer::RemoveVoter(response));
        }
    }

    fn begin_removing(&mut self, now: Mono, token: RequestToken, voter: VoterKey) -> Result<(), Refusal> {
        self.may_change_voters()?;
        if !is_named(voter) {
            return Err(Refusal::new(ErrorCode::InvalidRequest, "a voter has an id and a directory id"));
        }
        self.is_settled()?;
        let Some(voters) = self.voters.current().without(voter) else {
            let message =
                format!("node {} with directory {} is no voter, or the last", voter.id, voter.directory);
            return Err(Refusal::new(ErrorCode::VoterNotFound, message));
        };
        self.begin(now, Kind::Remove, token);
        let Role::Leader(leader) = &mut self.role else { unreachable!("it was looked at") };
        let change = leader.change.take().expect("it was begun");
        self.append_voters(change, &voters, false);
        Ok(())
    }

    pub(super) fn on_update_voter(&mut self, now: Mono, token: RequestToken, request: UpdateVoterRequest) {
        let error = self.update(now, request).err().map_or(ErrorCode::None, |refusal| refusal.error);
        let known = self.known(error);
        self.answer(token, Answer::UpdateVoter(known));
    }

    fn update(&mut self, now: Mono, request: UpdateVoterRequest) -> Result<(), Refusal> {
        let UpdateVoterRequest { epoch, voter, endpoints, versions } = request;
        if let Some(error) = self.refuse_unless_leader(epoch) {
            return Err(Refusal::new(error, "not the leader of this epoch"));
        }
        let malformed = !is_named(voter)
            || versions.min < 0
            || Address::of_listener(&endpoints, &self.identity.listener).is_none();
        if malformed || !versions.contains(self.voters.version()) {
            return Err(Refusal::new(ErrorCode::InvalidRequest, "a voter cannot be such"));
        }
        self.is_settled()?;
        let node = VoterNode { key: voter, endpoints, versions };
        let current = self.voters.current();
        let Some(voters) = current.updated(node) else {
            return Err(Refusal::new(ErrorCode::VoterNotFound, "no such voter"));
        };
        if voters != *current {
            let records = vec![ControlRecord::KRaftVoters(voters.to_record())];
            self.emit(Effect::Append { epoch: self.epoch(), records });
        }
        let config = self.config;
        let Role::Leader(leader) = &mut self.role else { unreachable!("it was looked at") };
        leader.heard_from(now, self.voters.current(), voter, &config);
        Ok(())
    }

    fn may_change_voters(&self) -> Result<(), Refusal> {
        match self.refuse_unless_leader(self.epoch()) {
            Some(error) => Err(Refusal::new(error, "this node does not lead the quorum")),
            None => Ok(()),
        }
    }

    /// Whether no other change is under way, and none of an earlier leader's can be.
    fn is_settled(&self) -> Result<(), Refusal> {
        let Role::Leader(leader) = &self.role else { unreachable!("it was looked at") };
        if leader.change.is_some() {
            let message = "another change of the voters is under way";
            return Err(Refusal::new(ErrorCode::RequestTimedOut, message));
        }
        if !leader.is_established() {
            let message = "the leader has not committed anything yet";
            return Err(Refusal::new(ErrorCode::RequestTimedOut, message));
        }
        if !self.voters.is_reconfigurable() {
            let message = format!("the voters are fixed at kraft.version {}", self.voters.version());
            return Err(Refusal::new(ErrorCode::UnsupportedVersion, message));
        }
        if self.voters.current_offset().is_none_or(|offset| offset >= self.committed) {
            let message = "the last change of the voters is not committed yet";
            return Err(Refusal::new(ErrorCode::RequestTimedOut, message));
        }
        Ok(())
    }

    fn begin(&mut self, now: Mono, kind: Kind, token: RequestToken) {
        let deadline = now + self.config.request_timeout;
        let Role::Leader(leader) = &mut self.role else { unreachable!("it was looked at") };
        leader.change = Some(PendingChange { kind, token: Some(token), offset: None, deadline });
    }

    fn append_voters(&mut self, mut change: PendingChange, voters: &VoterSet, ack_now: bool) {
        if ack_now && let Some(token) = change.token.take() {
            self.answer(token, change.answer(ErrorCode::None, ""));
        }
        let Role::Leader(leader) = &mut self.role else { unreachable!("it was looked at") };
        leader.change = Some(change);
        let records = vec![ControlRecord::KRaftVoters(voters.to_record())];
        self.emit(Effect::Append { epoch: self.epoch(), records });
    }

    pub(super) fn change_appended(&mut self) {
        let offset = self.voters.current_offset();
        let Role::Leader(leader) = &mut self.role else { unreachable!("asked by its role") };
        if let Some(change) = &mut leader.change {
            change.offset = change.offset.or(offset);
        }
    }

    pub(super) fn change_committed(&mut self, now: Mono) {
        let committed = self.committed;
        let Role::Leader(leader) = &mut self.role else { unreachable!("asked by its role") };
        let done = leader.change.take_if(|change| change.offset.is_some_and(|offset| offset < committed));
        if let Some(change) = done {
            self.answer_change(change, ErrorCode::None, "");
        }
        if self.is_removed() {
            // It has led to see its own removal committed.
            self.resign(now);
        }
    }

    /// Whether it is committed that this node is no voter.
    pub(super) fn is_removed(&self) -> bool {
        let is_committed = self.voters.current_offset().is_none_or(|offset| offset < self.committed);
        is_committed && !self.is_voter()
    }

    pub(super) fn expire_change(&mut self, now: Mono) {
        let Role::Leader(leader) = &mut self.role else { unreachable!("asked by its role") };
        if let Some(change) = leader.change.take_if(|change| change.deadline <= now) {
            self.answer_change(
                change,
                ErrorCode::RequestTimedOut,
                "the change took too long; it may yet happen",
            );
        }
    }

    pub(super) fn answer_change(&mut self, change: PendingChange, error: ErrorCode, message: &str) {
        if let Some(token) = change.token {
            let answer = change.answer(error, message);
            self.answer(token, answer);
        }
    }
}

fn is_named(voter: VoterKey) -> bool {
    voter.id.0 >= 0 && voter.directory != Uuid::ZERO
}
