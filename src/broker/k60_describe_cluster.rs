//! DescribeCluster (key 60), versions 0 to 2: the brokers, without topics (KIP-700).
//!
//! - Brokers are told by the address that they have on the listener through which the client came. From version
//!   2 on, who asks for them sees fenced brokers too (KIP-1073).
//! - The controllers' listener tells of controllers (endpoint type 2, KIP-919), as they have registered. Who asks
//!   one kind of node for the other is told MISMATCHED_ENDPOINT_TYPE, and UNSUPPORTED_ENDPOINT_TYPE for any other
//!   type.
//! - The controller that brokers name is a broker, as in Kafka: this one. Controllers name the active one.

use std::sync::Arc;

use super::Broker;
use super::admission::{cluster_operations, throttle_time_ms};
use super::cluster_view::ClusterView;
use crate::controller::Image;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::types::BrokerId;
use crate::wire::messages::describe_cluster::*;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let published = broker.metadata.current();
    let view = ClusterView::new(&published.image, &context.connection);
    let described = match request.endpoint_type {
        BROKERS => describe(view, broker.id(), &context, &request),
        other => mismatch(BROKERS, other),
    };
    complete(&broker, &context, described)
}

/// What a controller answers. It asks for more rights than a broker, as in Kafka.
pub(super) async fn handle_controllers<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: DescribeClusterRequest,
) -> DescribeClusterResponse {
    let image = Arc::clone(&broker.metadata.current().image);
    let described = if !context.authorize(Operation::Alter, Resource::Cluster) {
        failed(ErrorCode::ClusterAuthorizationFailed, "Authorization failed.".to_owned())
    } else if request.endpoint_type == CONTROLLERS {
        let active = broker.raft.leadership().current().id.unwrap_or(BrokerId::NONE);
        describe_controllers(&image, active, &context, &request)
    } else {
        mismatch(CONTROLLERS, request.endpoint_type)
    };
    complete(&broker, &context, described)
}

fn complete<E: Env>(
    broker: &Broker<E>,
    context: &RequestContext,
    described: DescribeClusterResponse,
) -> DescribeClusterResponse {
    let cluster_id = if described.error_code == 0 { broker.cluster_id.clone() } else { String::new() };
    DescribeClusterResponse { throttle_time_ms: throttle_time_ms(context), cluster_id, ..described }
}

fn describe_controllers(
    image: &Image,
    active: BrokerId,
    context: &RequestContext,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    let listener = &*context.connection.listener;
    let controllers = image.controllers().filter_map(|controller| {
        let endpoint = controller.endpoints.iter().find(|endpoint| endpoint.name == listener)?;
        Some(DescribeClusterBroker {
            broker_id: controller.id.0,
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: None,
            is_fenced: false,
        })
    });
    let mut response = DescribeClusterResponse {
        endpoint_type: CONTROLLERS,
        controller_id: active.0,
        brokers: controllers.collect(),
        ..DescribeClusterResponse::default()
    };
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = cluster_operations(context);
    }
    response
}

fn describe(
    view: ClusterView<'_>,
    asked: BrokerId,
    context: &RequestContext,
    request: &DescribeClusterRequest,
) -> DescribeClusterResponse {
    let shown = view.brokers().filter(|(broker, _)| !broker.fenced || request.include_fenced_brokers);
    let mut response = DescribeClusterResponse {
        controller_id: view.controller(asked).0,
        brokers: shown
            .map(|(broker, endpoint)| DescribeClusterBroker {
                broker_id: broker.id.0,
                host: view.host(endpoint),
                port: i32::from(endpoint.port),
                rack: broker.rack.clone(),
                is_fenced: broker.fenced,
            })
            .collect(),
        ..DescribeClusterResponse::default()
    };
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = cluster_operations(context);
    }
    response
}

fn mismatch(here: i8, wanted: i8) -> DescribeClusterResponse {
    match wanted {
        BROKERS | CONTROLLERS => {
            let name = |endpoint_type| if endpoint_type == BROKERS { "BROKER" } else { "CONTROLLER" };
            let message = format!(
                "The request was sent to an endpoint of type {}, but we wanted an endpoint of type {}",
                name(here),
                name(wanted)
            );
            failed(ErrorCode::MismatchedEndpointType, message)
        }
        other => failed(ErrorCode::UnsupportedEndpointType, format!("Unsupported endpoint type {other}")),
    }
}

fn failed(code: ErrorCode, message: String) -> DescribeClusterResponse {
    DescribeClusterResponse {
        error_code: code.code(),
        error_message: Some(message),
        ..DescribeClusterResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::test_cluster::{DIALLED, TestCluster, context};
    use crate::wire::ApiKey;
    use crate::wire::metadata::{ControllerEndpoint, RegisterControllerRecord};

    fn described(request: &DescribeClusterRequest) -> DescribeClusterResponse {
        let image = TestCluster::new().broker(1).fenced_broker(2).image();
        let context = context(ApiKey::DescribeCluster, 2);
        let view = ClusterView { image: &image, listener: "PLAINTEXT", dialled: DIALLED };
        describe(view, BrokerId(1), &context, request)
    }

    #[test]
    fn fenced_brokers_are_shown_to_those_who_ask() {
        let mut request = DescribeClusterRequest::default();
        let ids = |response: DescribeClusterResponse| {
            let brokers = response.brokers.into_iter();
            brokers.map(|broker| (broker.broker_id, broker.port, broker.is_fenced)).collect::<Vec<_>>()
        };
        assert_eq!(ids(described(&request)), [(1, 9001, false)]);
        request.include_fenced_brokers = true;
        assert_eq!(ids(described(&request)), [(1, 9001, false), (2, 9002, true)]);
    }

    #[test]
    fn authorized_operations_are_told_on_request() {
        let mut request = DescribeClusterRequest::default();
        assert_eq!(described(&request).cluster_authorized_operations, i32::MIN);
        assert_eq!(described(&request).controller_id, 1);
        request.include_cluster_authorized_operations = true;
        assert_eq!(described(&request).cluster_authorized_operations, 8096);
    }

    #[test]
    fn kip_919_other_endpoint_types_are_refused() {
        let code = |here, wanted| mismatch(here, wanted).error_code;
        assert_eq!([code(BROKERS, CONTROLLERS), code(CONTROLLERS, BROKERS)], [114, 114]);
        assert_eq!([code(BROKERS, 3), code(CONTROLLERS, 3)], [115, 115]);
    }

    #[test]
    fn kip_919_controllers_are_told_by_their_listener() {
        let mut cluster = TestCluster::new().broker(1);
        let listener = |name: &str, port| ControllerEndpoint {
            name: name.to_owned(),
            host: "controller.example".to_owned(),
            port,
            security_protocol: 0,
        };
        for (controller_id, name) in [(7, "PLAINTEXT"), (8, "ELSEWHERE"), (9, "PLAINTEXT")] {
            let end_points = vec![listener("FIRST", 1), listener(name, 9000 + controller_id as u16)];
            cluster =
                cluster.with(RegisterControllerRecord { controller_id, end_points, ..Default::default() });
        }
        let context = context(ApiKey::DescribeCluster, 2);
        let request = DescribeClusterRequest { endpoint_type: CONTROLLERS, ..Default::default() };
        let response = describe_controllers(&cluster.image(), BrokerId(9), &context, &request);
        let told: Vec<_> = response.brokers.iter().map(|it| (it.broker_id, &*it.host, it.port)).collect();
        assert_eq!(told, [(7, "controller.example", 9007), (9, "controller.example", 9009)]);
        assert_eq!((response.controller_id, response.endpoint_type), (9, CONTROLLERS));
    }
}
