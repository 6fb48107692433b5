//! Vote (key 52), versions 0 to 2: a voter stands for election, or asks whether it could (KIP-595, KIP-996).
//!
//! The quorum decides. What is not about the metadata partition is INVALID_REQUEST, of another cluster
//! INCONSISTENT_CLUSTER_ID.

use super::Broker;
use super::quorum::{ask, check, is_metadata, leader, node_endpoints};
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::RequestContext;
use crate::quorum::{Answer, Request, VoteRequest as Ballot, VoterKey};
use crate::types::{BrokerId, LeaderEpoch, Offset};
use crate::wire::messages::vote;
use crate::wire::messages::vote::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: VoteRequest,
) -> VoteResponse {
    let refused = |code: ErrorCode| VoteResponse { error_code: code.code(), ..VoteResponse::default() };
    if let Err(code) = check(&broker, &context, request.cluster_id.as_deref()) {
        return refused(code);
    }
    let Some(ballot) = read(&context, &request) else { return refused(ErrorCode::InvalidRequest) };
    let answered = match ask(&broker, Request::Vote(ballot)).await {
        Ok(answered) => answered,
        Err(code) => return refused(code),
    };
    let Answer::Vote(answer) = answered.answer else { unreachable!("a vote is answered as one") };
    let (leader_id, leader_epoch) = leader(&answer.known);
    let partition = PartitionResult {
        partition_index: 0,
        error_code: answer.known.error.code(),
        leader_id,
        leader_epoch,
        vote_granted: answer.granted,
    };
    let topic_name = request.topics[0].topic_name.clone();
    VoteResponse {
        error_code: ErrorCode::None.code(),
        topics: vec![TopicResult { topic_name, partitions: vec![partition] }],
        node_endpoints: node_endpoints!(answer.known, vote),
    }
}

fn read(context: &RequestContext, request: &VoteRequest) -> Option<Ballot> {
    let [topic] = &request.topics[..] else { return None };
    let [partition] = &topic.partitions[..] else { return None };
    if !is_metadata(&topic.topic_name, partition.partition_index) || partition.replica_epoch < 0 {
        return None;
    }
    let voter = VoterKey { id: BrokerId(request.voter_id), directory: partition.voter_directory_id };
    Some(Ballot {
        epoch: LeaderEpoch(partition.replica_epoch),
        candidate: VoterKey { id: BrokerId(partition.replica_id), directory: partition.replica_directory_id },
        voter: (context.api_version >= 1 && request.voter_id >= 0).then_some(voter),
        last_epoch: LeaderEpoch(partition.last_offset_epoch),
        log_end: Offset(partition.last_offset),
        pre_vote: partition.pre_vote,
    })
}
