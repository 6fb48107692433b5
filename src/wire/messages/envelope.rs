//! Envelope (key 58): a client's request, forwarded by a broker to the controller (KIP-590).

use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};
use bytes::Bytes;

declare! {
    /// A request of somebody else.
    message EnvelopeRequest, 0..=0, flexible 0.. {
        /// Its header and body.
        request_data: Bytes, 0..;
        /// Who sent it; null if nobody is authenticated.
        request_principal: Option<Bytes>, 0.., default(Some(Bytes::new()));
        /// From where: the 4 or 16 bytes of an IP address.
        client_host_address: Bytes, 0..;
    }

    /// The answer to it.
    message EnvelopeResponse, 0..=0, flexible 0.. {
        /// Header and body; null if there is an error instead.
        response_data: Option<Bytes>, 0..;
        error_code: i16, 0..;
    }
}

impl Request for EnvelopeRequest {
    const KEY: ApiKey = ApiKey::Envelope;
    type Response = EnvelopeResponse;
}
