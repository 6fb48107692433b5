//! The metadata quorum (KRaft): who may append to the metadata log, and what of it is committed.
//!
//! A pure state machine: [`Quorum::step`] takes the time and what happened, and returns what to do. It sees
//! positions and epochs of the log ([`LogView`]), never bytes or files, and speaks in its own messages.
//!
//! Replication is pulled: followers and observers fetch from the leader, and the offset that a voter fetches
//! from says what it holds durably. Everything before the offset that a majority of the voters holds is
//! committed.
//!
//! # Roles
//!
//! | role | who | becomes |
//! |---|---|---|
//! | Unattached | knows no leader to ask | Follower once it does; Prospective after an election timeout |
//! | Prospective | asks whether it could win (KIP-996) | Candidate if so, else what it was before |
//! | Candidate | has raised the epoch, voted for itself | Leader if it wins; Prospective after a timeout |
//! | Leader | appends | Resigned |
//! | Follower | fetches from the leader | Prospective if that fails for too long |
//! | Resigned | led this epoch, and does no more | Unattached in the next epoch |
//!
//! A higher epoch makes any of them Unattached or Follower in it. Observers, which are not in the voter set,
//! are only Unattached, Follower or Resigned (KAFKA-17067). Who was removed counts as a voter in this until it
//! knows that to be committed; else two voters could block each other for ever, one that has appended its own
//! removal and one that lacks the record.
//!
//! # Rules
//!
//! - A vote and an epoch are persisted before anything that leaves the node follows from them: such effects
//!   are held back here until [`Input::Persisted`].
//! - A leader that restarts never resumes its epoch: it may have lost what it appended in it
//!   (KAFKA-10527). It comes back as Resigned.
//! - A leader's first record is a LeaderChange. Nothing is committed, and nobody is told to use the leader
//!   ([`Effect::Lead`], [`Quorum::leader`]), before a majority holds it; then everything before it is
//!   committed as well (KAFKA-12619).
//! - Only what is durable counts: a follower makes durable what it fetched before it fetches again, the
//!   leader counts its own durable end (KAFKA-10533). No node takes for committed what it has not durably.
//! - What is committed is never truncated (KAFKA-12460): a leader that wants it is of no use, and is given up.
//! - A leader that the majority does not fetch from resigns (KAFKA-15489), unless it is the only voter
//!   (KAFKA-16144).
//! - A voter is a node with one metadata directory: one whose directory was lost does not vote until it is
//!   added. (At kraft.version 0 directories are not known, and this cannot be told.)
//! - One change of the voters at a time, each committed before the next. Who is no longer in the set does not
//!   count itself (KAFKA-16530), and resigns once that is committed.
//!
//! # For the shell
//!
//! One lock, or one task, owns the [`Quorum`] and the metadata log. It calls [`Quorum::step`] for every input,
//! carries out the effects in their order, and then sets one timer to [`Quorum::next_deadline`], for
//! [`Input::Tick`]. There is no other timer: requests that get no answer are given up by the same deadline, and
//! an answer that comes later, or twice, is ignored.
//!
//! *At the start*: read `quorum-state` ([`ElectionState::parse`]; a file that cannot be read stops the node)
//! and recover the log. If [`LogView::superseded_by`] names a snapshot, replace the log by it first. Then
//! [`LogView::new`], and a [`VoterHistory`]: of the fixed voters at kraft.version 0, else none; then
//! [`VoterHistory::record`] for the control records of the latest snapshot, at the offset before its end, and
//! for those of the log from there on.
//!
//! *Effects.* Those marked `*` change the log: nothing else is told before their completion.
//!
//! - Persist: replace `quorum-state` by the state's `Display`: write, sync, rename, sync the directory;
//!   then Persisted with that state. Of several that wait only the last need be written and told.
//! - Send: the request (see below) on a connection for the quorum alone; then Response or Failed.
//! - Answer: the response. A [`ReadRange`] is of the log as it is now: take a view before the next effect.
//! - Append `*`: a control batch of this epoch at the log's end; before the first one of an epoch, its
//!   entry in `leader-epoch-checkpoint`. Then Appended, and Durable after the sync.
//! - AppendFetched `*`: the batches of that response, whose bytes are kept until the step that it came with
//!   is done. Then Appended with those that could be, and Durable after the sync.
//! - Truncate `*`: log and `leader-epoch-checkpoint`; a sync under way no longer counts. Then Truncated.
//! - WriteSnapshot: into `<id>.checkpoint.part`.
//! - InstallSnapshot `*`: sync, rename, sync the directory; replace the log; load it. Then
//!   SnapshotInstalled with its control records. Older snapshots may go.
//! - Commit: unless this node leads: replay up to there. Publish; release who waits.
//! - Lead: replay all that is committed (KAFKA-17333), then start the controller. Appended for each batch
//!   of its, and Durable after the syncs, several of them by one sync if need be.
//! - Lost: stop the controller. It appends only while [`Quorum::leads`] says its epoch, seen under the same
//!   lock.
//!
//! A failed write or sync of the metadata directory stops the node. A node that is told to stop tells Shutdown,
//! goes on until [`Quorum::may_stop`] or its patience ends, and stops. [`SnapshotPolicy`] says when to write a
//! snapshot (at [`Quorum::snapshot_id`], with [`VoterHistory::before`] its end; then SnapshotTaken) and what may
//! go (then LogStartRaised).
//!
//! *Requests.* Cluster id, topic and partition are checked before; what fails that never comes here. A response
//! that says INCONSISTENT_CLUSTER_ID or has an error at its top is Failed. Errors that name epoch and leader
//! are a [`Known`]: `CurrentLeader`, or `LeaderId` and `LeaderEpoch`; its address is in `NodeEndpoints`.
//!
//! - Fetch (1): `ReplicaDirectoryId` is zero before version 17; a `HighWatermark` of -1 is offset 0, and
//!   one that the request does not have is the highest offset. In the response `DivergingEpoch`,
//!   `SnapshotId`, and a `HighWatermark` of -1 for `None`. Who has replica id -1 reads, and counts for
//!   nothing.
//! - Vote (52): `ReplicaId` and `ReplicaEpoch` are the candidate's. A pre-vote to a peer that knows no
//!   version 2 is Failed with UnsupportedVersion.
//! - BeginQuorumEpoch (53): `VoterId` and `VoterDirectoryId` are `None` at version 0, the address too.
//! - EndQuorumEpoch (54): `PreferredSuccessors` of version 0 have no directories, `PreferredCandidates`
//!   have.
//! - DescribeQuorum (55): [`Quorum::describe`]; `None` is NOT_LEADER_OR_FOLLOWER; times turn into
//!   wall-clock ones.
//! - FetchSnapshot (59): for a [`ReadChunk`] of a file that is not there SNAPSHOT_NOT_FOUND, beyond its end
//!   POSITION_OUT_OF_RANGE; else the bytes as they are on disk.
//! - AddRaftVoter (80), RemoveRaftVoter (81), UpdateRaftVoter (82): the first two from operators. A
//!   controller that does not lead answers NOT_LEADER_OR_FOLLOWER.
//! - ApiVersions (18): sent to who is to be added: the levels of the feature `kraft.version` that it
//!   supports.

