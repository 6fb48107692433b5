//! AddRaftVoter (key 80): makes an observer of the metadata quorum a voter (KIP-853).
//!
//! Version 1 can ask for the answer as soon as the leader has written the change (KIP-1186).

use crate::types::Uuid;
use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// The voter to be.
    message AddRaftVoterRequest, 0..=1, flexible 0.. {
        cluster_id: Option<String>, 0.., default(Some(String::new()));
        /// How long the client waits for the answer, in milliseconds.
        timeout_ms: i32, 0..;
        voter_id: i32, 0..;
        voter_directory_id: Uuid, 0..;
        listeners: Vec<Listener>, 0..;
        /// Whether to answer only when the change is committed.
        ack_when_committed: bool, 1.., default(true);
    }

    /// An endpoint of it.
    struct Listener {
        name: String, 0..;
        host: String, 0..;
        port: u16, 0..;
    }

    /// What became of it.
    message AddRaftVoterResponse, 0..=1, flexible 0.. {
        throttle_time_ms: i32, 0..;
        error_code: i16, 0..;
        error_message: Option<String>, 0.., default(Some(String::new())), ignorable;
    }
}

impl Request for AddRaftVoterRequest {
    const KEY: ApiKey = ApiKey::AddRaftVoter;
    type Response = AddRaftVoterResponse;
}
