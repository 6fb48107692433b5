//! A node whose clients may not do what they ask for: every API says so, and nothing of what they may not see.

use std::net::SocketAddr;
use std::sync::Arc;

use super::budget::Budget;
use super::context::{Authorizer, ConnectionContext, Operation, Principal, RequestContext, Resource};
use super::controller_channel::ControllerChannel;
use super::service::{Answer, IncomingRequest, Reply, Service as _};
use super::throttles::Throttles;
use super::{Node, format, start};
use crate::broker::{Broker, BrokerParts};
use crate::buffers::BufferPool;
use crate::config::server::{ServerConfig, single_broker};
use crate::env::tokio::TokioEnv;
use crate::env::{Clock as _, Env as _};
use crate::error_code::ErrorCode;
use crate::types::{Offset, Uuid};
use crate::wire::batch_builder::{BatchBuilder, BatchOptions, NewRecord};
use crate::wire::compression::Scratch;
use crate::wire::header::ResponseHeader;
use crate::wire::messages::*;
use crate::wire::{Reader, Request};
use bytes::Bytes;

/// Denies some operations, on some topics or on everything.
#[derive(Debug)]
struct Deny {
    operations: &'static [Operation],
    only: Option<&'static str>,
}

impl Authorizer for Deny {
    fn permits(&self, _: &Principal, operation: Operation, resource: Resource<'_>) -> bool {
        let concerned = match (self.only, resource) {
            (Some(only), Resource::Topic(name)) => name == only,
            (Some(_), _) => false,
            (None, _) => true,
        };
        !concerned || !self.operations.contains(&operation)
    }
}

const EVERYTHING: &[Operation] = &[
    Operation::Read,
    Operation::Write,
    Operation::Create,
    Operation::Delete,
    Operation::Alter,
    Operation::Describe,
    Operation::ClusterAction,
    Operation::DescribeConfigs,
    Operation::AlterConfigs,
    Operation::IdempotentWrite,
];

const NOBODY: Deny = Deny { operations: EVERYTHING, only: None };
const ANYBODY: Deny = Deny { operations: &[], only: None };

/// A node with the topic `there`.
struct Setup {
    node: Node<TokioEnv>,
    broker: Broker<TokioEnv>,
    env: TokioEnv,
    /// The id of `there`.
    id: Uuid,
    _dir: tempfile::TempDir,
}

impl Setup {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().to_str().expect("it is UTF-8");
        let config = ServerConfig::parse(single_broker("127.0.0.1:0", 0, path)).expect("it is right").0;
        let env = TokioEnv::new().expect("a world");
        format(&env, &config, "test-cluster-id-000000").await.expect("the disk works");
        let node = start(env.clone(), config.clone()).await.expect("it starts");
        let throttles = Throttles::new(&config.replication);
        let broker = Broker::new(BrokerParts {
            env: env.clone(),
            config: Arc::new(config),
            cluster_id: "test-cluster-id-000000".to_owned(),
            registered: node.registered.clone(),
            raft: node.raft.clone(),
            run: 0,
            metadata: node.metadata.clone(),
            controller: ControllerChannel::new(env.clone(), node.raft.leadership().clone(), "test", 1),
            directories: node.directories.clone(),
            housekeeping: node.housekeeping.clone(),
            responses: Budget::new("responses", 1 << 20),
            buffers: BufferPool::new(0),
            throttles,
        });
        let mut setup = Self { node, broker, env, id: Uuid::ZERO, _dir: dir };
        let created = setup.ask(7, &create("there"), ANYBODY).await;
        assert_eq!(created.topics[0].error_code, 0, "{created:?}");
        setup.id = created.topics[0].topic_id;
        setup
    }

    async fn ask<R: Request>(&self, version: i16, request: &R, authorizer: Deny) -> R::Response {
        self.ask_over("PLAINTEXT", version, request, authorizer).await
    }

    async fn ask_over<R: Request>(
        &self,
        listener: &str,
        version: i16,
        request: &R,
        authorizer: Deny,
    ) -> R::Response {
        let local: SocketAddr = "127.0.0.1:9092".parse().expect("an address");
        let connection = ConnectionContext {
            id: 1,
            listener: listener.into(),
            principal: Principal::anonymous(),
            peer: local,
            local,
            authorizer: Arc::new(authorizer),
        };
        let context = RequestContext {
            connection: Arc::new(connection),
            api_key: R::KEY,
            api_version: version,
            correlation_id: 5,
            client_id: None,
            received: self.env.clock().now(),
        };
        let mut writer = crate::wire::primitives::Writer::new();
        request.encode(&mut writer, version).expect("it can be said");
        let permit = Budget::new("requests", 1).try_acquire(1).expect("it is free");
        let request = IncomingRequest { context, body: writer.into_bytes(), permit };
        let answer = match self.broker.call(request).await {
            Reply::Now(answer) => answer,
            Reply::Later(future) => future.await,
        };
        let Answer::Respond(response) = answer else { panic!("no response: {answer:?}") };
        let bytes: Bytes = response.segments.concat().into();
        let mut reader = Reader::new(&bytes);
        reader.i32().expect("a length");
        let header = ResponseHeader::decode(&mut reader, R::KEY, version).expect("a header");
        assert_eq!(header.correlation_id, 5);
        <R::Response as crate::wire::Message>::decode(&mut reader, version).expect("a response")
    }

    fn topics(&self) -> Vec<String> {
        let image = &self.node.metadata.current().image;
        let mut names: Vec<_> = image.topics().map(|topic| topic.name.to_string()).collect();
        names.sort();
        names
    }
}

