//! UpdateRaftVoter (key 82), version 0: a voter says where it listens now, and what it supports (KIP-853).

use super::Broker;
use super::quorum::{ask, check, leader};
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::RequestContext;
use crate::quorum::{Answer, Request, UpdateVoterRequest, VoterKey};
use crate::types::{BrokerId, LeaderEpoch};
use crate::wire::VersionRange;
use crate::wire::control::Endpoint;
use crate::wire::messages::update_raft_voter::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: UpdateRaftVoterRequest,
) -> UpdateRaftVoterResponse {
    let refused = |code: ErrorCode| UpdateRaftVoterResponse { error_code: code.code(), ..Default::default() };
    if let Err(code) = check(&broker, &context, request.cluster_id.as_deref()) {
        return refused(code);
    }
    let endpoint =
        |listener: Listener| Endpoint { name: listener.name, host: listener.host, port: listener.port };
    let versions = &request.k_raft_version_feature;
    let asked = UpdateVoterRequest {
        epoch: LeaderEpoch(request.current_leader_epoch.max(0)),
        voter: VoterKey { id: BrokerId(request.voter_id), directory: request.voter_directory_id },
        versions: VersionRange { min: versions.min_supported_version, max: versions.max_supported_version },
        endpoints: request.listeners.into_iter().map(endpoint).collect(),
    };
    let known = match ask(&broker, Request::UpdateVoter(asked)).await.map(|answered| answered.answer) {
        Ok(Answer::UpdateVoter(known)) => known,
        Ok(_) => unreachable!("it is answered as one"),
        Err(code) => return refused(code),
    };
    let (leader_id, leader_epoch) = leader(&known);
    let address = known.leader.as_ref().and_then(|leader| leader.address.as_ref());
    UpdateRaftVoterResponse {
        throttle_time_ms: 0,
        error_code: known.error.code(),
        current_leader: CurrentLeader {
            leader_id,
            leader_epoch,
            host: address.map(|address| address.host.clone()).unwrap_or_default(),
            port: address.map_or(0, |address| i32::from(address.port)),
        },
    }
}
