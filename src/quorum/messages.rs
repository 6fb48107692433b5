//! What the nodes of the quorum say to each other, free of the wire's encodings: the shell translates. Cluster
//! id, topic and partition are checked by the shell, which answers INCONSISTENT_CLUSTER_ID and the like itself.

use std::time::Duration;

use super::VoterKey;
use super::config::Address;
use super::snapshot::SnapshotId;
use crate::error_code::ErrorCode;
use crate::types::{BrokerId, LeaderEpoch, Offset};
use crate::wire::VersionRange;
use crate::wire::control::Endpoint;

/// A request, received or to be sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Vote (52), pre-vote included.
    Vote(VoteRequest),
    /// BeginQuorumEpoch (53): a leader makes itself known.
    BeginQuorumEpoch(BeginQuorumEpochRequest),
    /// EndQuorumEpoch (54): a leader has resigned.
    EndQuorumEpoch(EndQuorumEpochRequest),
    /// Fetch (1).
    Fetch(FetchRequest),
    /// FetchSnapshot (59).
    FetchSnapshot(FetchSnapshotRequest),
    /// AddRaftVoter (80).
    AddVoter(AddVoterRequest),
    /// RemoveRaftVoter (81).
    RemoveVoter(RemoveVoterRequest),
    /// UpdateRaftVoter (82).
    UpdateVoter(UpdateVoterRequest),
    /// ApiVersions (18), to learn the levels of kraft.version that a new voter supports. Never received here.
    SupportedVersions,
}

/// Vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoteRequest {
    /// The epoch of the candidate; for a pre-vote the one that it would raise.
    pub epoch: LeaderEpoch,
    /// Who asks.
    pub candidate: VoterKey,
    /// Who is asked. The directory is zero where the candidate does not know it, `None` before version 1.
    pub voter: Option<VoterKey>,
    /// The epoch of the last record of the candidate's log.
    pub last_epoch: LeaderEpoch,
    /// The end of the candidate's log.
    pub log_end: Offset,
    /// Whether it only asks if it could win (KIP-996).
    pub pre_vote: bool,
}

/// BeginQuorumEpoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginQuorumEpochRequest {
    /// The leader's epoch.
    pub epoch: LeaderEpoch,
    /// The leader.
    pub leader: BrokerId,
    /// Where it listens; `None` before version 1.
    pub address: Option<Address>,
    /// Who is told, as in a Vote.
    pub voter: Option<VoterKey>,
}

/// EndQuorumEpoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndQuorumEpochRequest {
    /// The epoch that ends.
    pub epoch: LeaderEpoch,
    /// Who led.
    pub leader: BrokerId,
    /// Where it listens; `None` before version 1.
    pub address: Option<Address>,
    /// Who should stand for election first, second, ... The directory is zero before version 1.
    pub successors: Vec<VoterKey>,
}

/// Fetch of the metadata partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchRequest {
    /// Who fetches.
    pub replica: VoterKey,
    /// Its epoch.
    pub epoch: LeaderEpoch,
    /// The end of its log, all of which is durable.
    pub offset: Offset,
    /// The epoch of its last record; zero without one.
    pub last_epoch: LeaderEpoch,
    /// The high watermark that it knows; zero without one.
    pub high_watermark: Offset,
    /// How long the answer may wait for something new.
    pub max_wait: Duration,
}

/// FetchSnapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchSnapshotRequest {
    /// Who fetches.
    pub replica: VoterKey,
    /// Its epoch.
    pub epoch: LeaderEpoch,
    /// Which snapshot.
    pub id: SnapshotId,
    /// From which byte on.
    pub position: u64,
    /// The most bytes to send.
    pub max_bytes: u32,
}

/// AddRaftVoter.
#[derive(Debug, Clone, PartialEq)]
pub struct AddVoterRequest {
    /// Who becomes a voter.
    pub voter: VoterKey,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// Whether the answer waits until the change is committed (version 1; always so at version 0).
    pub ack_when_committed: bool,
}

/// RemoveRaftVoter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoveVoterRequest {
    /// Who is no longer a voter.
    pub voter: VoterKey,
}

/// UpdateRaftVoter.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateVoterRequest {
    /// The epoch that the voter knows.
    pub epoch: LeaderEpoch,
    /// The voter.
    pub voter: VoterKey,
    /// Where it listens now.
    pub endpoints: Vec<Endpoint>,
    /// The levels of kraft.version that it supports now.
    pub versions: VersionRange,
}