mod config;
mod election;
mod follower;
mod leader;
mod lineage;
mod messages;
mod requests;
mod resigned;
mod snapshot;
mod transitions;
mod voter_changes;
mod voters;
mod votes;

#[cfg(test)]
mod tests;

pub use config::{Address, Identity, QuorumConfig};
pub use election::{ElectionState, QuorumStateError};
pub use leader::{Description, ReplicaDescription};
pub use lineage::LogView;
pub use messages::*;
pub use requests::{Destination, Peer, RequestId};
pub use snapshot::{SnapshotFile, SnapshotId, SnapshotPolicy};
pub use voters::{RECONFIGURABLE, VoterHistory, VoterNode, VoterSet};

use crate::env::Rng;
use crate::types::{BrokerId, LeaderEpoch, Mono, Offset, Uuid};
use crate::wire::VersionRange;
use crate::wire::control::ControlRecord;
use follower::{Follower, Unattached};
use leader::Leader;
use requests::Requests;
use resigned::Resigned;
use votes::Nominee;

/// A voter: a node with one particular metadata directory. A node whose directory was lost is another voter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct VoterKey {
    /// The node.
    pub id: BrokerId,
    /// The id of its metadata directory.
    pub directory: Uuid,
}

/// Names a request that was received, so that its answer finds the way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestToken(pub u64);

/// A batch that was appended to the log.
#[derive(Debug, Clone, PartialEq)]
pub struct AppendedBatch {
    /// Where it lies, and its epoch.
    pub span: BatchSpan,
    /// Its records by offset, if it is a control batch. Types that are not known are left out.
    pub controls: Vec<(Offset, ControlRecord)>,
}

