//! Envelope (key 58), version 0: a client's request that a broker hands on to the controller (KIP-590).
//!
//! It is decided here if this node is the active controller, else NOT_CONTROLLER: the broker looks for another one.
//! What is not the controller's to decide is INVALID_REQUEST, a principal that cannot be read
//! PRINCIPAL_DESERIALIZATION_FAILURE.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::forwarding::{is_controllers, read_address, read_envelope, read_principal, read_request};
use super::{Broker, malformed, respond};
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{ConnectionContext, Operation, RequestContext, Resource};
use crate::node::service::{Answer, IncomingRequest, Reply};
use crate::wire::ApiKey;
use crate::wire::frame::LENGTH_BYTES;
use crate::wire::messages::envelope::*;

pub(super) async fn reply<E: Env>(broker: &Broker<E>, request: IncomingRequest) -> Reply {
    let IncomingRequest { context, body, permit } = request;
    let envelope = match read_envelope(&context, &body) {
        Ok(envelope) => envelope,
        Err(error) => return Reply::Now(malformed(&context, &error)),
    };
    let outcome = match open(broker, &context, &envelope) {
        Ok((context, body)) => {
            let inner = IncomingRequest { context, body, permit };
            Ok(broker.answer_controllers(inner).await)
        }
        Err(code) => Err(code),
    };
    Reply::Now(match outcome {
        Ok(answer) => wrap(&context, answer),
        Err(code) => wrapped(&context, code, None),
    })
}

/// The request inside, with its own context.
fn open<E: Env>(
    broker: &Broker<E>,
    context: &RequestContext,
    envelope: &EnvelopeRequest,
) -> Result<(RequestContext, Bytes), ErrorCode> {
    if !context.authorize(Operation::ClusterAction, Resource::Cluster) {
        return Err(ErrorCode::ClusterAuthorizationFailed);
    }
    if !broker.raft.leadership().current().is_here {
        return Err(ErrorCode::NotController);
    }
    let principal = envelope.request_principal.as_ref().and_then(read_principal);
    let principal = principal.ok_or(ErrorCode::PrincipalDeserializationFailure)?;
    let (header, body) = read_request(&envelope.request_data).ok_or(ErrorCode::InvalidRequest)?;
    let key = ApiKey::from_code(header.api_key).filter(|key| is_controllers(*key));
    let key =
        key.filter(|key| key.versions().contains(header.api_version)).ok_or(ErrorCode::InvalidRequest)?;
    let address = read_address(&envelope.client_host_address).ok_or(ErrorCode::InvalidRequest)?;
    let connection = ConnectionContext {
        principal,
        peer: SocketAddr::new(address, 0),
        ..ConnectionContext::clone(&context.connection)
    };
    let context = RequestContext {
        connection: Arc::new(connection),
        api_key: key,
        api_version: header.api_version,
        correlation_id: header.correlation_id,
        client_id: header.client_id,
        received: context.received,
    };
    Ok((context, body))
}

/// The answer to the request inside, without its length.
fn wrap(context: &RequestContext, answer: Reply) -> Answer {
    match answer {
        Reply::Now(Answer::Respond(response)) => {
            let frame = Bytes::from(response.segments.concat());
            wrapped(context, ErrorCode::None, Some(frame.slice(LENGTH_BYTES..)))
        }
        Reply::Now(Answer::Close(reason)) => {
            tracing::warn!(reason, "a forwarded request is refused");
            wrapped(context, ErrorCode::InvalidRequest, None)
        }
        Reply::Now(Answer::Nothing) | Reply::Later(_) => {
            unreachable!("the controller's decisions are answered at once")
        }
    }
}

fn wrapped(context: &RequestContext, code: ErrorCode, response_data: Option<Bytes>) -> Answer {
    respond::<EnvelopeRequest>(context, &EnvelopeResponse { error_code: code.code(), response_data })
}
