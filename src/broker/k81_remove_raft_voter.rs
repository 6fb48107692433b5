//! RemoveRaftVoter (key 81), version 0: a voter leaves the metadata quorum (KIP-853). The quorum decides; only its
//! leader can.

use super::Broker;
use super::k80_add_raft_voter::permitted;
use super::quorum::ask;
use crate::env::Env;
use crate::node::context::RequestContext;
use crate::quorum::{Answer, RemoveVoterRequest, Request, VoterChangeResponse, VoterKey};
use crate::types::BrokerId;
use crate::wire::messages::remove_raft_voter::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: RemoveRaftVoterRequest,
) -> RemoveRaftVoterResponse {
    let VoterChangeResponse { error, message } = change(&broker, &context, &request).await;
    RemoveRaftVoterResponse { throttle_time_ms: 0, error_code: error.code(), error_message: message }
}

async fn change<E: Env>(
    broker: &Broker<E>,
    context: &RequestContext,
    request: &RemoveRaftVoterRequest,
) -> VoterChangeResponse {
    if let Err(refused) = permitted(broker, context, request.cluster_id.as_deref()) {
        return refused;
    }
    let voter = VoterKey { id: BrokerId(request.voter_id), directory: request.voter_directory_id };
    let asked = Request::RemoveVoter(RemoveVoterRequest { voter });
    match ask(broker, asked).await.map(|answered| answered.answer) {
        Ok(Answer::RemoveVoter(response)) => response,
        Ok(_) => unreachable!("it is answered as one"),
        Err(error) => VoterChangeResponse { error, message: None },
    }
}