/// Why a request failed without a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or it broke, or an answer that cannot be read.
    Unreachable,
    /// The peer does not know the API at a version that can say what was to be said.
    UnsupportedVersion,
    /// The peer is of another cluster.
    OtherCluster,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Time has passed: [`Quorum::next_deadline`] is reached.
    Tick,
    /// [`Effect::Persist`] was carried out: the state is durable.
    Persisted(ElectionState),
    /// These batches were appended, in order: by [`Effect::Append`], by [`Effect::AppendFetched`] (as many as
    /// could be), or by the controller, which appends only between [`Effect::Lead`] and [`Effect::Lost`].
    Appended(Vec<AppendedBatch>),
    /// The log is durable up to this end.
    Durable(Offset),
    /// [`Effect::Truncate`] was carried out.
    Truncated,
    /// [`Effect::InstallSnapshot`] was carried out; these control records are in the snapshot.
    SnapshotInstalled(Vec<ControlRecord>),
    /// A snapshot of this node's own making is whole and durable.
    SnapshotTaken(SnapshotId),
    /// The log now begins here, with the snapshot that ends here.
    LogStartRaised(Offset),
    /// A request was received.
    Request {
        /// For the answer.
        token: RequestToken,
        /// What is asked.
        request: Request,
    },
    /// A response was received.
    Response {
        /// To this request.
        id: RequestId,
        /// What it says.
        response: Response,
    },
    /// There will be no response.
    Failed {
        /// To this request.
        id: RequestId,
        /// Why.
        failure: Failure,
    },
    /// The controller of this epoch wants to lead no more.
    Resign(LeaderEpoch),
    /// The node is about to stop: it hands over what it leads, and stands for no election.
    Shutdown,
}

/// What to do, in the order given.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write this to the `quorum-state` file and sync it; then tell [`Input::Persisted`]. A later one makes
    /// an earlier one superfluous.
    Persist(ElectionState),
    /// Send a request; tell [`Input::Response`] or [`Input::Failed`], unless it takes too long.
    Send {
        /// Names it.
        id: RequestId,
        /// Whom to ask.
        to: Destination,
        /// What to ask.
        request: Request,
    },
    /// Answer a request.
    Answer {
        /// Which one.
        token: RequestToken,
        /// What to say.
        answer: Answer,
    },
    /// Append these control records as one batch of this epoch; tell [`Input::Appended`], then sync.
    Append {
        /// The epoch.
        epoch: LeaderEpoch,
        /// The records. The first batch of an epoch begins with its LeaderChange.
        records: Vec<ControlRecord>,
    },
    /// Append the batches of this Fetch response; tell [`Input::Appended`], then sync.
    AppendFetched(RequestId),
    /// Truncate the log to this end; tell [`Input::Truncated`].
    Truncate(Offset),
    /// Write the bytes of this FetchSnapshot response into a new file at this position; position 0 begins the
    /// file anew.
    WriteSnapshot {
        /// The response.
        response: RequestId,
        /// The snapshot.
        id: SnapshotId,
        /// Where the bytes go.
        position: u64,
    },
    /// All bytes of the snapshot are there: sync and publish it, replace the whole log by it; tell
    /// [`Input::SnapshotInstalled`].
    InstallSnapshot(SnapshotId),
    /// Everything before this offset is committed.
    Commit(Offset),
    /// This node leads in this epoch: start the controller, accept requests.
    Lead(LeaderEpoch),
    /// This node no longer leads in this epoch: stop the controller, append nothing more.
    Lost(LeaderEpoch),
}

/// The role of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleName {
    /// It looks for the leader.
    Unattached,
    /// It asks whether it could win.
    Prospective,
    /// It stands for election.
    Candidate,
    /// It leads.
    Leader,
    /// It follows.
    Follower,
    /// It has led.
    Resigned,
}

#[derive(Debug, Clone)]
enum Role {
    Unattached(Unattached),
    Prospective(Nominee),
    Candidate(Nominee),
    Leader(Box<Leader>),
    Follower(Follower),
    Resigned(Resigned),
}

/// A change of the log that the shell is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LogChange {
    Append,
    Truncate(Offset),
    Install(SnapshotId),
}

