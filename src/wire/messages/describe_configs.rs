//! DescribeConfigs (key 32).
//!
//! Resource types: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.

use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// Resources to describe.
    message DescribeConfigsRequest, 1..=4, flexible 4.. {
        resources: Vec<DescribeConfigsResource>, 0..;
        include_synonyms: bool, 1..;
        include_documentation: bool, 3..;
    }

    /// A resource.
    struct DescribeConfigsResource {
        resource_type: i8, 0..;
        resource_name: String, 0..;
        /// Null for all.
        configuration_keys: Option<Vec<String>>, 0.., default(Some(Vec::new()));
    }

    /// Their configurations.
    message DescribeConfigsResponse, 1..=4, flexible 4.. {
        throttle_time_ms: i32, 0..;
        results: Vec<DescribeConfigsResult>, 0..;
    }

    /// The configuration of one resource.
    struct DescribeConfigsResult {
        error_code: i16, 0..;
        error_message: Option<String>, 0.., default(Some(String::new()));
        resource_type: i8, 0..;
        resource_name: String, 0..;
        configs: Vec<DescribeConfigsResourceResult>, 0..;
    }

    /// One configuration entry.
    struct DescribeConfigsResourceResult {
        name: String, 0..;
        /// Null if sensitive.
        value: Option<String>, 0.., default(Some(String::new()));
        read_only: bool, 0..;
        config_source: i8, 1.., default(-1), ignorable;
        is_sensitive: bool, 0..;
        synonyms: Vec<DescribeConfigsSynonym>, 1.., ignorable;
        config_type: i8, 3.., ignorable;
        documentation: Option<String>, 3.., default(Some(String::new())), ignorable;
    }

    /// Where else an entry's value could come from, in order of precedence.
    struct DescribeConfigsSynonym {
        name: String, 1..;
        value: Option<String>, 1.., default(Some(String::new()));
        source: i8, 1..;
    }
}

impl Request for DescribeConfigsRequest {
    const KEY: ApiKey = ApiKey::DescribeConfigs;
    type Response = DescribeConfigsResponse;
}
