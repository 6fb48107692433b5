//! What the quorum asks its peers, on the wire: requests written, responses read.

use bytes::Bytes;

use crate::client::connection::{CallError, Connection};
use crate::controller::features::{KRAFT_LEVELS, KRAFT_VERSION};
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::quorum::{
    Address, BatchSpan, BeginQuorumEpochRequest, Chunk, EndQuorumEpochRequest, Failure, FetchRequest,
    FetchResponse, FetchSnapshotRequest, FetchSnapshotResponse, Fetched, Known, LeaderAt, Request, Response,
    SnapshotId, UpdateVoterRequest, VoteRequest, VoteResponse, VoterKey,
};
use crate::types::{BrokerId, LeaderEpoch, Mono, Offset, Uuid};
use crate::wire::Request as WireRequest;
use crate::wire::VersionRange;
use crate::wire::batch::{Batch, split, verify_crc};
use crate::wire::control::Endpoint;
use crate::wire::messages::{
    begin_quorum_epoch as begin, end_quorum_epoch as end, fetch, fetch_snapshot, update_raft_voter as update,
    vote,
};

/// The topic of the metadata log.
pub(crate) const TOPIC: &str = "__cluster_metadata";

/// The most bytes of records that a Fetch asks for: Kafka's limit.
const FETCH_BYTES_MAX: i32 = 8 << 20;

/// A response, with the bytes that came along: batches of a Fetch, a piece of a snapshot.
pub(crate) struct Received {
    pub(super) response: Response,
    pub(super) payload: Bytes,
}

/// Who asks: what all requests say.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) cluster_id: String,
    /// The listener of controllers, for the address of an older leader that names several.
    pub(super) endpoints: Vec<Endpoint>,
}

impl Caller {
    /// Asks a peer, and reads what it answers.
    pub(super) async fn call<E: Env>(
        &self,
        connection: &Connection<E>,
        request: Request,
        deadline: Mono,
    ) -> Result<Received, Failure> {
        let response = match request {
            Request::Vote(request) => {
                let response = ask(connection, &self.vote(request), deadline).await?;
                of_this_cluster(response.error_code)?;
                read_vote(&response)
            }
            Request::BeginQuorumEpoch(request) => {
                let response = ask(connection, &self.begin(&request), deadline).await?;
                of_this_cluster(response.error_code)?;
                read_begin(&response)
            }
            Request::EndQuorumEpoch(request) => {
                let response = ask(connection, &self.end(&request), deadline).await?;
                of_this_cluster(response.error_code)?;
                read_end(&response)
            }
            Request::Fetch(request) => {
                let response = ask(connection, &self.fetch(request), deadline).await?;
                of_this_cluster(response.error_code)?;
                return read_fetch(response);
            }
            Request::FetchSnapshot(request) => {
                let response = ask(connection, &self.fetch_snapshot(request), deadline).await?;
                of_this_cluster(response.error_code)?;
                return read_snapshot(response);
            }
            Request::UpdateVoter(request) => {
                let response = ask(connection, &self.update(request), deadline).await?;
                of_this_cluster(response.error_code)?;
                Some(read_update(&response))
            }
            Request::SupportedVersions => Some(supported(connection)),
            Request::AddVoter(_) | Request::RemoveVoter(_) => {
                unreachable!("people ask for changes of the voters, not nodes")
            }
        };
        response.map(|response| Received { response, payload: Bytes::new() }).ok_or(Failure::Unreachable)
    }

    fn vote(&self, request: VoteRequest) -> vote::VoteRequest {
        let VoteRequest { epoch, candidate, voter, last_epoch, log_end, pre_vote } = request;
        let partition = vote::PartitionData {
            partition_index: 0,
            replica_epoch: epoch.0,
            replica_id: candidate.id.0,
            replica_directory_id: candidate.directory,
            voter_directory_id: voter.map_or(Uuid::ZERO, |voter| voter.directory),
            last_offset_epoch: last_epoch.0,
            last_offset: log_end.0,
            pre_vote,
        };
        vote::VoteRequest {
            cluster_id: Some(self.cluster_id.clone()),
            voter_id: voter.map_or(-1, |voter| voter.id.0),
            topics: vec![vote::TopicData { topic_name: TOPIC.to_owned(), partitions: vec![partition] }],
        }
    }

