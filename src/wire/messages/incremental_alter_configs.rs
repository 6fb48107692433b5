//! IncrementalAlterConfigs (key 44): changes single configuration entries (KIP-339).
//!
//! Operations: 0 set, 1 delete, 2 append to a list, 3 subtract from a list. Resource types as in
//! DescribeConfigs.

use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// Resources to change.
    message IncrementalAlterConfigsRequest, 0..=1, flexible 1.. {
        resources: Vec<AlterConfigsResource>, 0..;
        validate_only: bool, 0..;
    }

    /// A resource to change.
    struct AlterConfigsResource {
        resource_type: i8, 0..;
        resource_name: String, 0..;
        configs: Vec<AlterableConfig>, 0..;
    }

    /// An entry to change.
    struct AlterableConfig {
        name: String, 0..;
        config_operation: i8, 0..;
        value: Option<String>, 0.., default(Some(String::new()));
    }

    /// What became of it.
    message IncrementalAlterConfigsResponse, 0..=1, flexible 1.. {
        throttle_time_ms: i32, 0..;
        responses: Vec<AlterConfigsResourceResponse>, 0..;
    }

    /// What became of one resource.
    struct AlterConfigsResourceResponse {
        error_code: i16, 0..;
        error_message: Option<String>, 0.., default(Some(String::new()));
        resource_type: i8, 0..;
        resource_name: String, 0..;
    }
}

impl Request for IncrementalAlterConfigsRequest {
    const KEY: ApiKey = ApiKey::IncrementalAlterConfigs;
    type Response = IncrementalAlterConfigsResponse;
}
