//! AllocateProducerIds (key 67): a block of producer ids for a broker to give out (KIP-730).

use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// Who asks.
    message AllocateProducerIdsRequest, 0..=0, flexible 0.. {
        broker_id: i32, 0..;
        broker_epoch: i64, 0.., default(-1);
    }

    /// The block.
    message AllocateProducerIdsResponse, 0..=0, flexible 0.. {
        throttle_time_ms: i32, 0..;
        error_code: i16, 0..;
        /// The first id.
        producer_id_start: i64, 0..;
        /// How many.
        producer_id_len: i32, 0..;
    }
}

impl Request for AllocateProducerIdsRequest {
    const KEY: ApiKey = ApiKey::AllocateProducerIds;
    type Response = AllocateProducerIdsResponse;
}
