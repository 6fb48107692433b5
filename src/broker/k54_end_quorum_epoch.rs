//! EndQuorumEpoch (key 54), versions 0 to 1: a leader of the quorum has resigned.

use super::Broker;
use super::quorum::{ask, check, is_metadata, leader, node_endpoints};
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::RequestContext;
use crate::quorum::{Address, Answer, EndQuorumEpochRequest as Ending, Request, VoterKey};
use crate::types::{BrokerId, LeaderEpoch, Uuid};
use crate::wire::messages::end_quorum_epoch as end;
use crate::wire::messages::end_quorum_epoch::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: EndQuorumEpochRequest,
) -> EndQuorumEpochResponse {
    let refused = |code: ErrorCode| EndQuorumEpochResponse { error_code: code.code(), ..Default::default() };
    if let Err(code) = check(&broker, &context, request.cluster_id.as_deref()) {
        return refused(code);
    }
    let Some(ending) = read(&broker, &request) else { return refused(ErrorCode::InvalidRequest) };
    let answered = match ask(&broker, Request::EndQuorumEpoch(ending)).await {
        Ok(answered) => answered,
        Err(code) => return refused(code),
    };
    let Answer::EndQuorumEpoch(known) = answered.answer else { unreachable!("it is answered as one") };
    let (leader_id, leader_epoch) = leader(&known);
    let partition =
        PartitionResult { partition_index: 0, error_code: known.error.code(), leader_id, leader_epoch };
    let topic_name = request.topics[0].topic_name.clone();
    EndQuorumEpochResponse {
        error_code: ErrorCode::None.code(),
        topics: vec![TopicResult { topic_name, partitions: vec![partition] }],
        node_endpoints: node_endpoints!(known, end),
    }
}

fn read<E: Env>(broker: &Broker<E>, request: &EndQuorumEpochRequest) -> Option<Ending> {
    let [topic] = &request.topics[..] else { return None };
    let [partition] = &topic.partitions[..] else { return None };
    if !is_metadata(&topic.topic_name, partition.partition_index) || partition.leader_epoch < 0 {
        return None;
    }
    let key = |candidate: &ReplicaInfo| VoterKey {
        id: BrokerId(candidate.candidate_id),
        directory: candidate.candidate_directory_id,
    };
    let id = |id: &i32| VoterKey { id: BrokerId(*id), directory: Uuid::ZERO };
    let successors = match partition.preferred_candidates.is_empty() {
        true => partition.preferred_successors.iter().map(id).collect(),
        false => partition.preferred_candidates.iter().map(key).collect(),
    };
    let named = |endpoint: &&LeaderEndpoint| endpoint.name == broker.controller_listener();
    let endpoint = request.leader_endpoints.iter().find(named).or(request.leader_endpoints.first());
    Some(Ending {
        epoch: LeaderEpoch(partition.leader_epoch),
        leader: BrokerId(partition.leader_id),
        address: endpoint.map(|endpoint| Address { host: endpoint.host.clone(), port: endpoint.port }),
        successors,
    })
}
