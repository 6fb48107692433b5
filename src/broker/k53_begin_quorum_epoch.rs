//! BeginQuorumEpoch (key 53), versions 0 to 1: a leader of the quorum makes itself known.

use super::Broker;
use super::quorum::{ask, check, is_metadata, leader, node_endpoints};
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::RequestContext;
use crate::quorum::{Address, Answer, BeginQuorumEpochRequest as Beginning, Request, VoterKey};
use crate::types::{BrokerId, LeaderEpoch};
use crate::wire::messages::begin_quorum_epoch as begin;
use crate::wire::messages::begin_quorum_epoch::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: BeginQuorumEpochRequest,
) -> BeginQuorumEpochResponse {
    let refused = |code: ErrorCode| BeginQuorumEpochResponse {
        error_code: code.code(),
        ..BeginQuorumEpochResponse::default()
    };
    if let Err(code) = check(&broker, &context, request.cluster_id.as_deref()) {
        return refused(code);
    }
    let Some(beginning) = read(&broker, &context, &request) else {
        return refused(ErrorCode::InvalidRequest);
    };
    let answered = match ask(&broker, Request::BeginQuorumEpoch(beginning)).await {
        Ok(answered) => answered,
        Err(code) => return refused(code),
    };
    let Answer::BeginQuorumEpoch(known) = answered.answer else { unreachable!("it is answered as one") };
    let (leader_id, leader_epoch) = leader(&known);
    let partition =
        PartitionResult { partition_index: 0, error_code: known.error.code(), leader_id, leader_epoch };
    let topic_name = request.topics[0].topic_name.clone();
    BeginQuorumEpochResponse {
        error_code: ErrorCode::None.code(),
        topics: vec![TopicResult { topic_name, partitions: vec![partition] }],
        node_endpoints: node_endpoints!(known, begin),
    }
}

fn read<E: Env>(
    broker: &Broker<E>,
    context: &RequestContext,
    request: &BeginQuorumEpochRequest,
) -> Option<Beginning> {
    let [topic] = &request.topics[..] else { return None };
    let [partition] = &topic.partitions[..] else { return None };
    if !is_metadata(&topic.topic_name, partition.partition_index) || partition.leader_epoch < 0 {
        return None;
    }
    let voter = VoterKey { id: BrokerId(request.voter_id), directory: partition.voter_directory_id };
    let named = |endpoint: &&LeaderEndpoint| endpoint.name == broker.controller_listener();
    let endpoint = request.leader_endpoints.iter().find(named).or(request.leader_endpoints.first());
    Some(Beginning {
        epoch: LeaderEpoch(partition.leader_epoch),
        leader: BrokerId(partition.leader_id),
        address: endpoint.map(|endpoint| Address { host: endpoint.host.clone(), port: endpoint.port }),
        voter: (context.api_version >= 1 && request.voter_id >= 0).then_some(voter),
    })
}
