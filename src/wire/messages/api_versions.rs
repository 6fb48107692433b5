//! ApiVersions (key 18): which APIs, versions and features the broker has.
//!
//! An unknown version is answered in version 0 with UNSUPPORTED_VERSION and the versions of ApiVersions
//! itself (KIP-511). Up to version 3 features with a minimum of 0 must be left out (KAFKA-17011).

use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// Who asks (KIP-511).
    message ApiVersionsRequest, 0..=4, flexible 3.. {
        client_software_name: String, 3.., ignorable;
        client_software_version: String, 3.., ignorable;
    }

    /// What the broker has.
    message ApiVersionsResponse, 0..=4, flexible 3.. {
        error_code: i16, 0..;
        api_keys: Vec<ApiVersion>, 0..;
        throttle_time_ms: i32, 1.., ignorable;
        supported_features: Vec<SupportedFeatureKey>, 3.., tag(0), ignorable;
        /// The offset of the metadata that says so; -1 if unknown.
        finalized_features_epoch: i64, 3.., default(-1), tag(1), ignorable;
        finalized_features: Vec<FinalizedFeatureKey>, 3.., tag(2), ignorable;
        zk_migration_ready: bool, 3.., tag(3), ignorable;
    }

    /// The versions of one API.
    struct ApiVersion {
        api_key: i16, 0..;
        min_version: i16, 0..;
        max_version: i16, 0..;
    }

    /// The levels of a feature that the broker supports.
    struct SupportedFeatureKey {
        name: String, 3..;
        min_version: i16, 3..;
        max_version: i16, 3..;
    }

    /// The level of a feature that the cluster is at.
    struct FinalizedFeatureKey {
        name: String, 3..;
        max_version_level: i16, 3..;
        min_version_level: i16, 3..;
    }
}

impl Request for ApiVersionsRequest {
    const KEY: ApiKey = ApiKey::ApiVersions;
    type Response = ApiVersionsResponse;
}
