//! ControllerRegistration (key 70): a controller that starts makes itself known to the active one (KIP-919).

use crate::types::Uuid;
use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// The controller.
    message ControllerRegistrationRequest, 0..=0, flexible 0.. {
        controller_id: i32, 0..;
        /// Of this start.
        incarnation_id: Uuid, 0..;
        zk_migration_ready: bool, 0..;
        listeners: Vec<Listener>, 0..;
        features: Vec<Feature>, 0..;
    }

    /// An endpoint.
    struct Listener {
        name: String, 0..;
        host: String, 0..;
        port: u16, 0..;
        /// 0: PLAINTEXT; 1: SSL; 2: SASL_PLAINTEXT; 3: SASL_SSL.
        security_protocol: i16, 0..;
    }

    /// The levels of a feature that it supports.
    struct Feature {
        name: String, 0..;
        min_supported_version: i16, 0..;
        max_supported_version: i16, 0..;
    }

    /// What became of it.
    message ControllerRegistrationResponse, 0..=0, flexible 0.. {
        throttle_time_ms: i32, 0..;
        error_code: i16, 0..;
        error_message: Option<String>, 0.., default(Some(String::new()));
    }
}

impl Request for ControllerRegistrationRequest {
    const KEY: ApiKey = ApiKey::ControllerRegistration;
    type Response = ControllerRegistrationResponse;
}
