//! Fetch (key 1) on a controller's listener: the metadata log, for voters and observers (KIP-595).
//!
//! The answer may take as long as the request allows: the quorum answers when there is something new.

use std::time::Duration;

use super::quorum::{ask, check, leader, node_endpoints};
use super::{Broker, decode, malformed, respond};
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::RequestContext;
use crate::node::raft::{Answered, TOPIC};
use crate::node::service::{IncomingRequest, Reply};
use crate::quorum::{Answer, Fetched, Request, VoterKey};
use crate::types::{BrokerId, LeaderEpoch, Offset, Uuid};
use crate::wire::messages::fetch;
use crate::wire::messages::fetch::*;

pub(super) fn reply<E: Env>(broker: &Broker<E>, request: IncomingRequest) -> Reply {
    let IncomingRequest { context, body, .. } = request;
    let decoded: FetchRequest = match decode(&context, &body) {
        Ok(decoded) => decoded,
        Err(error) => return Reply::Now(malformed(&context, &error)),
    };
    let broker = broker.clone();
    Reply::later(async move {
        let response = handle(&broker, &context, decoded).await;
        respond::<FetchRequest>(&context, &response)
    })
}

async fn handle<E: Env>(
    broker: &Broker<E>,
    context: &RequestContext,
    request: FetchRequest,
) -> FetchResponse {
    let refused = |code: ErrorCode| FetchResponse { error_code: code.code(), ..FetchResponse::default() };
    if let Err(code) = check(broker, context, request.cluster_id.as_deref()) {
        return refused(code);
    }
    let Some(asked) = read(&request) else { return refused(ErrorCode::InvalidRequest) };
    match ask(broker, Request::Fetch(asked)).await {
        Ok(answered) => answer(answered),
        Err(code) => refused(code),
    }
}

fn read(request: &FetchRequest) -> Option<crate::quorum::FetchRequest> {
    let [topic] = &request.topics[..] else { return None };
    let [partition] = &topic.partitions[..] else { return None };
    let is_metadata = topic.topic_id == Uuid::METADATA_TOPIC || topic.topic == TOPIC;
    let sound = is_metadata
        && partition.partition == 0
        && partition.fetch_offset >= 0
        && partition.last_fetched_epoch >= 0
        && partition.current_leader_epoch >= 0;
    if !sound {
        return None;
    }
    let id = if request.replica_state.replica_id >= 0 {
        request.replica_state.replica_id
    } else {
        request.replica_id
    };
    Some(crate::quorum::FetchRequest {
        replica: VoterKey { id: BrokerId(id), directory: partition.replica_directory_id },
        epoch: LeaderEpoch(partition.current_leader_epoch),
        offset: Offset(partition.fetch_offset),
        last_epoch: LeaderEpoch(partition.last_fetched_epoch),
        high_watermark: Offset(partition.high_watermark.max(0)),
        max_wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
    })
}

fn answer(answered: Answered) -> FetchResponse {
    let Answer::Fetch(response) = answered.answer else { unreachable!("a fetch is answered as one") };
    let (leader_id, leader_epoch) = leader(&response.known);
    let mut partition = PartitionData {
        partition_index: 0,
        error_code: response.known.error.code(),
        high_watermark: response.high_watermark.map_or(-1, |offset| offset.0),
        log_start_offset: -1,
        current_leader: LeaderIdAndEpoch { leader_id, leader_epoch },
        records: Some(answered.payload),
        ..PartitionData::default()
    };
    match response.fetched {
        Some(Fetched::Diverging { epoch, end }) => {
            partition.diverging_epoch = EpochEndOffset { epoch: epoch.0, end_offset: end.0 };
        }
        Some(Fetched::Snapshot(id)) => {
            partition.snapshot_id = SnapshotId { end_offset: id.end.0, epoch: id.epoch.0 };
        }
        Some(Fetched::Records(_)) | None => {}
    }
    let topic = FetchableTopicResponse {
        topic: TOPIC.to_owned(),
        topic_id: Uuid::METADATA_TOPIC,
        partitions: vec![partition],
    };
    FetchResponse {
        responses: vec![topic],
        node_endpoints: node_endpoints!(response.known, fetch),
        ..FetchResponse::default()
    }
}
