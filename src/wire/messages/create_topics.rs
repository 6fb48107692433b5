//! CreateTopics (key 19).
//!
//! From version 5 on the response says what was created, the configuration included (KIP-525).

use crate::types::Uuid;
use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// Topics to create.
    message CreateTopicsRequest, 2..=7, flexible 5.. {
        topics: Vec<CreatableTopic>, 0..;
        /// How long the client waits for the answer, in milliseconds.
        timeout_ms: i32, 0.., default(60_000);
        /// Check, and create nothing.
        validate_only: bool, 1..;
    }

    /// A topic to create.
    struct CreatableTopic {
        name: String, 0..;
        /// -1: the default, or given by `assignments`.
        num_partitions: i32, 0..;
        /// -1: the default, or given by `assignments`.
        replication_factor: i16, 0..;
        assignments: Vec<CreatableReplicaAssignment>, 0..;
        configs: Vec<CreatableTopicConfig>, 0..;
    }

    /// The replicas of one partition, chosen by hand.
    struct CreatableReplicaAssignment {
        partition_index: i32, 0..;
        broker_ids: Vec<i32>, 0..;
    }

    /// A configuration entry.
    struct CreatableTopicConfig {
        name: String, 0..;
        value: Option<String>, 0.., default(Some(String::new()));
    }

    /// What became of them.
    message CreateTopicsResponse, 2..=7, flexible 5.. {
        throttle_time_ms: i32, 2.., ignorable;
        topics: Vec<CreatableTopicResult>, 0..;
    }

    /// What became of one topic.
    struct CreatableTopicResult {
        name: String, 0..;
        topic_id: Uuid, 7.., ignorable;
        error_code: i16, 0..;
        error_message: Option<String>, 1.., default(Some(String::new())), ignorable;
        /// Why `configs` is null, if it is.
        topic_config_error_code: i16, 5.., tag(0), ignorable;
        num_partitions: i32, 5.., default(-1), ignorable;
        replication_factor: i16, 5.., default(-1), ignorable;
        configs: Option<Vec<CreatableTopicConfigs>>, 5.., default(Some(Vec::new())), ignorable;
    }

    /// A configuration entry in force.
    struct CreatableTopicConfigs {
        name: String, 5..;
        value: Option<String>, 5.., default(Some(String::new()));
        read_only: bool, 5..;
        config_source: i8, 5.., default(-1), ignorable;
        is_sensitive: bool, 5..;
    }
}

impl Request for CreateTopicsRequest {
    const KEY: ApiKey = ApiKey::CreateTopics;
    type Response = CreateTopicsResponse;
}