    fn begin(&self, request: &BeginQuorumEpochRequest) -> begin::BeginQuorumEpochRequest {
        let partition = begin::PartitionData {
            partition_index: 0,
            voter_directory_id: request.voter.map_or(Uuid::ZERO, |voter| voter.directory),
            leader_id: request.leader.0,
            leader_epoch: request.epoch.0,
        };
        let endpoint = |endpoint: &Endpoint| begin::LeaderEndpoint {
            name: endpoint.name.clone(),
            host: endpoint.host.clone(),
            port: endpoint.port,
        };
        begin::BeginQuorumEpochRequest {
            cluster_id: Some(self.cluster_id.clone()),
            voter_id: request.voter.map_or(-1, |voter| voter.id.0),
            topics: vec![begin::TopicData { topic_name: TOPIC.to_owned(), partitions: vec![partition] }],
            leader_endpoints: self.endpoints.iter().map(endpoint).collect(),
        }
    }

    fn end(&self, request: &EndQuorumEpochRequest) -> end::EndQuorumEpochRequest {
        let candidate = |key: &VoterKey| end::ReplicaInfo {
            candidate_id: key.id.0,
            candidate_directory_id: key.directory,
        };
        let partition = end::PartitionData {
            partition_index: 0,
            leader_id: request.leader.0,
            leader_epoch: request.epoch.0,
            preferred_successors: request.successors.iter().map(|key| key.id.0).collect(),
            preferred_candidates: request.successors.iter().map(candidate).collect(),
        };
        let endpoint = |endpoint: &Endpoint| end::LeaderEndpoint {
            name: endpoint.name.clone(),
            host: endpoint.host.clone(),
            port: endpoint.port,
        };
        end::EndQuorumEpochRequest {
            cluster_id: Some(self.cluster_id.clone()),
            topics: vec![end::TopicData { topic_name: TOPIC.to_owned(), partitions: vec![partition] }],
            leader_endpoints: self.endpoints.iter().map(endpoint).collect(),
        }
    }

