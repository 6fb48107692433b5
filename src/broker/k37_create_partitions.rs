//! CreatePartitions (key 37), versions 0 to 3. The controller decides
//! ([`create_partitions`](crate::controller::Controller::create_partitions)).
//!
//! - Permitted is who may alter the topic; the rest is TOPIC_AUTHORIZATION_FAILED.
//! - `timeout_ms` ends the wait with REQUEST_TIMED_OUT; the partitions may be created all the same.
//!
//! Not done: the quota on controller mutations (KIP-599), which is what sets version 3 apart.

use std::sync::Arc;

use super::Broker;
use super::admission::throttle_time_ms;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::wire::messages::create_partitions::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    mut request: CreatePartitionsRequest,
) -> CreatePartitionsResponse {
    let denied = request
        .topics
        .extract_if(.., |topic| !context.authorize(Operation::Alter, Resource::Topic(&topic.name)));
    let mut results: Vec<_> =
        denied.map(|topic| refused(&topic, ErrorCode::TopicAuthorizationFailed, None)).collect();
    if !request.topics.is_empty() {
        results.extend(create(&broker, &context, request).await);
    }
    CreatePartitionsResponse { throttle_time_ms: throttle_time_ms(&context), results }
}

async fn create<E: Env>(
    broker: &Broker<E>,
    context: &RequestContext,
    request: CreatePartitionsRequest,
) -> Vec<CreatePartitionsTopicResult> {
    let request = Arc::new(request);
    let asked = Arc::clone(&request);
    let decided = broker.decide_within(context, request.timeout_ms, move |desk| {
        desk.controller.create_partitions(&asked, desk.rng)
    });
    match decided.await {
        Ok(response) => response.results,
        Err(refusal) => (request.topics.iter())
            .map(|topic| refused(topic, refusal.code, Some(refusal.message.clone())))
            .collect(),
    }
}

fn refused(
    topic: &CreatePartitionsTopic,
    code: ErrorCode,
    error_message: Option<String>,
) -> CreatePartitionsTopicResult {
    CreatePartitionsTopicResult { name: topic.name.clone(), error_code: code.code(), error_message }
}
