//! FetchSnapshot (key 59), versions 0 to 1: a piece of a snapshot of the metadata log (KIP-630).

use super::Broker;
use super::quorum::{ask, check, is_metadata, leader, node_endpoints};
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::RequestContext;
use crate::quorum::{Answer, FetchSnapshotRequest as Asked, Request, SnapshotId as Id, VoterKey};
use crate::types::{BrokerId, LeaderEpoch, Offset};
use crate::wire::messages::fetch_snapshot;
use crate::wire::messages::fetch_snapshot::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: FetchSnapshotRequest,
) -> FetchSnapshotResponse {
    let refused = |code: ErrorCode| FetchSnapshotResponse { error_code: code.code(), ..Default::default() };
    if let Err(code) = check(&broker, &context, request.cluster_id.as_deref()) {
        return refused(code);
    }
    let Some(asked) = read(&request) else { return refused(ErrorCode::InvalidRequest) };
    let answered = match ask(&broker, Request::FetchSnapshot(asked)).await {
        Ok(answered) => answered,
        Err(code) => return refused(code),
    };
    let Answer::FetchSnapshot(answer) = answered.answer else { unreachable!("it is answered as one") };
    let (leader_id, leader_epoch) = leader(&answer.known);
    let partition = PartitionSnapshotResult {
        index: 0,
        error_code: answer.known.error.code(),
        snapshot_id: SnapshotId { end_offset: asked.id.end.0, epoch: asked.id.epoch.0 },
        current_leader: LeaderIdAndEpoch { leader_id, leader_epoch },
        size: i64::try_from(answered.snapshot_size).unwrap_or(i64::MAX),
        position: i64::try_from(asked.position).unwrap_or(i64::MAX),
        unaligned_records: answered.payload,
    };
    let name = request.topics[0].name.clone();
    FetchSnapshotResponse {
        topics: vec![TopicSnapshotResult { name, partitions: vec![partition] }],
        node_endpoints: node_endpoints!(answer.known, fetch_snapshot),
        ..FetchSnapshotResponse::default()
    }
}

fn read(request: &FetchSnapshotRequest) -> Option<Asked> {
    let [topic] = &request.topics[..] else { return None };
    let [partition] = &topic.partitions[..] else { return None };
    if !is_metadata(&topic.name, partition.partition) || partition.current_leader_epoch < 0 {
        return None;
    }
    Some(Asked {
        replica: VoterKey { id: BrokerId(request.replica_id), directory: partition.replica_directory_id },
        epoch: LeaderEpoch(partition.current_leader_epoch),
        id: Id {
            epoch: LeaderEpoch(partition.snapshot_id.epoch),
            end: Offset(partition.snapshot_id.end_offset),
        },
        position: u64::try_from(partition.position).ok()?,
        max_bytes: u32::try_from(request.max_bytes).ok()?.min(PIECE_BYTES_MAX),
    })
}

/// The most bytes of a piece, whatever is asked for.
const PIECE_BYTES_MAX: u32 = 1 << 20;
