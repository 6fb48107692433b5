//! IncrementalAlterConfigs (key 44), versions 0 and 1 (KIP-339). The controller decides
//! ([`incremental_alter_configs`](crate::controller::Controller::incremental_alter_configs)).
//!
//! - Permitted is who may alter the configs of the topic or group, or for everything else of the cluster.
//! - A broker's configs are altered at that broker, those of all brokers at any.
//!
//! Not done: configs of groups and of client metrics, and log levels (resource type BROKER_LOGGER), which are
//! INVALID_REQUEST; policies of the user's own.

use std::sync::Arc;

use super::admission::throttle_time_ms;
use super::{Audience, Broker, forwarding};
use crate::controller::Refusal;
use crate::controller::image::ResourceType;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::wire::messages::incremental_alter_configs::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let mut responses = Vec::new();
    let mut resources = Vec::new();
    for resource in request.resources {
        match denial(&context, &resource).or_else(|| misdirected(&broker, &context, &resource)) {
            Some(denial) => responses.push(refused(&resource, &denial)),
            None => resources.push(resource),
        }
    }
    if !resources.is_empty() {
        let request = IncrementalAlterConfigsRequest { resources, validate_only: request.validate_only };
        responses.extend(alter(&broker, &context, request).await);
    }
    IncrementalAlterConfigsResponse { throttle_time_ms: throttle_time_ms(&context), responses }
}

async fn alter<E: Env>(
    broker: &Broker<E>,
    context: &RequestContext,
    request: IncrementalAlterConfigsRequest,
) -> Vec<AlterConfigsResourceResponse> {
    let request = Arc::new(request);
    let asked = Arc::clone(&request);
    let decided = if broker.decides(context) {
        broker.decide(move |desk| desk.controller.incremental_alter_configs(&asked)).await
    } else {
        forwarding::ask_for(broker, context, &*asked).await
    };
    match decided {
        Ok(response) => response.responses,
        Err(refusal) => request.resources.iter().map(|resource| refused(resource, &refusal)).collect(),
    }
}

/// Why a client has to ask another broker, if so: each answers for its own configuration. The controller takes that
/// of any broker, which has looked.
fn misdirected<E: Env>(
    broker: &Broker<E>,
    context: &RequestContext,
    resource: &AlterConfigsResource,
) -> Option<Refusal> {
    let is_broker = ResourceType::from_code(resource.resource_type) == Some(ResourceType::Broker);
    if !is_broker || broker.audience(context) == Audience::Nodes {
        return None;
    }
    let (own, id) = (broker.id(), resource.resource_name.parse::<i32>().ok()?);
    let message = format!("Unexpected broker id, expected {own} or empty string, but received {id}");
    (id != own.0).then(|| Refusal::new(ErrorCode::InvalidRequest, message))
}

/// Why the principal may not alter this resource, if so.
fn denial(context: &RequestContext, resource: &AlterConfigsResource) -> Option<Refusal> {
    let name = resource.resource_name.as_str();
    let (target, code) = match ResourceType::from_code(resource.resource_type) {
        Some(ResourceType::Topic) => (Resource::Topic(name), ErrorCode::TopicAuthorizationFailed),
        Some(ResourceType::Group) => (Resource::Group(name), ErrorCode::GroupAuthorizationFailed),
        _ => (Resource::Cluster, ErrorCode::ClusterAuthorizationFailed),
    };
    let permitted = context.authorize(Operation::AlterConfigs, target);
    (!permitted).then(|| Refusal::new(code, "Authorization failed."))
}

fn refused(resource: &AlterConfigsResource, refusal: &Refusal) -> AlterConfigsResourceResponse {
    AlterConfigsResourceResponse {
        error_code: refusal.code.code(),
        error_message: Some(refusal.message.clone()),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
    }
}
