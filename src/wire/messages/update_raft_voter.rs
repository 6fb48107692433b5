//! UpdateRaftVoter (key 82): a voter of the metadata quorum tells the leader its endpoints and levels
//! (KIP-853).

use crate::types::Uuid;
use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// The voter.
    message UpdateRaftVoterRequest, 0..=0, flexible 0.. {
        cluster_id: Option<String>, 0.., default(Some(String::new()));
        /// For fencing; -1 if unknown.
        current_leader_epoch: i32, 0..;
        voter_id: i32, 0..;
        voter_directory_id: Uuid, 0..;
        listeners: Vec<Listener>, 0..;
        k_raft_version_feature: KRaftVersionFeature, 0..;
    }

    /// An endpoint of it.
    struct Listener {
        name: String, 0..;
        host: String, 0..;
        port: u16, 0..;
    }

    /// The levels of kraft.version that it supports.
    struct KRaftVersionFeature {
        min_supported_version: i16, 0..;
        max_supported_version: i16, 0..;
    }

    /// What became of it.
    message UpdateRaftVoterResponse, 0..=0, flexible 0.. {
        throttle_time_ms: i32, 0..;
        error_code: i16, 0..;
        current_leader: CurrentLeader, 0.., tag(0);
    }

    /// The leader to turn to instead.
    struct CurrentLeader {
        /// -1 if there is none.
        leader_id: i32, 0.., default(-1);
        leader_epoch: i32, 0.., default(-1);
        host: String, 0..;
        port: i32, 0..;
    }
}

impl Request for UpdateRaftVoterRequest {
    const KEY: ApiKey = ApiKey::UpdateRaftVoter;
    type Response = UpdateRaftVoterResponse;
}