fn create(name: &str) -> create_topics::CreateTopicsRequest {
    let topic = create_topics::CreatableTopic {
        name: name.to_owned(),
        num_partitions: 1,
        replication_factor: 1,
        ..create_topics::CreatableTopic::default()
    };
    let topics = vec![topic];
    create_topics::CreateTopicsRequest { topics, timeout_ms: 5_000, ..Default::default() }
}

fn produce(names: &[&str], id: Uuid) -> produce::ProduceRequest {
    let mut builder = BatchBuilder::new();
    builder.add(&NewRecord { timestamp: 1_000, key: None, value: Some(b"x"), headers: &[] });
    let records = builder.finish(&BatchOptions::default(), &mut Scratch::default());
    let topic = |name: &&str| produce::TopicProduceData {
        name: (*name).to_owned(),
        topic_id: id,
        partition_data: vec![produce::PartitionProduceData { index: 0, records: Some(records.clone()) }],
    };
    let topic_data = names.iter().map(topic).collect();
    produce::ProduceRequest { acks: -1, timeout_ms: 5_000, topic_data, ..Default::default() }
}

fn fetch(names: &[&str], id: Uuid) -> fetch::FetchRequest {
    let topic = |name: &&str| fetch::FetchTopic {
        topic: (*name).to_owned(),
        topic_id: id,
        partitions: vec![fetch::FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() }],
    };
    fetch::FetchRequest { topics: names.iter().map(topic).collect(), ..Default::default() }
}

const DENIED: i16 = ErrorCode::TopicAuthorizationFailed.code();
const CLUSTER_DENIED: i16 = ErrorCode::ClusterAuthorizationFailed.code();
const UNKNOWN_ID: i16 = ErrorCode::UnknownTopicId.code();
const BOTH: &[&str] = &["there", "missing"];

#[tokio::test]
async fn who_may_not_write_or_read_is_not_told_what_there_is() {
    let setup = Setup::new().await;
    let written = |response: produce::ProduceResponse| {
        let topics = response.responses.into_iter();
        topics.map(|topic| topic.partition_responses[0].error_code).collect::<Vec<_>>()
    };
    let read = |response: fetch::FetchResponse| {
        let topics = response.responses.into_iter();
        topics.map(|topic| topic.partitions[0].error_code).collect::<Vec<_>>()
    };
    // Ids are no secret.
    let unknown = Uuid(7);
    assert_eq!(written(setup.ask(12, &produce(BOTH, Uuid::ZERO), NOBODY).await), [DENIED, DENIED]);
    assert_eq!(written(setup.ask(13, &produce(&[""], setup.id), NOBODY).await), [DENIED]);
    assert_eq!(written(setup.ask(13, &produce(&[""], unknown), NOBODY).await), [UNKNOWN_ID]);
    assert_eq!(read(setup.ask(12, &fetch(BOTH, Uuid::ZERO), NOBODY).await), [DENIED, DENIED]);
    assert_eq!(read(setup.ask(13, &fetch(&[""], setup.id), NOBODY).await), [DENIED]);
    assert_eq!(read(setup.ask(13, &fetch(&[""], unknown), NOBODY).await), [UNKNOWN_ID]);
    assert_eq!(setup.node.snapshot()[0].positions.log_end.offset(), Offset(0), "nothing was appended");

    let (missing, denied) = (ErrorCode::UnknownTopicOrPartition.code(), "there");
    let write = Deny { operations: &[Operation::Write], only: Some(denied) };
    assert_eq!(written(setup.ask(12, &produce(BOTH, Uuid::ZERO), write).await), [DENIED, missing]);
    let other = Deny { operations: &[Operation::Read], only: Some(denied) };
    assert_eq!(written(setup.ask(12, &produce(BOTH, Uuid::ZERO), other).await), [0, missing]);
}

