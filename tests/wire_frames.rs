//! Whole frames as they go over the wire, pinned byte for byte: what clients have learned to read.
//!
//! Change one only for a reason that stands in the commit: `INSTA_UPDATE=always cargo test --test
//! wire_frames`.

use bytes::Bytes;
use ottla::types::Uuid;
use ottla::wire::Request;
use ottla::wire::frame::{encode_request, encode_response};
use ottla::wire::messages::api_versions::*;
use ottla::wire::messages::fetch::{FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData};
use ottla::wire::messages::metadata::*;
use ottla::wire::messages::produce::*;

/// Sixteen bytes a line, in hexadecimal and as text.
fn dump(segments: &[Bytes]) -> String {
    let line = |(index, line): (usize, &[u8])| {
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let visible = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' };
        let text: String = line.iter().map(visible).collect();
        format!("{:04x}  {:47}  {text}\n", 16 * index, hex.join(" "))
    };
    segments.concat().chunks(16).enumerate().map(line).collect()
}

fn response<R: Request>(version: i16, response: &R::Response) -> String {
    dump(&encode_response::<R>(version, 7, response).expect("the version can say it"))
}

fn request(version: i16, request: &impl Request) -> String {
    dump(&encode_request(version, 7, Some("cli"), request).expect("the version can say it"))
}

const TOPIC: Uuid = Uuid(0x1122_3344_5566_4778_899a_abbc_cdde_eff0);

#[test]
fn api_versions() {
    let answer = ApiVersionsResponse {
        api_keys: vec![
            ApiVersion { api_key: 0, min_version: 0, max_version: 13 },
            ApiVersion { api_key: 18, min_version: 0, max_version: 4 },
        ],
        supported_features: vec![SupportedFeatureKey {
            name: "metadata.version".into(),
            min_version: 7,
            max_version: 30,
        }],
        finalized_features_epoch: 5,
        finalized_features: vec![FinalizedFeatureKey {
            name: "metadata.version".into(),
            max_version_level: 30,
            min_version_level: 30,
        }],
        ..ApiVersionsResponse::default()
    };
    insta::assert_snapshot!("api_versions_response_v0", response::<ApiVersionsRequest>(0, &answer));
    insta::assert_snapshot!("api_versions_response_v4", response::<ApiVersionsRequest>(4, &answer));
    let plain = ApiVersionsResponse { api_keys: answer.api_keys, ..ApiVersionsResponse::default() };
    insta::assert_snapshot!(
        "api_versions_response_v3_without_features",
        response::<ApiVersionsRequest>(3, &plain)
    );
}

#[test]
fn metadata() {
    let answer = MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id: 1,
            host: "localhost".into(),
            port: 9092,
            rack: None,
        }],
        cluster_id: Some("cluster".into()),
        controller_id: 1,
        topics: vec![MetadataResponseTopic {
            name: Some("t".into()),
            topic_id: TOPIC,
            partitions: vec![MetadataResponsePartition {
                leader_id: 1,
                leader_epoch: 2,
                replica_nodes: vec![1, 2],
                isr_nodes: vec![1],
                offline_replicas: vec![2],
                ..MetadataResponsePartition::default()
            }],
            ..MetadataResponseTopic::default()
        }],
        ..MetadataResponse::default()
    };
    insta::assert_snapshot!("metadata_response_v1", response::<MetadataRequest>(1, &answer));
    insta::assert_snapshot!("metadata_response_v13", response::<MetadataRequest>(13, &answer));
}

#[test]
fn produce() {
    let asked = ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: "t".into(),
            topic_id: TOPIC,
            partition_data: vec![PartitionProduceData {
                index: 3,
                records: Some(Bytes::from_static(b"batch")),
            }],
        }],
        ..ProduceRequest::default()
    };
    insta::assert_snapshot!("produce_request_v8", request(8, &asked));
    insta::assert_snapshot!("produce_request_v13", request(13, &asked));
    let answer = ProduceResponse {
        responses: vec![TopicProduceResponse {
            topic_id: TOPIC,
            partition_responses: vec![PartitionProduceResponse {
                index: 3,
                error_code: 6,
                base_offset: -1,
                current_leader: LeaderIdAndEpoch { leader_id: 2, leader_epoch: 9 },
                ..PartitionProduceResponse::default()
            }],
            ..TopicProduceResponse::default()
        }],
        node_endpoints: vec![NodeEndpoint { node_id: 2, host: "h".into(), port: 9092, rack: None }],
        ..ProduceResponse::default()
    };
    insta::assert_snapshot!(
        "produce_response_v13_from_another_broker",
        response::<ProduceRequest>(13, &answer)
    );
}

#[test]
fn fetch() {
    let answer = FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic: "t".into(),
            topic_id: TOPIC,
            partitions: vec![PartitionData {
                partition_index: 3,
                high_watermark: 10,
                last_stable_offset: 10,
                log_start_offset: 0,
                records: Some(Bytes::from_static(b"batch")),
                ..PartitionData::default()
            }],
        }],
        ..FetchResponse::default()
    };
    insta::assert_snapshot!("fetch_response_v4", response::<FetchRequest>(4, &answer));
    insta::assert_snapshot!("fetch_response_v18", response::<FetchRequest>(18, &answer));
}
