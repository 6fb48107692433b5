//! AddRaftVoter (key 80), versions 0 to 1: a controller becomes a voter of the metadata quorum (KIP-853). The
//! quorum decides; only its leader can.

use super::Broker;
use super::quorum::ask;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::quorum::{AddVoterRequest, Answer, Request, VoterChangeResponse, VoterKey};
use crate::types::BrokerId;
use crate::wire::control::Endpoint;
use crate::wire::messages::add_raft_voter::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: AddRaftVoterRequest,
) -> AddRaftVoterResponse {
    let VoterChangeResponse { error, message } = change(&broker, &context, request).await;
    AddRaftVoterResponse { throttle_time_ms: 0, error_code: error.code(), error_message: message }
}

async fn change<E: Env>(
    broker: &Broker<E>,
    context: &RequestContext,
    request: AddRaftVoterRequest,
) -> VoterChangeResponse {
    if let Err(refused) = permitted(broker, context, request.cluster_id.as_deref()) {
        return refused;
    }
    let endpoint =
        |listener: Listener| Endpoint { name: listener.name, host: listener.host, port: listener.port };
    let asked = AddVoterRequest {
        voter: VoterKey { id: BrokerId(request.voter_id), directory: request.voter_directory_id },
        endpoints: request.listeners.into_iter().map(endpoint).collect(),
        ack_when_committed: request.ack_when_committed,
    };
    match ask(broker, Request::AddVoter(asked)).await.map(|answered| answered.answer) {
        Ok(Answer::AddVoter(response)) => response,
        Ok(_) => unreachable!("it is answered as one"),
        Err(error) => VoterChangeResponse { error, message: None },
    }
}

/// That who asks may change the voters, and means this cluster.
pub(super) fn permitted<E: Env>(
    broker: &Broker<E>,
    context: &RequestContext,
    cluster_id: Option<&str>,
) -> Result<(), VoterChangeResponse> {
    let refused =
        |error, message: &str| Err(VoterChangeResponse { error, message: Some(message.to_owned()) });
    if !context.authorize(Operation::Alter, Resource::Cluster) {
        return refused(ErrorCode::ClusterAuthorizationFailed, "Authorization failed.");
    }
    match cluster_id {
        Some(id) if id != broker.cluster_id => {
            refused(ErrorCode::InconsistentClusterId, "The request means another cluster.")
        }
        _ => Ok(()),
    }
}
