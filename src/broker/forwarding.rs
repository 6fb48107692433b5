//! Requests that only the active controller can decide, on their way to it (KIP-590).
//!
//! Whichever broker a client asks: if the active controller is on this node, it decides here; else the request goes
//! to it in an Envelope, as it came, and the answer comes back as it is. Requests that the broker makes itself for
//! a client, such as the creation of a topic that was asked for, go the same way.
//!
//! If no controller is known within `request.timeout.ms`, the connection ends: the client asks another broker.

use std::net::IpAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::{Broker, decode};
use crate::controller::Refusal;
use crate::env::{Clock, Env};
use crate::error_code::ErrorCode;
use crate::node::context::{Principal, RequestContext};
use crate::node::service::{Answer, IncomingRequest, Reply, Response};
use crate::types::Mono;
use crate::wire::frame::{LENGTH_BYTES, encode_request};
use crate::wire::header::{RequestHeader, ResponseHeader};
use crate::wire::messages::envelope::EnvelopeRequest;
use crate::wire::messages::principal::PrincipalData;
use crate::wire::{ApiKey, Message, Reader, Request, Writer};

/// How long the controller is looked for and waited for: Kafka's `request.timeout.ms`.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether a request is the active controller's to decide.
pub(super) fn is_controllers(key: ApiKey) -> bool {
    matches!(
        key,
        ApiKey::CreateTopics
            | ApiKey::DeleteTopics
            | ApiKey::CreatePartitions
            | ApiKey::ElectLeaders
            | ApiKey::IncrementalAlterConfigs
            | ApiKey::AlterPartitionReassignments
            | ApiKey::ListPartitionReassignments
            | ApiKey::DescribeQuorum
            | ApiKey::UpdateFeatures
            | ApiKey::UnregisterBroker
            | ApiKey::AddRaftVoter
            | ApiKey::RemoveRaftVoter
    )
}

/// Hands a client's request to the active controller.
pub(super) async fn forward<E: Env>(broker: &Broker<E>, request: IncomingRequest) -> Reply {
    let IncomingRequest { context, body, permit } = request;
    let header = RequestHeader {
        api_key: context.api_key.code(),
        api_version: context.api_version,
        correlation_id: context.correlation_id,
        client_id: context.client_id.clone(),
    };
    let mut writer = Writer::with_capacity(64 + body.len());
    let written = header.encode(&mut writer);
    writer.raw(&body);
    drop((body, permit));
    let deadline = context.deadline(PATIENCE);
    let outcome = match written {
        Ok(()) => ask(broker, &context, writer.into_bytes(), deadline).await,
        Err(error) => Err(error.to_string()),
    };
    Reply::Now(match outcome {
        Ok(response) => Answer::Respond(Response { segments: vec![framed(&response)], permit: None }),
        Err(reason) => Answer::Close(format!("{} is not decided: {reason}", context.api_key)),
    })
}

/// Asks the active controller in the name of a client.
///
/// # Errors
///
/// NOT_CONTROLLER if there is none, or it cannot be understood.
pub(super) async fn ask_for<E: Env, R: Request>(
    broker: &Broker<E>,
    context: &RequestContext,
    request: &R,
) -> Result<R::Response, Refusal> {
    let refuse = |reason: String| Refusal::new(ErrorCode::NotController, reason);
    let version = R::VERSIONS.max;
    let segments = encode_request(version, context.correlation_id, context.client_id.as_deref(), request)
        .map_err(|error| refuse(error.to_string()))?;
    let frame = Bytes::from(segments.concat());
    let deadline = broker.env.clock().now() + PATIENCE;
    let response = ask(broker, context, frame.slice(LENGTH_BYTES..), deadline).await.map_err(refuse)?;
    let mut reader = Reader::new(&response);
    let read = ResponseHeader::decode(&mut reader, R::KEY, version)
        .and_then(|_| R::Response::decode(&mut reader, version));
    read.map_err(|error| refuse(error.to_string()))
}

