//! The metadata quorum (KRaft): who may append to the metadata log, and what of it is committed.
//!
//! A pure state machine: [`Quorum::step`] takes what happened and returns what to do. Today the quorum has
//! one voter, which elects itself: it knows the roles [`Role::Candidate`] and [`Role::Leader`]. More voters
//! add roles, inputs and effects.
//!
//! # Rules
//!
//! - A vote is persisted before anything follows from it.
//! - A leader that restarts never resumes its epoch: it may have lost what it appended in it
//!   (KAFKA-10527). It stands for the next one.
//! - A leader's first record is a LeaderChange. Nothing is committed, and nobody learns that there is a
//!   leader, before that record is durable; then everything before it is committed as well (KAFKA-12619).

mod election;

pub use election::{ElectionState, QuorumStateError};

use crate::types::{BrokerId, LeaderEpoch, Offset, Uuid};
use crate::wire::control::{LeaderChangeMessage, LeaderChangeVoter};

/// A voter: a node with one particular metadata directory. A node whose directory was lost is another voter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VoterKey {
    /// The node.
    pub id: BrokerId,
    /// The id of its metadata directory.
    pub directory: Uuid,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// [`Effect::Persist`] was carried out: the state is durable.
    Persisted(ElectionState),
    /// The log is durable up to this end.
    Durable(Offset),
}

/// What to do, in the order given.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write this to the `quorum-state` file and sync it; then tell [`Input::Persisted`].
    Persist(ElectionState),
    /// Append this control record at the end of the log, as the first record of the epoch; then sync, and
    /// tell [`Input::Durable`]. Nothing else is appended before.
    AppendLeaderChange {
        /// The epoch.
        epoch: LeaderEpoch,
        /// The record.
        record: LeaderChangeMessage,
    },
    /// Everything before this offset is committed: publish it and answer who waits for it.
    Commit(Offset),
    /// This node leads in this epoch: start the controller, accept requests.
    Lead(LeaderEpoch),
}

/// The role of this voter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It has voted for itself and waits until the vote is durable.
    Candidate,
    /// It leads.
    Leader {
        /// The offset of its LeaderChange record: where its epoch starts.
        epoch_start: Offset,
        /// The end of what is committed; `None` until the LeaderChange record is.
        committed: Option<Offset>,
    },
}

/// The quorum as one voter sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quorum {
    own: VoterKey,
    election: ElectionState,
    log_end: Offset,
    role: Role,
}

/// Every epoch that there can be has been used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("epoch {0} is the last that the metadata quorum can have")]
pub struct EpochsExhausted(pub LeaderEpoch);

impl Quorum {
    /// Starts the only voter of a quorum, after its log has been recovered. `persisted` is what its
    /// `quorum-state` file says, if there is one; `log_end` and `log_epoch` are the end of its log and the
    /// epoch of the last batch in it.
    ///
    /// # Errors
    /// If there is no higher epoch.
    pub fn start(
        own: VoterKey,
        persisted: Option<ElectionState>,
        log_end: Offset,
        log_epoch: LeaderEpoch,
    ) -> Result<(Self, Vec<Effect>), EpochsExhausted> {
        // The file can be older than the log where a crash kept only one of two writes.
        let last = persisted.map_or(log_epoch, |state| state.epoch.max(log_epoch)).max(LeaderEpoch(0));
        let epoch = LeaderEpoch(last.0.checked_add(1).ok_or(EpochsExhausted(last))?);
        let election = ElectionState { epoch, leader: None, voted: Some(own) };
        let quorum = Self { own, election, log_end, role: Role::Candidate };
        Ok((quorum, vec![Effect::Persist(election)]))
    }

    /// What follows from what happened.
    pub fn step(&mut self, input: Input) -> Vec<Effect> {
        match (input, self.role) {
            // The only voter's own vote is a majority.
            (Input::Persisted(state), Role::Candidate) if state == self.election => self.become_leader(),
            (Input::Durable(end), Role::Leader { epoch_start, committed }) => {
                self.durable(end, epoch_start, committed)
            }
            // An earlier state, or a sync of what recovery found: nothing follows from either.
            (Input::Persisted(_) | Input::Durable(_), _) => Vec::new(),
        }
    }

    /// The current epoch.
    pub fn epoch(&self) -> LeaderEpoch {
        self.election.epoch
    }

    /// The role of this voter.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The leader, once it may be known.
    pub fn leader(&self) -> Option<BrokerId> {
        self.committed().map(|_| self.own.id)
    }

    /// The end of what is committed in this epoch; `None` until its LeaderChange record is.
    pub fn committed(&self) -> Option<Offset> {
        match self.role {
            Role::Leader { committed, .. } => committed,
            Role::Candidate => None,
        }
    }