/// Every epoch that there can be has been used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("epoch {0} is the last that the metadata quorum can have")]
pub struct EpochsExhausted(pub LeaderEpoch);

/// What a node of the quorum starts with, after its log has been recovered.
#[derive(Debug, Clone)]
pub struct Start {
    /// Who it is.
    pub identity: Identity,
    /// Its timeouts.
    pub config: QuorumConfig,
    /// For its timeouts and its choice of peers.
    pub rng: Rng,
    /// What its `quorum-state` file says, if there is one.
    pub persisted: Option<ElectionState>,
    /// Its log.
    pub log: LogView,
    /// What the latest snapshot and the log after it say about the voters.
    pub voters: VoterHistory,
}

/// The quorum as one of its nodes sees it.
#[derive(Debug, Clone)]
pub struct Quorum {
    identity: Identity,
    config: QuorumConfig,
    rng: Rng,
    election: ElectionState,
    persisted: Option<ElectionState>,
    log: LogView,
    voters: VoterHistory,
    committed: Offset,
    role: Role,
    requests: Requests,
    log_change: Option<LogChange>,
    stopping: bool,
    effects: Vec<Effect>,
    held: Vec<Effect>,
}

impl Quorum {
    /// Starts a node. The only voter of a quorum stands for election at once.
    ///
    /// # Errors
    /// If it could never be elected, for want of a higher epoch.
    pub fn start(now: Mono, start: Start) -> Result<(Self, Vec<Effect>), EpochsExhausted> {
        let Start { identity, config, rng, persisted, log, voters } = start;
        let unknown = ElectionState { epoch: log.last_epoch(), leader: None, voted: None };
        // The file can be older than the log where a crash kept only one of two writes.
        let election = persisted.filter(|state| state.epoch >= log.last_epoch()).unwrap_or(unknown);
        let only = voters.current().is_only(identity.key);
        if only && election.epoch.0 == i32::MAX {
            return Err(EpochsExhausted(election.epoch));
        }
        let committed = log.latest_snapshot().map_or(log.start(), |id| id.end.max(log.start()));
        let mut quorum = Self {
            identity,
            config,
            rng,
            election,
            persisted,
            log,
            voters,
            committed,
            role: Role::Unattached(Unattached { election_deadline: now }),
            requests: Requests::default(),
            log_change: None,
            stopping: false,
            effects: Vec::new(),
            held: Vec::new(),
        };
        if persisted != Some(election) {
            quorum.effects.push(Effect::Persist(election));
        }
        quorum.role = quorum.first_role(now);
        if only {
            quorum.become_prospective(now);
        }
        quorum.poll(now);
        let effects = std::mem::take(&mut quorum.effects);
        Ok((quorum, effects))
    }

    /// What follows from what happened.
    pub fn step(&mut self, now: Mono, input: Input) -> Vec<Effect> {
        assert!(
            self.log_change.is_none_or(|change| change.is_completed_by(&input)),
            "{:?} is under way, not {input:?}",
            self.log_change
        );
        self.requests.expire(now, &self.config);
        match input {
            Input::Tick => {}
            Input::Persisted(state) => self.on_persisted(state),
            Input::Appended(batches) => self.on_appended(now, batches),
            Input::Durable(end) => self.on_durable(now, end),
            Input::Truncated => self.on_truncated(),
            Input::SnapshotInstalled(controls) => self.on_snapshot_installed(&controls),
            Input::SnapshotTaken(id) => self.on_snapshot_taken(id),
            Input::LogStartRaised(start) => self.on_log_start_raised(start),
            Input::Request { token, request } => self.on_request(now, token, request),
            Input::Response { id, response } => self.on_response(now, id, response),
            Input::Failed { id, failure } => self.on_failed(now, id, failure),
            Input::Resign(epoch) => self.on_resign(now, epoch),
            Input::Shutdown => self.on_shutdown(now),
        }
        self.poll(now);
        self.check(now);
        std::mem::take(&mut self.effects)
    }

    /// When to tell [`Input::Tick`] at the latest. Only inputs change it.
    pub fn next_deadline(&self) -> Option<Mono> {
        let of_role = match &self.role {
            Role::Unattached(unattached) => self.if_may_stand(unattached.election_deadline),
            Role::Prospective(nominee) | Role::Candidate(nominee) => self.if_may_stand(nominee.deadline),
            Role::Leader(leader) => leader.next_deadline(self.counts_quorum()),
            Role::Follower(follower) => self.follower_deadline(follower),
            Role::Resigned(resigned) => (!self.stopping).then_some(resigned.deadline),
        };
        of_role.into_iter().chain(self.requests.next_deadline()).min()
    }

