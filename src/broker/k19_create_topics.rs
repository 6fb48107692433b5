//! CreateTopics (key 19), versions 2 to 7. The controller decides
//! ([`create_topics`](crate::controller::Controller::create_topics)); each topic succeeds or fails by itself.
//!
//! - Permitted is who may create in the cluster, or the topic; the rest is TOPIC_AUTHORIZATION_FAILED. From
//!   version 5 on the answer describes what was created (KIP-525), to those who may describe its configs.
//! - `timeout_ms` ends the wait with REQUEST_TIMED_OUT; the topics may be created all the same.
//! - The answer comes once the topics are in this broker's own metadata.
//!
//! Not done: the quota on controller mutations (KIP-599), and policies of the user's own.

use std::sync::Arc;

use super::Broker;
use super::admission::throttle_time_ms;
use crate::controller::Refusal;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::wire::messages::create_topics::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    mut request: CreateTopicsRequest,
) -> CreateTopicsResponse {
    let anywhere = context.authorize(Operation::Create, Resource::Cluster);
    let denied = request.topics.extract_if(.., |topic| {
        !anywhere && !context.authorize(Operation::Create, Resource::Topic(&topic.name))
    });
    let forbidden = Refusal::new(ErrorCode::TopicAuthorizationFailed, "Authorization failed.");
    let mut topics: Vec<_> = denied.map(|topic| refused(&topic.name, &forbidden)).collect();
    if !request.topics.is_empty() {
        topics.extend(create(&broker, &context, request).await);
    }
    CreateTopicsResponse { throttle_time_ms: throttle_time_ms(&context), topics }
}

async fn create<E: Env>(
    broker: &Broker<E>,
    context: &RequestContext,
    request: CreateTopicsRequest,
) -> Vec<CreatableTopicResult> {
    let request = Arc::new(request);
    let asked = Arc::clone(&request);
    let decided = broker.decide_within(context, request.timeout_ms, move |desk| {
        desk.controller.create_topics(&asked, desk.rng)
    });
    match decided.await {
        Ok(response) => response.topics.into_iter().map(|topic| described(context, topic)).collect(),
        Err(refusal) => request.topics.iter().map(|topic| refused(&topic.name, &refusal)).collect(),
    }
}

/// The result, without what the client may not see.
fn described(context: &RequestContext, topic: CreatableTopicResult) -> CreatableTopicResult {
    let created = topic.error_code == ErrorCode::None.code();
    if !created || context.authorize(Operation::DescribeConfigs, Resource::Topic(&topic.name)) {
        return topic;
    }
    CreatableTopicResult {
        name: topic.name,
        topic_id: topic.topic_id,
        error_message: topic.error_message,
        topic_config_error_code: ErrorCode::TopicAuthorizationFailed.code(),
        ..CreatableTopicResult::default()
    }
}

fn refused(name: &str, refusal: &Refusal) -> CreatableTopicResult {
    CreatableTopicResult {
        name: name.to_owned(),
        error_code: refusal.code.code(),
        error_message: Some(refusal.message.clone()),
        ..CreatableTopicResult::default()
    }
}
