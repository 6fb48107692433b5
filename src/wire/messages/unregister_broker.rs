//! UnregisterBroker (key 64): makes the cluster forget a broker that will not come back (KIP-631).

use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// Whom to forget.
    message UnregisterBrokerRequest, 0..=0, flexible 0.. {
        broker_id: i32, 0..;
    }

    /// What became of it.
    message UnregisterBrokerResponse, 0..=0, flexible 0.. {
        throttle_time_ms: i32, 0..;
        error_code: i16, 0..;
        error_message: Option<String>, 0.., default(Some(String::new()));
    }
}

impl Request for UnregisterBrokerRequest {
    const KEY: ApiKey = ApiKey::UnregisterBroker;
    type Response = UnregisterBrokerResponse;
}
