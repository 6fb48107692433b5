//! InitProducerId (key 22), versions 0 to 5: an identity for an idempotent producer.
//!
//! - Without a transactional id the answer is an id that nobody ever had, with epoch 0, whatever id the
//!   producer held before (KIP-360).
//! - Producer id and epoch must be given both or neither, else INVALID_REQUEST.
//! - While the controller gives no ids: COORDINATOR_LOAD_IN_PROGRESS, which clients retry.
//!
//! Not done: transactions. A transactional id is answered with UNSUPPORTED_VERSION, Kafka's code for a part of
//! this API that is not there: a transactional producer then fails at once and says so, where any of the
//! coordinator's codes would have it ask for ever. (Clients that look find no FindCoordinator listed, and do
//! not get as far.) Of those who may not write idempotently, Kafka lets in who may write to any topic; that
//! comes with access control.

use std::time::Duration;

use super::Broker;
use super::admission::throttle_time_ms;
use crate::controller::cluster::ProducerIdBlock;
use crate::env::{Clock, Env};
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::types::{ProducerEpoch, ProducerId};
use crate::wire::messages::allocate_producer_ids::AllocateProducerIdsRequest;
use crate::wire::messages::init_producer_id::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let outcome = match refusal(&context, &request) {
        Some(refusal) => Err(refusal),
        None => broker.producer_ids.next(|| allocate(&broker)).await,
    };
    let (error_code, producer_id, producer_epoch) = match outcome {
        Ok(id) => (ErrorCode::None, id, ProducerEpoch(0)),
        Err(code) => (code, ProducerId::NONE, ProducerEpoch::NONE),
    };
    InitProducerIdResponse {
        throttle_time_ms: throttle_time_ms(&context),
        error_code: error_code.code(),
        producer_id: producer_id.0,
        producer_epoch: producer_epoch.0,
    }
}

fn refusal(context: &RequestContext, request: &InitProducerIdRequest) -> Option<ErrorCode> {
    let id = request.transactional_id.as_deref();
    let (operation, resource, denied) = match id {
        Some(id) => {
            let denied = ErrorCode::TransactionalIdAuthorizationFailed;
            (Operation::Write, Resource::TransactionalId(id), denied)
        }
        None => (Operation::IdempotentWrite, Resource::Cluster, ErrorCode::ClusterAuthorizationFailed),
    };
    if !context.authorize(operation, resource) {
        return Some(denied);
    }
    let no_id = request.producer_id == ProducerId::NONE.0;
    let no_epoch = request.producer_epoch == ProducerEpoch::NONE.0;
    match id {
        _ if no_id != no_epoch => Some(ErrorCode::InvalidRequest),
        None => None,
        Some("") => Some(ErrorCode::InvalidRequest),
        Some(_) => Some(ErrorCode::UnsupportedVersion),
    }
}

async fn allocate<E: Env>(broker: &Broker<E>) -> Result<ProducerIdBlock, ErrorCode> {
    let epoch = broker.registered.epoch().ok_or(ErrorCode::CoordinatorLoadInProgress)?;
    let request = AllocateProducerIdsRequest { broker_id: broker.id().0, broker_epoch: epoch.0 };
    let deadline = broker.env.clock().now() + PATIENCE;
    let answer = broker.controller.ask(&request, deadline, |response| {
        let code = ErrorCode::from_code(response.error_code).unwrap_or(ErrorCode::UnknownServerError);
        (code != ErrorCode::NotController).then_some((code, response))
    });
    match answer.await {
        Ok((ErrorCode::None, response)) => Ok(ProducerIdBlock {
            first: ProducerId(response.producer_id_start),
            count: i64::from(response.producer_id_len),
        }),
        Ok((code, _)) => {
            tracing::warn!(%code, "the controller gives no producer ids");
            Err(ErrorCode::CoordinatorLoadInProgress)
        }
        Err(error) => {
            tracing::warn!(%error, "the controller gives no producer ids");
            Err(ErrorCode::CoordinatorLoadInProgress)
        }
    }
}

/// How long the controller is waited for: the client asks again.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::test_cluster::context;
    use crate::wire::ApiKey;

    #[test]
    fn only_an_idempotent_producer_gets_an_id() {
        let context = context(ApiKey::InitProducerId, 5);
        let refusal = |transactional_id: Option<&str>, producer_id, producer_epoch| {
            let transactional_id = transactional_id.map(str::to_owned);
            let request = InitProducerIdRequest {
                transactional_id,
                producer_id,
                producer_epoch,
                ..InitProducerIdRequest::default()
            };
            refusal(&context, &request)
        };
        assert_eq!(refusal(None, -1, -1), None);
        assert_eq!(refusal(None, 4000, 3), None, "it gets a new one");
        assert_eq!(refusal(None, 4000, -1), Some(ErrorCode::InvalidRequest));
        assert_eq!(refusal(None, -1, 0), Some(ErrorCode::InvalidRequest));
        assert_eq!(refusal(Some(""), -1, -1), Some(ErrorCode::InvalidRequest));
        assert_eq!(refusal(Some("t"), -1, -1), Some(ErrorCode::UnsupportedVersion));
    }
}