    fn become_leader(&mut self) -> Vec<Effect> {
        self.election.leader = Some(self.own.id);
        self.role = Role::Leader { epoch_start: self.log_end, committed: None };
        // At kraft.version 0 voters are known by id alone.
        let voter = LeaderChangeVoter { voter_id: self.own.id.0, ..LeaderChangeVoter::default() };
        let record = LeaderChangeMessage {
            version: 0,
            leader_id: self.own.id.0,
            voters: vec![voter.clone()],
            granting_voters: vec![voter],
        };
        vec![Effect::Persist(self.election), Effect::AppendLeaderChange { epoch: self.epoch(), record }]
    }

    fn durable(&mut self, end: Offset, epoch_start: Offset, committed: Option<Offset>) -> Vec<Effect> {
        if end <= epoch_start || committed.is_some_and(|committed| end <= committed) {
            return Vec::new();
        }
        self.role = Role::Leader { epoch_start, committed: Some(end) };
        match committed {
            None => vec![Effect::Commit(end), Effect::Lead(self.epoch())],
            Some(_) => vec![Effect::Commit(end)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: VoterKey = VoterKey { id: BrokerId(1), directory: Uuid(777) };

    fn started(persisted: Option<ElectionState>, end: i64, epoch: i32) -> (Quorum, ElectionState) {
        let (quorum, effects) =
            Quorum::start(OWN, persisted, Offset(end), LeaderEpoch(epoch)).expect("there are epochs left");
        let [Effect::Persist(state)] = effects[..] else { panic!("first of all it votes: {effects:?}") };
        assert_eq!(state, ElectionState { epoch: quorum.epoch(), leader: None, voted: Some(OWN) });
        (quorum, state)
    }

    #[test]
    fn a_vote_is_durable_before_the_leader_appends_and_that_before_anybody_hears_of_it() {
        let (mut quorum, vote) = started(None, 0, -1);
        assert_eq!((quorum.epoch(), quorum.role()), (LeaderEpoch(1), Role::Candidate));
        assert_eq!(quorum.step(Input::Durable(Offset(0))), []);

        let effects = quorum.step(Input::Persisted(vote));
        let elected = ElectionState { leader: Some(BrokerId(1)), ..vote };
        assert_eq!(effects.len(), 2);
        assert_eq!(effects[0], Effect::Persist(elected));
        let Effect::AppendLeaderChange { epoch, record } = &effects[1] else { panic!("{effects:?}") };
        assert_eq!((*epoch, record.leader_id, record.voters.len()), (LeaderEpoch(1), 1, 1));
        assert_eq!((quorum.leader(), quorum.committed()), (None, None));

        assert_eq!(quorum.step(Input::Persisted(elected)), []);
        assert_eq!(quorum.step(Input::Durable(Offset(0))), [], "the record itself is not durable yet");
        let effects = quorum.step(Input::Durable(Offset(1)));
        assert_eq!(effects, [Effect::Commit(Offset(1)), Effect::Lead(LeaderEpoch(1))]);
        assert_eq!((quorum.leader(), quorum.committed()), (Some(BrokerId(1)), Some(Offset(1))));
    }

    #[test]
    fn what_is_durable_is_committed_and_never_goes_back() {
        let (mut quorum, vote) = started(None, 5, 3);
        let _ = quorum.step(Input::Persisted(vote));
        assert_eq!(quorum.role(), Role::Leader { epoch_start: Offset(5), committed: None });
        assert_eq!(quorum.step(Input::Durable(Offset(5))), [], "nothing of an old epoch before the new");
        assert_eq!(quorum.step(Input::Durable(Offset(7))).len(), 2);
        assert_eq!(quorum.step(Input::Durable(Offset(9))), [Effect::Commit(Offset(9))]);
        for end in [9, 6] {
            assert_eq!(quorum.step(Input::Durable(Offset(end))), []);
        }
        assert_eq!(quorum.committed(), Some(Offset(9)));
    }

    #[test]
    fn a_restarted_leader_does_not_resume_its_epoch() {
        let led = ElectionState { epoch: LeaderEpoch(4), leader: Some(BrokerId(1)), voted: Some(OWN) };
        for (persisted, log_epoch, expected) in
            [(Some(led), 4, 5), (Some(led), 2, 5), (Some(led), 6, 7), (None, 4, 5), (None, -1, 1)]
        {
            let (quorum, _) = started(persisted, 10, log_epoch);
            assert_eq!((quorum.epoch().0, quorum.leader()), (expected, None));
        }
    }

    #[test]
    fn a_stale_completion_elects_nobody() {
        let (mut quorum, vote) = started(None, 0, 0);
        let stale = ElectionState { epoch: LeaderEpoch(0), ..vote };
        assert_eq!(quorum.step(Input::Persisted(stale)), []);
        assert_eq!(quorum.role(), Role::Candidate);
    }

    #[test]
    fn epochs_do_not_wrap() {
        let result = Quorum::start(OWN, None, Offset(1), LeaderEpoch(i32::MAX));
        assert_eq!(result.err(), Some(EpochsExhausted(LeaderEpoch(i32::MAX))));
    }
}
