//! UpdateFeatures (key 57), versions 0 to 2: the levels of features (KIP-584). The controller decides
//! ([`update_features`](crate::controller::Controller::update_features)).
//!
//! `kraft.version` is answered by what the quorum's own records say.

use super::Broker;
use super::admission::throttle_time_ms;
use crate::controller::Refusal;
use crate::controller::features::QuorumFeatures;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::wire::messages::update_features::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: UpdateFeaturesRequest,
) -> UpdateFeaturesResponse {
    let throttle_time_ms = throttle_time_ms(&context);
    let outcome = if context.authorize(Operation::Alter, Resource::Cluster) {
        let (timeout_ms, version) = (request.timeout_ms, context.api_version);
        let voters = match broker.raft.describe().await {
            Some(description) => description.voters.iter().map(|voter| voter.key.id).collect(),
            None => Vec::new(),
        };
        let quorum = QuorumFeatures { voters, kraft_version: broker.raft.kraft_version() };
        broker
            .decide_within(&context, timeout_ms, move |desk| {
                desk.controller.update_features(&request, version, &quorum)
            })
            .await
    } else {
        Err(Refusal::new(ErrorCode::ClusterAuthorizationFailed, "Authorization failed."))
    };
    match outcome {
        Ok(response) => UpdateFeaturesResponse { throttle_time_ms, ..response },
        Err(refusal) => UpdateFeaturesResponse {
            throttle_time_ms,
            error_code: refusal.code.code(),
            error_message: Some(refusal.message),
            ..UpdateFeaturesResponse::default()
        },
    }
}
