//! DescribeCluster (key 60): brokers or controllers, without topics (KIP-700, KIP-919).

use crate::wire::declare::declare;
use crate::wire::{ApiKey, Request};

declare! {
    /// What to describe.
    message DescribeClusterRequest, 0..=2, flexible 0.. {
        include_cluster_authorized_operations: bool, 0..;
        /// 1: brokers; 2: controllers.
        endpoint_type: i8, 1.., default(1);
        include_fenced_brokers: bool, 2..;
    }

    /// The cluster.
    message DescribeClusterResponse, 0..=2, flexible 0.. {
        throttle_time_ms: i32, 0..;
        error_code: i16, 0..;
        error_message: Option<String>, 0..;
        endpoint_type: i8, 1.., default(1);
        cluster_id: String, 0..;
        controller_id: i32, 0.., default(-1);
        brokers: Vec<DescribeClusterBroker>, 0..;
        /// A bit per operation; the default says that nobody asked.
        cluster_authorized_operations: i32, 0.., default(i32::MIN);
    }

    /// A broker or controller.
    struct DescribeClusterBroker {
        broker_id: i32, 0..;
        host: String, 0..;
        port: i32, 0..;
        rack: Option<String>, 0..;
        is_fenced: bool, 2..;
    }
}

impl Request for DescribeClusterRequest {
    const KEY: ApiKey = ApiKey::DescribeCluster;
    type Response = DescribeClusterResponse;
}
