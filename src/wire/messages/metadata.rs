//! Metadata (key 3): brokers, topics and the leaders of partitions.
//!
//! Version 0 asks for all topics with an empty array, later ones with null. Topics can be asked for by id
//! from version 12 on (10 and 11 have the field, but no broker that understands it).

use crate::types::Uuid;
use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// The topics asked for.
    message MetadataRequest, 0..=13, flexible 9.. {
        /// Null for all; in version 0, empty for all.
        topics: Option<Vec<MetadataRequestTopic>>, 0.., nullable(1..), default(Some(Vec::new()));
        allow_auto_topic_creation: bool, 4.., default(true);
        include_cluster_authorized_operations: bool, 8..=10;
        include_topic_authorized_operations: bool, 8..;
    }

    /// A topic, by name or by id.
    struct MetadataRequestTopic {
        topic_id: Uuid, 10.., ignorable;
        name: Option<String>, 0.., nullable(10..), default(Some(String::new()));
    }

    /// The cluster, as this broker sees it.
    message MetadataResponse, 0..=13, flexible 9.. {
        throttle_time_ms: i32, 3.., ignorable;
        brokers: Vec<MetadataResponseBroker>, 0..;
        cluster_id: Option<String>, 2.., ignorable;
        controller_id: i32, 1.., default(-1), ignorable;
        topics: Vec<MetadataResponseTopic>, 0..;
        /// A bit per operation; the default says that nobody asked.
        cluster_authorized_operations: i32, 8..=10, default(i32::MIN);
        error_code: i16, 13.., ignorable;
    }

    /// A broker.
    struct MetadataResponseBroker {
        node_id: i32, 0..;
        host: String, 0..;
        port: i32, 0..;
        rack: Option<String>, 1.., ignorable;
    }

    /// A topic.
    struct MetadataResponseTopic {
        error_code: i16, 0..;
        /// Null where an unknown id was asked for.
        name: Option<String>, 0.., nullable(12..), default(Some(String::new()));
        topic_id: Uuid, 10.., ignorable;
        is_internal: bool, 1.., ignorable;
        partitions: Vec<MetadataResponsePartition>, 0..;
        /// A bit per operation; the default says that nobody asked.
        topic_authorized_operations: i32, 8.., default(i32::MIN);
    }

    /// A partition.
    struct MetadataResponsePartition {
        error_code: i16, 0..;
        partition_index: i32, 0..;
        leader_id: i32, 0..;
        leader_epoch: i32, 7.., default(-1), ignorable;
        replica_nodes: Vec<i32>, 0..;
        isr_nodes: Vec<i32>, 0..;
        offline_replicas: Vec<i32>, 5.., ignorable;
    }
}

impl Request for MetadataRequest {
    const KEY: ApiKey = ApiKey::Metadata;
    type Response = MetadataResponse;
}
