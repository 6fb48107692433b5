//! DescribeCluster (key 60), versions 0 to 2: the brokers, without topics (KIP-700).
//!
//! - Brokers are told by the address that they have on the listener through which the client came. From version
//!   2 on, who asks for them sees fenced brokers too (KIP-1073).
//! - This is a broker's listener: whoever asks here for controllers (endpoint type 2, KIP-919) is told
//!   MISMATCHED_ENDPOINT_TYPE, and UNSUPPORTED_ENDPOINT_TYPE for any other type.
//! - The controller that is named is a broker, as in Kafka: this one.

use super::Broker;
use super::admission::{cluster_operations, throttle_time_ms};
use super::cluster_view::ClusterView;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::RequestContext;
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
        other => mismatch(other),
    };
    let cluster_id = if described.error_code == 0 { broker.cluster_id.clone() } else { String::new() };
    DescribeClusterResponse { throttle_time_ms: throttle_time_ms(&context), cluster_id, ..described }
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

fn mismatch(endpoint_type: i8) -> DescribeClusterResponse {
    let (code, message) = if endpoint_type == CONTROLLERS {
        let message = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type \
                       CONTROLLER";
        (ErrorCode::MismatchedEndpointType, message.to_owned())
    } else {
        (ErrorCode::UnsupportedEndpointType, format!("Unsupported endpoint type {endpoint_type}"))
    };
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
        assert_eq!(mismatch(2).error_code, 114);
        assert_eq!(mismatch(3).error_code, 115);
    }
}