    fn fetch(&self, request: FetchRequest) -> fetch::FetchRequest {
        let FetchRequest { replica, epoch, offset, last_epoch, high_watermark, max_wait } = request;
        let partition = fetch::FetchPartition {
            partition: 0,
            current_leader_epoch: epoch.0,
            fetch_offset: offset.0,
            last_fetched_epoch: last_epoch.0,
            log_start_offset: 0,
            partition_max_bytes: 0,
            replica_directory_id: replica.directory,
            high_watermark: high_watermark.0,
        };
        fetch::FetchRequest {
            cluster_id: Some(self.cluster_id.clone()),
            replica_state: fetch::ReplicaState { replica_id: replica.id.0, replica_epoch: -1 },
            max_wait_ms: i32::try_from(max_wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: 0,
            max_bytes: FETCH_BYTES_MAX,
            topics: vec![fetch::FetchTopic {
                topic: TOPIC.to_owned(),
                topic_id: Uuid::METADATA_TOPIC,
                partitions: vec![partition],
            }],
            ..fetch::FetchRequest::default()
        }
    }

    fn fetch_snapshot(&self, request: FetchSnapshotRequest) -> fetch_snapshot::FetchSnapshotRequest {
        let FetchSnapshotRequest { replica, epoch, id, position, max_bytes } = request;
        let partition = fetch_snapshot::PartitionSnapshot {
            partition: 0,
            current_leader_epoch: epoch.0,
            snapshot_id: fetch_snapshot::SnapshotId { end_offset: id.end.0, epoch: id.epoch.0 },
            position: i64::try_from(position).unwrap_or(i64::MAX),
            replica_directory_id: replica.directory,
        };
        fetch_snapshot::FetchSnapshotRequest {
            cluster_id: Some(self.cluster_id.clone()),
            replica_id: replica.id.0,
            max_bytes: i32::try_from(max_bytes).unwrap_or(i32::MAX),
            topics: vec![fetch_snapshot::TopicSnapshot {
                name: TOPIC.to_owned(),
                partitions: vec![partition],
            }],
        }
    }

    fn update(&self, request: UpdateVoterRequest) -> update::UpdateRaftVoterRequest {
        let UpdateVoterRequest { epoch, voter, endpoints, versions } = request;
        let listener = |endpoint: Endpoint| update::Listener {
            name: endpoint.name,
            host: endpoint.host,
            port: endpoint.port,
        };
        update::UpdateRaftVoterRequest {
            cluster_id: Some(self.cluster_id.clone()),
            current_leader_epoch: epoch.0,
            voter_id: voter.id.0,
            voter_directory_id: voter.directory,
            listeners: endpoints.into_iter().map(listener).collect(),
            k_raft_version_feature: update::KRaftVersionFeature {
                min_supported_version: versions.min,
                max_supported_version: versions.max,
            },
        }
    }
}

async fn ask<E: Env, R: WireRequest>(
    connection: &Connection<E>,
    request: &R,
    deadline: Mono,
) -> Result<R::Response, Failure> {
    let failure = |error: CallError| match error {
        CallError::Unsupported(_) => Failure::UnsupportedVersion,
        CallError::NotSent(_) | CallError::Lost(_) => Failure::Unreachable,
    };
    let call = connection.start(request, i16::MAX, deadline).map_err(failure)?;
    call.wait().await.map_err(failure)
}

/// That the error of a response as a whole does not say that the peer is of another cluster.
fn of_this_cluster(error_code: i16) -> Result<(), Failure> {
    if error_code == ErrorCode::InconsistentClusterId.code() { Err(Failure::OtherCluster) } else { Ok(()) }
}

fn supported<E: Env>(connection: &Connection<E>) -> Response {
    Response::SupportedVersions(connection.versions().feature(KRAFT_VERSION))
}

/// The error of a partition. `None` if the request as a whole was refused (an answer that says nothing of the
/// quorum), or the code is not one of Kafka's.
fn error_of(whole: i16, partition: i16) -> Option<ErrorCode> {
    (whole == 0).then(|| ErrorCode::from_code(partition)).flatten()
}

/// What a peer knows of epoch and leader; an unreadable answer is `None`.
fn known(error: ErrorCode, epoch: i32, leader: i32, address: Option<Address>) -> Known {
    let leader = Some(BrokerId(leader)).filter(|leader| leader.0 >= 0);
    Known { error, epoch: LeaderEpoch(epoch), leader: leader.map(|id| LeaderAt { id, address }) }
}

/// The only partition of the only topic.
macro_rules! only_partition {
    ($response:expr) => {
        match &$response.topics[..] {
            [topic] => match &topic.partitions[..] {
                [partition] => Some(partition),
                _ => None,
            },
            _ => None,
        }
    };
}

macro_rules! address {
    ($response:expr, $leader:expr) => {
        $response
            .node_endpoints
            .iter()
            .find(|node| node.node_id == $leader)
            .map(|node| Address { host: node.host.clone(), port: node.port })
    };
}

fn read_vote(response: &vote::VoteResponse) -> Option<Response> {
    let partition = only_partition!(response)?;
    let error = error_of(response.error_code, partition.error_code)?;
    let address = address!(response, partition.leader_id);
    let known = known(error, partition.leader_epoch, partition.leader_id, address);
    Some(Response::Vote(VoteResponse { known, granted: partition.vote_granted }))
}

fn read_begin(response: &begin::BeginQuorumEpochResponse) -> Option<Response> {
    let partition = only_partition!(response)?;
    let error = error_of(response.error_code, partition.error_code)?;
    let address = address!(response, partition.leader_id);
    let known = known(error, partition.leader_epoch, partition.leader_id, address);
    Some(Response::BeginQuorumEpoch(known))
}

fn read_end(response: &end::EndQuorumEpochResponse) -> Option<Response> {
    let partition = only_partition!(response)?;
    let error = error_of(response.error_code, partition.error_code)?;
    let address = address!(response, partition.leader_id);
    let known = known(error, partition.leader_epoch, partition.leader_id, address);
    Some(Response::EndQuorumEpoch(known))
}

fn read_update(response: &update::UpdateRaftVoterResponse) -> Response {
    let error = ErrorCode::from_code(response.error_code).unwrap_or(ErrorCode::UnknownServerError);
    let leader = &response.current_leader;
    let address = u16::try_from(leader.port)
        .ok()
        .filter(|_| !leader.host.is_empty())
        .map(|port| Address { host: leader.host.clone(), port });
    Response::UpdateVoter(known(error, leader.leader_epoch.max(0), leader.leader_id, address))
}

fn read_fetch(response: fetch::FetchResponse) -> Result<Received, Failure> {
    let [topic] = &response.responses[..] else { return Err(Failure::Unreachable) };
    let [partition] = &topic.partitions[..] else { return Err(Failure::Unreachable) };
    let error = error_of(response.error_code, partition.error_code).ok_or(Failure::Unreachable)?;
    let leader = &partition.current_leader;
    let node = response.node_endpoints.iter().find(|node| node.node_id == leader.leader_id);
    let address =
        node.and_then(|node| Some(Address { host: node.host.clone(), port: u16::try_from(node.port).ok()? }));
    let known = known(error, leader.leader_epoch, leader.leader_id, address);
    let high_watermark = Some(Offset(partition.high_watermark)).filter(|offset| offset.0 >= 0);
    let mut payload = Bytes::new();
    let fetched = if error != ErrorCode::None {
        None
    } else if partition.snapshot_id.epoch >= 0 && partition.snapshot_id.end_offset >= 0 {
        let id = &partition.snapshot_id;
        Some(Fetched::Snapshot(SnapshotId { epoch: LeaderEpoch(id.epoch), end: Offset(id.end_offset) }))
    } else if partition.diverging_epoch.epoch >= 0 && partition.diverging_epoch.end_offset >= 0 {
        let point = &partition.diverging_epoch;
        Some(Fetched::Diverging { epoch: LeaderEpoch(point.epoch), end: Offset(point.end_offset) })
    } else {
        let records = partition.records.clone().unwrap_or_default();
        let (spans, length) = whole_batches(&records).ok_or(Failure::Unreachable)?;
        payload = records.slice(..length);
        Some(Fetched::Records(spans))
    };
    let response = FetchResponse { known, high_watermark, fetched };
    Ok(Received { response: Response::Fetch(response), payload })
}

/// The whole batches at the beginning, and how many bytes they have; a last one that the answer's size has cut
/// off is left out. `None` if one is damaged.
fn whole_batches(records: &Bytes) -> Option<(Vec<BatchSpan>, usize)> {
    let (mut spans, mut length) = (Vec::new(), 0);
    for batch in split(records) {
        let Ok(batch) = batch else { break };
        spans.push(span_of(&batch)?);
        length += batch.bytes.len();
    }
    let is_cut_off_only = length > 0 || records.is_empty();
    is_cut_off_only.then_some((spans, length))
}

/// Where a received batch lies; `None` if it is not what its checksum says, or cannot be a batch.
pub(super) fn span_of(batch: &Batch) -> Option<BatchSpan> {
    let header = &batch.header;
    let sound =
        verify_crc(&batch.bytes).is_ok() && header.base_offset.0 >= 0 && header.last_offset_delta >= 0;
    sound.then_some(BatchSpan {
        base: header.base_offset,
        end: header.next_offset(),
        epoch: header.partition_leader_epoch,
    })
}

fn read_snapshot(response: fetch_snapshot::FetchSnapshotResponse) -> Result<Received, Failure> {
    let partition = only_partition!(response).ok_or(Failure::Unreachable)?;
    let error = error_of(response.error_code, partition.error_code).ok_or(Failure::Unreachable)?;
    let leader = &partition.current_leader;
    let address = address!(response, leader.leader_id);
    let known = known(error, leader.leader_epoch, leader.leader_id, address);
    let number = |value: i64| u64::try_from(value).map_err(|_| Failure::Unreachable);
    let payload = partition.unaligned_records.clone();
    let chunk = match error {
        ErrorCode::None => Some(Chunk {
            id: SnapshotId {
                epoch: LeaderEpoch(partition.snapshot_id.epoch),
                end: Offset(partition.snapshot_id.end_offset),
            },
            position: number(partition.position)?,
            bytes: payload.len() as u64,
            size: number(partition.size)?,
        }),
        _ => None,
    };
    Ok(Received { response: Response::FetchSnapshot(FetchSnapshotResponse { known, chunk }), payload })
}

/// The levels of kraft.version that this version supports.
pub(crate) const KRAFT_VERSIONS: VersionRange = VersionRange { min: KRAFT_LEVELS.min, max: KRAFT_LEVELS.max };
