//! DeleteTopics (key 20), versions 1 to 6. The controller decides
//! ([`delete_topics`](crate::controller::Controller::delete_topics)).
//!
//! - From version 6 on topics can be given by id (KIP-516). The answer to an id names the topic only to those
//!   who may describe it.
//! - With `delete.topic.enable=false` every topic is TOPIC_DELETION_DISABLED, before version 3
//!   INVALID_REQUEST.
//! - `timeout_ms` ends the wait with REQUEST_TIMED_OUT; the topics may be deleted all the same.
//! - The answer comes once the topics are gone from this broker's own metadata; their files go later.
//!
//! Not done: the quota on controller mutations (KIP-599).

use std::sync::Arc;

use super::Broker;
use super::admission::throttle_time_ms;
use crate::controller::{Image, Refusal};
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::types::Uuid;
use crate::wire::messages::delete_topics::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: DeleteTopicsRequest,
) -> DeleteTopicsResponse {
    let named = |name| DeleteTopicState { name: Some(name), topic_id: Uuid::ZERO };
    let states = request.topics.into_iter().chain(request.topic_names.into_iter().map(named));
    let image = Arc::clone(&broker.metadata.current().image);
    let mut responses = Vec::new();
    let mut topics = Vec::new();
    for state in states {
        match denial(&context, &image, &state) {
            Some(denial) => responses.push(denial),
            None => topics.push(state),
        }
    }
    if !topics.is_empty() {
        let request = DeleteTopicsRequest { topics, topic_names: Vec::new(), timeout_ms: request.timeout_ms };
        responses.extend(delete(&broker, &context, request).await);
    }
    DeleteTopicsResponse { throttle_time_ms: throttle_time_ms(&context), responses }
}

async fn delete<E: Env>(
    broker: &Broker<E>,
    context: &RequestContext,
    request: DeleteTopicsRequest,
) -> Vec<DeletableTopicResult> {
    let request = Arc::new(request);
    let asked = Arc::clone(&request);
    let decided = broker
        .decide_within(context, request.timeout_ms, move |controller, _| controller.delete_topics(&asked));
    let mut responses = match decided.await {
        Ok(response) => response.responses,
        Err(refusal) => request.topics.iter().map(|state| refused(state, &refusal)).collect(),
    };
    if context.api_version < 3 {
        for response in &mut responses {
            response.error_code = before_version_3(response.error_code);
        }
    }
    responses
}

/// Older clients do not know TOPIC_DELETION_DISABLED.
fn before_version_3(error_code: i16) -> i16 {
    let unknown = error_code == ErrorCode::TopicDeletionDisabled.code();
    if unknown { ErrorCode::InvalidRequest.code() } else { error_code }
}

/// The answer to a principal that may not delete this topic.
fn denial(context: &RequestContext, image: &Image, state: &DeleteTopicState) -> Option<DeletableTopicResult> {
    if context.authorize(Operation::Delete, Resource::Cluster) {
        return None;
    }
    let of_id = || image.topic(state.topic_id).map(|topic| topic.name.to_string());
    let name = state.name.clone().or_else(of_id)?;
    let describes = context.authorize(Operation::Describe, Resource::Topic(&name));
    // Whoever may describe a topic is told that there is none.
    let missing = image.topic_named(&name).is_none();
    if describes && (missing || context.authorize(Operation::Delete, Resource::Topic(&name))) {
        return None;
    }
    let refusal = Refusal::new(ErrorCode::TopicAuthorizationFailed, "Authorization failed.");
    let name = state.name.clone().or(describes.then_some(name));
    Some(refused(&DeleteTopicState { name, topic_id: state.topic_id }, &refusal))
}

fn refused(state: &DeleteTopicState, refusal: &Refusal) -> DeletableTopicResult {
    DeletableTopicResult {
        name: state.name.clone(),
        topic_id: state.topic_id,
        error_code: refusal.code.code(),
        error_message: Some(refusal.message.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_before_version_3_get_a_code_that_they_know() {
        assert_eq!(before_version_3(73), 42);
        assert_eq!(before_version_3(0), 0);
    }
}
