//! UpdateFeatures (key 57): changes the finalized levels of features (KIP-584).
//!
//! Version 1 says how a level may move (KIP-778); version 2 has one error for all, and changes all or
//! nothing.

use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// The levels asked for.
    message UpdateFeaturesRequest, 0..=2, flexible 0.. {
        /// How long the client waits for the answer, in milliseconds.
        timeout_ms: i32, 0.., default(60_000);
        feature_updates: Vec<FeatureUpdateKey>, 0..;
        /// Check, and change nothing.
        validate_only: bool, 1..;
    }

    /// A level asked for.
    struct FeatureUpdateKey {
        feature: String, 0..;
        /// Below 1: turn the feature off.
        max_version_level: i16, 0..;
        allow_downgrade: bool, 0..=0;
        /// 1: only up; 2: down, if nothing is lost; 3: down, whatever is lost.
        upgrade_type: i8, 1.., default(1);
    }

    /// What became of it.
    message UpdateFeaturesResponse, 0..=2, flexible 0.. {
        throttle_time_ms: i32, 0..;
        error_code: i16, 0..;
        error_message: Option<String>, 0.., default(Some(String::new()));
        results: Vec<UpdatableFeatureResult>, 0..=1, ignorable;
    }

    /// What became of one feature.
    struct UpdatableFeatureResult {
        feature: String, 0..;
        error_code: i16, 0..;
        error_message: Option<String>, 0.., default(Some(String::new()));
    }
}

impl Request for UpdateFeaturesRequest {
    const KEY: ApiKey = ApiKey::UpdateFeatures;
    type Response = UpdateFeaturesResponse;
}