    /// The current epoch.
    pub fn epoch(&self) -> LeaderEpoch {
        self.election.epoch
    }

    /// Epoch, vote and leader, persisted or about to be.
    pub fn election(&self) -> ElectionState {
        self.election
    }

    /// The role of this node.
    pub fn role(&self) -> RoleName {
        match self.role {
            Role::Unattached(_) => RoleName::Unattached,
            Role::Prospective(_) => RoleName::Prospective,
            Role::Candidate(_) => RoleName::Candidate,
            Role::Leader(_) => RoleName::Leader,
            Role::Follower(_) => RoleName::Follower,
            Role::Resigned(_) => RoleName::Resigned,
        }
    }

    /// The leader of the current epoch, for those who want to use it. This node itself only once its
    /// LeaderChange is committed.
    pub fn leader(&self) -> Option<BrokerId> {
        match &self.role {
            Role::Leader(leader) => leader.is_established().then_some(self.identity.key.id),
            Role::Resigned(_) => None,
            _ => self.election.leader.filter(|leader| *leader != self.identity.key.id),
        }
    }

    /// Where the leader of the current epoch listens, if this node follows one.
    pub fn leader_address(&self) -> Option<&Address> {
        match &self.role {
            Role::Follower(follower) => Some(&follower.leader.address),
            _ => None,
        }
    }

    /// The epoch in which this node leads and may append, if it does.
    pub fn leads(&self) -> Option<LeaderEpoch> {
        matches!(&self.role, Role::Leader(leader) if leader.is_established()).then_some(self.epoch())
    }

    /// The high watermark: the end of what is known to be committed.
    pub fn committed(&self) -> Offset {
        self.committed
    }

    /// The log as the quorum knows it.
    pub fn log(&self) -> &LogView {
        &self.log
    }

    /// The voters, now and along the log.
    pub fn voters(&self) -> &VoterHistory {
        &self.voters
    }

    /// Whether this node is a voter.
    pub fn is_voter(&self) -> bool {
        self.voters.current().contains(self.identity.key)
    }

    /// The id of a snapshot that ends here. `None` where there cannot be one: not committed, or before the
    /// log. `end` is the end of a batch (KAFKA-17713).
    pub fn snapshot_id(&self, end: Offset) -> Option<SnapshotId> {
        if end <= self.log.start() || end > self.committed {
            return None;
        }
        Some(SnapshotId { epoch: self.log.epoch_before(end)?, end })
    }

    /// After [`Input::Shutdown`]: whether nobody depends on this node any more.
    pub fn may_stop(&self) -> bool {
        let voters = self.voters.current();
        let another_leads = self.election.leader.is_some_and(|leader| leader != self.identity.key.id);
        !self.is_voter() || voters.is_only(self.identity.key) || another_leads
    }

    /// Does what is due, until nothing is.
    fn poll(&mut self, now: Mono) {
        // The shell is about to tell that the log has changed. Till then its positions are not true.
        while self.log_change.is_none() {
            let moved = match &self.role {
                Role::Unattached(_) => self.poll_unattached(now),
                Role::Prospective(_) => self.poll_prospective(now),
                Role::Candidate(_) => self.poll_candidate(now),
                Role::Leader(_) => self.poll_leader(now),
                Role::Follower(_) => self.poll_follower(now),
                Role::Resigned(_) => self.poll_resigned(now),
            };
            if !moved {
                break;
            }
        }
    }

    fn check(&self, now: Mono) {
        assert!(
            self.log.start() <= self.committed && self.committed <= self.log.durable_end(),
            "committed {} in {:?}",
            self.committed,
            self.log
        );
        assert!(self.election.epoch >= self.log.last_epoch(), "{:?} and {:?}", self.election, self.log);
        assert!(
            self.log_change.is_some() || self.next_deadline().is_none_or(|deadline| deadline > now),
            "something is due at {now:?} and not done: {self:?}"
        );
    }
}

impl LogChange {
    fn is_completed_by(self, input: &Input) -> bool {
        matches!(
            (self, input),
            (Self::Append, Input::Appended(_))
                | (Self::Truncate(_), Input::Truncated)
                | (Self::Install(_), Input::SnapshotInstalled(_))
        )
    }
}
