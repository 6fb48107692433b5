//! BrokerHeartbeat (key 63): a broker shows that it lives, and learns whether it is fenced (KIP-631).
//!
//! Offline directories (KIP-858) come with version 1, cordoned ones (KIP-1066) with 2.

use crate::types::Uuid;
use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// The broker lives.
    message BrokerHeartbeatRequest, 0..=2, flexible 0.. {
        broker_id: i32, 0..;
        broker_epoch: i64, 0.., default(-1);
        /// The last metadata record that it has applied.
        current_metadata_offset: i64, 0..;
        /// Whether it wants to be fenced.
        want_fence: bool, 0..;
        /// Whether it wants to stop: its leaderships move away first.
        want_shut_down: bool, 0..;
        /// The ids of directories that failed.
        offline_log_dirs: Vec<Uuid>, 1.., tag(0);
        /// The ids of directories that take no new replicas; null: as before.
        cordoned_log_dirs: Option<Vec<Uuid>>, 2.., tag(1);
    }

    /// What the controller says.
    message BrokerHeartbeatResponse, 0..=2, flexible 0.. {
        throttle_time_ms: i32, 0..;
        error_code: i16, 0..;
        /// Whether the broker's metadata are recent enough to serve.
        is_caught_up: bool, 0..;
        is_fenced: bool, 0.., default(true);
        /// Whether it may stop now.
        should_shut_down: bool, 0..;
    }
}

impl Request for BrokerHeartbeatRequest {
    const KEY: ApiKey = ApiKey::BrokerHeartbeat;
    type Response = BrokerHeartbeatResponse;
}
