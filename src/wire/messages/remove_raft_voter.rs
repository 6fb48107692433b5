//! RemoveRaftVoter (key 81): takes the vote in the metadata quorum from a voter (KIP-853).

use crate::types::Uuid;
use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// The voter.
    message RemoveRaftVoterRequest, 0..=0, flexible 0.. {
        cluster_id: Option<String>, 0.., default(Some(String::new()));
        voter_id: i32, 0..;
        voter_directory_id: Uuid, 0..;
    }

    /// What became of it.
    message RemoveRaftVoterResponse, 0..=0, flexible 0.. {
        throttle_time_ms: i32, 0..;
        error_code: i16, 0..;
        error_message: Option<String>, 0.., default(Some(String::new())), ignorable;
    }
}

impl Request for RemoveRaftVoterRequest {
    const KEY: ApiKey = ApiKey::RemoveRaftVoter;
    type Response = RemoveRaftVoterResponse;
}
