//! BrokerRegistration (key 62): a broker that starts makes itself known to the controller (KIP-631).
//!
//! Log directories (KIP-858) come with version 2, the epoch before a clean stop (KIP-966) with 3. Up to
//! version 3 features with a minimum of 0 must be left out (KAFKA-17011).

use crate::types::Uuid;
use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// The broker.
    message BrokerRegistrationRequest, 0..=4, flexible 0.. {
        broker_id: i32, 0..;
        cluster_id: String, 0..;
        /// Of this start: the controller recognizes a request that comes again by it.
        incarnation_id: Uuid, 0..;
        listeners: Vec<Listener>, 0..;
        features: Vec<Feature>, 0..;
        rack: Option<String>, 0.., default(Some(String::new()));
        is_migrating_zk_broker: bool, 1..;
        /// The ids of the directories in use.
        log_dirs: Vec<Uuid>, 2.., ignorable;
        /// The epoch that a clean stop left behind; -1 after any other.
        previous_broker_epoch: i64, 3.., default(-1), ignorable;
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
    message BrokerRegistrationResponse, 0..=4, flexible 0.. {
        throttle_time_ms: i32, 0..;
        error_code: i16, 0..;
        /// -1 if there is an error.
        broker_epoch: i64, 0.., default(-1);
    }
}

impl Request for BrokerRegistrationRequest {
    const KEY: ApiKey = ApiKey::BrokerRegistration;
    type Response = BrokerRegistrationResponse;
}
