//! InitProducerId (key 22): a producer id and epoch, for idempotent and transactional producers.
//!
//! Version 6 (KIP-939) is not stable in Kafka 4.3 and not here.

use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// Who asks.
    message InitProducerIdRequest, 0..=5, flexible 2.. {
        /// Null for a producer that is idempotent only.
        transactional_id: Option<String>, 0.., default(Some(String::new()));
        transaction_timeout_ms: i32, 0..;
        /// The id held so far, to raise its epoch (KIP-360); else -1.
        producer_id: i64, 3.., default(-1);
        producer_epoch: i16, 3.., default(-1);
    }

    /// The id and epoch.
    message InitProducerIdResponse, 0..=5, flexible 2.. {
        throttle_time_ms: i32, 0.., ignorable;
        error_code: i16, 0..;
        producer_id: i64, 0.., default(-1);
        producer_epoch: i16, 0..;
    }
}

impl Request for InitProducerIdRequest {
    const KEY: ApiKey = ApiKey::InitProducerId;
    type Response = InitProducerIdResponse;
}