async fn ask<E: Env>(
    broker: &Broker<E>,
    context: &RequestContext,
    request_data: Bytes,
    deadline: Mono,
) -> Result<Bytes, String> {
    let envelope = EnvelopeRequest {
        request_data,
        request_principal: Some(write_principal(&context.connection.principal)?),
        client_host_address: octets(context.connection.peer.ip()),
    };
    let answer = broker.controller.ask(&envelope, deadline, |response| {
        match ErrorCode::from_code(response.error_code) {
            Some(ErrorCode::NotController) => None,
            Some(ErrorCode::None) => Some(Ok(response.response_data.unwrap_or_default())),
            Some(code) => Some(Err(format!("the controller refuses to take it: {code}"))),
            None => Some(Err("the controller answers with an unknown error".to_owned())),
        }
    });
    answer.await.map_err(|error| error.to_string())?
}

fn octets(address: IpAddr) -> Bytes {
    match address {
        IpAddr::V4(address) => Bytes::copy_from_slice(&address.octets()),
        IpAddr::V6(address) => Bytes::copy_from_slice(&address.octets()),
    }
}

/// A response without its length, with it.
fn framed(response: &Bytes) -> Bytes {
    let mut frame = BytesMut::with_capacity(LENGTH_BYTES + response.len());
    let length = i32::try_from(response.len()).expect("it came in a frame that was longer");
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(response);
    frame.freeze()
}

/// A principal as Kafka's `DefaultKafkaPrincipalBuilder` writes it: the version, then the message.
fn write_principal(principal: &Principal) -> Result<Bytes, String> {
    let data = PrincipalData {
        kind: principal.kind.clone(),
        name: principal.name.clone(),
        token_authenticated: false,
    };
    let mut writer = Writer::with_capacity(64);
    writer.i16(0);
    data.encode(&mut writer, 0).map_err(|error| error.to_string())?;
    Ok(writer.into_bytes())
}

/// Reads what [`write_principal`] has written.
pub(super) fn read_principal(bytes: &Bytes) -> Option<Principal> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16().ok().filter(|version| PrincipalData::VERSIONS.contains(*version))?;
    let data = PrincipalData::decode(&mut reader, version).ok()?;
    Some(Principal { kind: data.kind, name: data.name })
}

/// The request that an envelope holds.
pub(super) fn read_request(data: &Bytes) -> Option<(RequestHeader, Bytes)> {
    let mut reader = Reader::new(data);
    let header = RequestHeader::decode(&mut reader).ok()?;
    let rest = reader.remaining();
    Some((header, data.slice(data.len() - rest..)))
}

/// The principal and the address of an envelope's client.
pub(super) fn read_address(bytes: &Bytes) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(&bytes[..]).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(&bytes[..]).ok().map(IpAddr::from),
        _ => None,
    }
}

/// Reads an envelope.
pub(super) fn read_envelope(
    context: &RequestContext,
    body: &Bytes,
) -> Result<EnvelopeRequest, crate::wire::DecodeError> {
    decode(context, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_comes_back_as_it_was_written() {
        let principal = Principal { kind: "User".to_owned(), name: "CN=é".to_owned() };
        let written = write_principal(&principal).expect("it is short");
        assert_eq!(&written[..7], b"\0\0\x05User");
        assert_eq!(read_principal(&written), Some(principal));
        assert_eq!(read_principal(&written.slice(..5)), None);
        assert_eq!(read_principal(&Bytes::from_static(b"\0\x01\x01\x01\0\0")), None, "another version");
    }

    #[test]
    fn an_address_has_4_or_16_bytes() {
        for address in ["127.0.0.1", "::1"] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(read_address(&octets(address)), Some(address));
        }
        assert_eq!(read_address(&Bytes::from_static(&[1, 2, 3])), None);
    }
}
