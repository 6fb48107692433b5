//! DeleteTopics (key 20).
//!
//! Up to version 5 topics are named in `topic_names`, from 6 on named or identified in `topics`.

use crate::types::Uuid;
use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// Topics to delete.
    message DeleteTopicsRequest, 1..=6, flexible 4.. {
        topics: Vec<DeleteTopicState>, 6..;
        topic_names: Vec<String>, 0..=5, ignorable;
        /// How long the client waits for the answer, in milliseconds.
        timeout_ms: i32, 0..;
    }

    /// A topic, by name or by id.
    struct DeleteTopicState {
        name: Option<String>, 6..;
        topic_id: Uuid, 6..;
    }

    /// What became of them.
    message DeleteTopicsResponse, 1..=6, flexible 4.. {
        throttle_time_ms: i32, 1.., ignorable;
        responses: Vec<DeletableTopicResult>, 0..;
    }

    /// What became of one topic.
    struct DeletableTopicResult {
        name: Option<String>, 0.., nullable(6..), default(Some(String::new()));
        topic_id: Uuid, 6.., ignorable;
        error_code: i16, 0..;
        error_message: Option<String>, 5.., ignorable;
    }
}

impl Request for DeleteTopicsRequest {
    const KEY: ApiKey = ApiKey::DeleteTopics;
    type Response = DeleteTopicsResponse;
}