/// What every answer about the quorum says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What went wrong, or [`ErrorCode::None`].
    pub error: ErrorCode,
    /// The epoch of who answers.
    pub epoch: LeaderEpoch,
    /// Who leads in it, as far as who answers knows.
    pub leader: Option<LeaderAt>,
}

/// A leader and where it listens, if that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderAt {
    /// The leader.
    pub id: BrokerId,
    /// Its address.
    pub address: Option<Address>,
}

/// The answer to a Vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoteResponse {
    /// Epoch and leader.
    pub known: Known,
    /// Whether the vote is granted.
    pub granted: bool,
}

/// What a Fetch brings besides an error. `R` is a [`ReadRange`] where it is answered, and a list of
/// [`BatchSpan`]s where it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched<R> {
    /// Records, or none for now.
    Records(R),
    /// The logs differ: the largest epoch and end that the leader has below what was asked for.
    Diverging {
        /// The epoch.
        epoch: LeaderEpoch,
        /// Where it ends in the leader's log.
        end: Offset,
    },
    /// What was asked for is no longer in the log: fetch this snapshot.
    Snapshot(SnapshotId),
}

/// The answer to a Fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchResponse<R> {
    /// Epoch and leader.
    pub known: Known,
    /// The leader's high watermark, once it has one in its epoch.
    pub high_watermark: Option<Offset>,
    /// What it brings, if there is no error.
    pub fetched: Option<Fetched<R>>,
}

/// What to read from the log for an answer: whole batches from `from` on, none at or beyond `to`, at least one
/// if there is one, and else as many as the request allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadRange {
    /// The first offset.
    pub from: Offset,
    /// The log's end.
    pub to: Offset,
}

/// A whole batch that was received, with its checksum verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSpan {
    /// Its first offset.
    pub base: Offset,
    /// The offset after its last.
    pub end: Offset,
    /// Its epoch.
    pub epoch: LeaderEpoch,
}

/// The answer to a FetchSnapshot. `C` is a [`ReadChunk`] where it is answered, a [`Chunk`] where it was
/// received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchSnapshotResponse<C> {
    /// Epoch and leader.
    pub known: Known,
    /// The bytes, if there is no error.
    pub chunk: Option<C>,
}

/// What to read from a snapshot for an answer. Where there is no such snapshot, or it is not longer than
/// `position`, the shell answers SNAPSHOT_NOT_FOUND or POSITION_OUT_OF_RANGE instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadChunk {
    /// The snapshot.
    pub id: SnapshotId,
    /// The first byte.
    pub position: u64,
    /// The most bytes.
    pub max_bytes: u32,
}

/// Bytes of a snapshot that were received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// The snapshot.
    pub id: SnapshotId,
    /// Where in it they begin.
    pub position: u64,
    /// How many there are.
    pub bytes: u64,
    /// How many the whole snapshot has.
    pub size: u64,
}

/// The answer to AddRaftVoter and RemoveRaftVoter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoterChangeResponse {
    /// What went wrong, or [`ErrorCode::None`].
    pub error: ErrorCode,
    /// In words.
    pub message: Option<String>,
}

/// An answer to a request that was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Request::Vote`].
    Vote(VoteResponse),
    /// To [`Request::BeginQuorumEpoch`].
    BeginQuorumEpoch(Known),
    /// To [`Request::EndQuorumEpoch`].
    EndQuorumEpoch(Known),
    /// To [`Request::Fetch`].
    Fetch(FetchResponse<ReadRange>),
    /// To [`Request::FetchSnapshot`].
    FetchSnapshot(FetchSnapshotResponse<ReadChunk>),
    /// To [`Request::AddVoter`].
    AddVoter(VoterChangeResponse),
    /// To [`Request::RemoveVoter`].
    RemoveVoter(VoterChangeResponse),
    /// To [`Request::UpdateVoter`].
    UpdateVoter(Known),
}

/// A response to a request that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// To [`Request::Vote`].
    Vote(VoteResponse),
    /// To [`Request::BeginQuorumEpoch`].
    BeginQuorumEpoch(Known),
    /// To [`Request::EndQuorumEpoch`].
    EndQuorumEpoch(Known),
    /// To [`Request::Fetch`].
    Fetch(FetchResponse<Vec<BatchSpan>>),
    /// To [`Request::FetchSnapshot`].
    FetchSnapshot(FetchSnapshotResponse<Chunk>),
    /// To [`Request::UpdateVoter`].
    UpdateVoter(Known),
    /// To [`Request::SupportedVersions`]: the levels of kraft.version; `None` if it names none.
    SupportedVersions(Option<VersionRange>),
}
