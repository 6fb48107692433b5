//! AllocateProducerIds (key 67), version 0: a block of producer ids for a broker (KIP-730). The controller decides
//! ([`allocate_producer_ids`](crate::controller::Controller::allocate_producer_ids)).

use super::Broker;
use super::admission::throttle_time_ms;
use crate::controller::Refusal;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::types::{BrokerEpoch, BrokerId};
use crate::wire::messages::allocate_producer_ids::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: AllocateProducerIdsRequest,
) -> AllocateProducerIdsResponse {
    let throttle_time_ms = throttle_time_ms(&context);
    let (id, epoch) = (BrokerId(request.broker_id), BrokerEpoch(request.broker_epoch));
    let outcome = if context.authorize(Operation::ClusterAction, Resource::Cluster) {
        let decided = broker.decide_for_node(move |desk| desk.controller.allocate_producer_ids(id, epoch));
        decided.await.and_then(|decided| decided)
    } else {
        Err(Refusal::new(ErrorCode::ClusterAuthorizationFailed, "Authorization failed."))
    };
    match outcome {
        Ok(block) => AllocateProducerIdsResponse {
            throttle_time_ms,
            error_code: ErrorCode::None.code(),
            producer_id_start: block.first.0,
            producer_id_len: i32::try_from(block.count).unwrap_or(i32::MAX),
        },
        Err(refusal) => AllocateProducerIdsResponse {
            throttle_time_ms,
            error_code: refusal.code.code(),
            ..AllocateProducerIdsResponse::default()
        },
    }
}