#[tokio::test]
async fn a_transaction_needs_its_id_to_be_permitted() {
    let setup = Setup::new().await;
    let mut request = produce(&["there"], Uuid::ZERO);
    let mut builder = BatchBuilder::new();
    builder.add(&NewRecord { timestamp: 1_000, key: None, value: Some(b"x"), headers: &[] });
    let options = BatchOptions {
        transactional: true,
        producer_id: crate::types::ProducerId(1),
        producer_epoch: crate::types::ProducerEpoch(0),
        base_sequence: 0,
        ..BatchOptions::default()
    };
    let records = builder.finish(&options, &mut Scratch::default());
    // What a transactional producer sends outside transactions is like anybody's.
    request.transactional_id = Some("id".to_owned());
    let code = async |request: &produce::ProduceRequest, who| {
        setup.ask(12, request, who).await.responses[0].partition_responses[0].error_code
    };
    assert_eq!(code(&request, ANYBODY).await, 0);
    request.topic_data[0].partition_data[0].records = Some(records);
    assert_eq!(code(&request, ANYBODY).await, ErrorCode::InvalidTxnState.code());
    request.transactional_id = None;
    assert_eq!(code(&request, ANYBODY).await, ErrorCode::TransactionalIdAuthorizationFailed.code());

    let mut request = init_producer_id::InitProducerIdRequest {
        transactional_id: None,
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    assert_eq!(setup.ask(5, &request, NOBODY).await.error_code, CLUSTER_DENIED);
    assert_eq!(setup.ask(5, &request, ANYBODY).await.error_code, 0);
    request.transactional_id = Some("id".to_owned());
    let denied = ErrorCode::TransactionalIdAuthorizationFailed.code();
    assert_eq!(setup.ask(5, &request, NOBODY).await.error_code, denied);
}

#[tokio::test]
async fn who_may_not_describe_sees_nothing() {
    let setup = Setup::new().await;
    let named = |names: &[&str]| {
        let topic = |name: &&str| metadata::MetadataRequestTopic {
            name: Some((*name).to_owned()),
            ..Default::default()
        };
        let topics = Some(names.iter().map(topic).collect());
        metadata::MetadataRequest { topics, allow_auto_topic_creation: true, ..Default::default() }
    };
    let all = metadata::MetadataRequest { topics: None, ..named(&[]) };
    assert!(setup.ask(12, &all, NOBODY).await.topics.is_empty());
    let response = setup.ask(12, &named(BOTH), NOBODY).await;
    for topic in &response.topics {
        assert_eq!((topic.error_code, topic.topic_id, topic.partitions.len()), (DENIED, Uuid::ZERO, 0));
    }
    assert_eq!(response.topics.len(), 2);
    let by_id = metadata::MetadataRequestTopic { topic_id: setup.id, name: None };
    let by_id = metadata::MetadataRequest { topics: Some(vec![by_id]), ..Default::default() };
    let topic = &setup.ask(12, &by_id, NOBODY).await.topics[0];
    assert_eq!((topic.error_code, topic.name.as_deref()), (DENIED, None));
    // To describe is not to create.
    let creation = || Deny { operations: &[Operation::Create], only: None };
    assert_eq!(setup.ask(12, &named(&["missing"]), creation()).await.topics[0].error_code, DENIED);
    assert_eq!(setup.topics(), ["there"]);

    let partition = list_offsets::ListOffsetsPartition { timestamp: -1, ..Default::default() };
    let topic = |name: &&str| list_offsets::ListOffsetsTopic {
        name: (*name).to_owned(),
        partitions: vec![partition.clone()],
    };
    let topics = BOTH.iter().map(topic).collect();
    let request = list_offsets::ListOffsetsRequest { topics, ..Default::default() };
    let topics = setup.ask(7, &request, NOBODY).await.topics;
    let codes: Vec<_> =
        topics.iter().map(|topic| (topic.partitions[0].error_code, topic.partitions[0].offset)).collect();
    assert_eq!(codes, [(DENIED, -1), (DENIED, -1)]);

    let topic = |name: &&str| describe_topic_partitions::TopicRequest { name: (*name).to_owned() };
    let topics = BOTH.iter().map(topic).collect();
    let mut request = describe_topic_partitions::DescribeTopicPartitionsRequest {
        topics,
        response_partition_limit: 10,
        ..Default::default()
    };
    let topics = setup.ask(0, &request, NOBODY).await.topics;
    assert!(topics.iter().all(|topic| topic.error_code == DENIED && topic.topic_id == Uuid::ZERO));
    assert_eq!(topics.len(), 2);
    request.topics.clear();
    assert!(setup.ask(0, &request, NOBODY).await.topics.is_empty());

    let request = describe_cluster::DescribeClusterRequest {
        include_cluster_authorized_operations: true,
        ..Default::default()
    };
    let response = setup.ask(2, &request, NOBODY).await;
    assert_eq!((response.brokers.len(), response.cluster_authorized_operations), (1, 0));
}

#[tokio::test]
async fn who_may_not_change_topics_changes_none() {
    let setup = Setup::new().await;
    assert_eq!(setup.ask(7, &create("new"), NOBODY).await.topics[0].error_code, DENIED);
    // The configuration of what one has created is another matter.
    let configs = Deny { operations: &[Operation::DescribeConfigs], only: None };
    let created = setup.ask(7, &create("new"), configs).await.topics.remove(0);
    assert_eq!(
        (created.error_code, created.topic_config_error_code, created.num_partitions),
        (0, DENIED, -1)
    );
    assert!(created.configs.unwrap_or_default().is_empty());

    let partitions =
        create_partitions::CreatePartitionsTopic { name: "there".to_owned(), count: 3, ..Default::default() };
    let topics = vec![partitions];
    let request =
        create_partitions::CreatePartitionsRequest { topics, timeout_ms: 5_000, ..Default::default() };
    assert_eq!(setup.ask(3, &request, NOBODY).await.results[0].error_code, DENIED);

    let partitions = vec![delete_records::DeleteRecordsPartition { partition_index: 0, offset: -1 }];
    let topic = |name: &&str| delete_records::DeleteRecordsTopic {
        name: (*name).to_owned(),
        partitions: partitions.clone(),
    };
    let topics = BOTH.iter().map(topic).collect();
    let request = delete_records::DeleteRecordsRequest { topics, timeout_ms: 5_000 };
    let topics = setup.ask(2, &request, NOBODY).await.topics;
    let codes: Vec<_> = topics.iter().map(|topic| topic.partitions[0].error_code).collect();
    assert_eq!(codes, [DENIED, DENIED]);
    assert_eq!(setup.topics(), ["new", "there"]);
    assert_eq!(setup.node.snapshot().len(), 2, "a partition each");
}

#[tokio::test]
async fn who_may_not_delete_deletes_nothing() {
    let setup = Setup::new().await;
    let delete = |name: Option<&str>, topic_id| {
        let topics = vec![delete_topics::DeleteTopicState { name: name.map(str::to_owned), topic_id }];
        delete_topics::DeleteTopicsRequest { topics, timeout_ms: 5_000, ..Default::default() }
    };
    let answer = async |request: delete_topics::DeleteTopicsRequest, who| {
        let result = setup.ask(6, &request, who).await.responses.remove(0);
        (result.error_code, result.name)
    };
    let name = |name: &str| Some(name.to_owned());
    let only_delete = || Deny { operations: &[Operation::Delete], only: None };
    let missing = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(answer(delete(Some("there"), Uuid::ZERO), NOBODY).await, (DENIED, name("there")));
    assert_eq!(answer(delete(Some("missing"), Uuid::ZERO), NOBODY).await, (DENIED, name("missing")));
    assert_eq!(answer(delete(None, setup.id), NOBODY).await, (DENIED, None), "the name is not disclosed");
    assert_eq!(answer(delete(None, Uuid(7)), NOBODY).await, (UNKNOWN_ID, None));
    assert_eq!(answer(delete(None, setup.id), only_delete()).await, (DENIED, name("there")));
    assert_eq!(answer(delete(Some("missing"), Uuid::ZERO), only_delete()).await, (missing, name("missing")));
    assert_eq!(setup.topics(), ["there"]);
}

#[tokio::test]
async fn configs_are_shown_and_altered_only_by_permission() {
    let setup = Setup::new().await;
    let kinds = [(2, "there", DENIED), (2, "missing", DENIED), (4, "1", CLUSTER_DENIED)];
    let resource = |&(resource_type, name, _): &(i8, &str, i16)| describe_configs::DescribeConfigsResource {
        resource_type,
        resource_name: name.to_owned(),
        configuration_keys: None,
    };
    let resources = kinds.iter().map(resource).collect();
    let request = describe_configs::DescribeConfigsRequest { resources, ..Default::default() };
    let results = setup.ask(4, &request, NOBODY).await.results;
    assert!(results.iter().all(|result| result.configs.is_empty()));
    let codes: Vec<_> = results.iter().map(|result| result.error_code).collect();
    assert_eq!(codes, kinds.map(|(_, _, code)| code));

    let config = incremental_alter_configs::AlterableConfig {
        name: "min.insync.replicas".to_owned(),
        config_operation: 0,
        value: Some("2".to_owned()),
    };
    let resource =
        |&(resource_type, name, _): &(i8, &str, i16)| incremental_alter_configs::AlterConfigsResource {
            resource_type,
            resource_name: name.to_owned(),
            configs: vec![config.clone()],
        };
    let resources = kinds.iter().map(resource).collect();
    let request =
        incremental_alter_configs::IncrementalAlterConfigsRequest { resources, ..Default::default() };
    let before = setup.node.metadata.current().image.offset();
    let responses = setup.ask(1, &request, NOBODY).await.responses;
    let codes: Vec<_> = responses.iter().map(|response| response.error_code).collect();
    assert_eq!(codes, kinds.map(|(_, _, code)| code));
    assert_eq!(setup.node.metadata.current().image.offset(), before, "no record was written");
}

#[tokio::test]
async fn a_candidate_of_another_cluster_is_told_so() {
    let setup = Setup::new().await;
    for (id, code) in [
        (Some("another-cluster-id-0000"), ErrorCode::InconsistentClusterId),
        (Some("test-cluster-id-000000"), ErrorCode::InvalidRequest),
        (None, ErrorCode::InvalidRequest),
    ] {
        let request = vote::VoteRequest { cluster_id: id.map(str::to_owned), ..Default::default() };
        let response = setup.ask_over("CONTROLLER", 2, &request, ANYBODY).await;
        assert_eq!(response.error_code, code.code(), "{id:?} and no topic");
    }
}

/// As brokers before Kafka 3.5 ask.
#[tokio::test]
async fn an_isr_without_broker_epochs_is_taken() {
    let setup = Setup::new().await;
    let published = setup.node.metadata.current();
    let partition = published.image.partition(setup.id, 0).expect("it was created");
    let asked = alter_partition::PartitionData {
        partition_index: 0,
        leader_epoch: partition.leader_epoch.0,
        new_isr: vec![1],
        partition_epoch: partition.partition_epoch.0,
        ..Default::default()
    };
    let request = alter_partition::AlterPartitionRequest {
        broker_id: 1,
        broker_epoch: setup.node.registered.epoch().expect("it is registered").0,
        topics: vec![alter_partition::TopicData { topic_id: setup.id, partitions: vec![asked] }],
    };
    let response = setup.ask_over("CONTROLLER", 2, &request, ANYBODY).await;
    let result = &response.topics[0].partitions[0];
    assert_eq!((response.error_code, result.error_code, &result.isr[..]), (0, 0, &[1][..]));
}
