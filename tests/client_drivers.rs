//! The drivers over real sockets, against a broker that cuts connections.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

#[path = "support/fake_broker.rs"]
mod fake_broker;

use std::time::Duration;

use fake_broker::FakeBroker;
use ottla::client::admin::{Admin, AdminError, ConfigResource, NewTopic};
use ottla::client::config::{Acks, ClientConfig, ConsumerConfig, OffsetReset, ProducerConfig};
use ottla::client::consumer::{Consumer, Start, TopicPartition};
use ottla::client::producer::{DeliveryError, Failure, Producer, ProducerRecord};
use ottla::env::tokio::TokioEnv;
use ottla::env::{Clock as _, Env as _};
use ottla::error_code::ErrorCode;
use ottla::types::Offset;
use ottla::wire::ApiKey;
use ottla::wire::compression::Compression;

fn client(server: String) -> ClientConfig {
    ClientConfig {
        bootstrap_servers: vec![server],
        default_api_timeout: Duration::from_secs(5),
        retry_backoff: Duration::from_millis(5),
        reconnect_backoff: Duration::from_millis(5),
        ..ClientConfig::default()
    }
}

fn producer_config(broker: &FakeBroker) -> ProducerConfig {
    ProducerConfig { client: client(broker.server()), batch_size: 500, ..ProducerConfig::default() }
}

fn value(index: usize) -> ProducerRecord {
    ProducerRecord::value(format!("value-{index}"))
}

async fn read_all(env: &TokioEnv, broker: &FakeBroker, topic: &str, count: usize) -> Vec<(i64, String)> {
    let config = ConsumerConfig { client: client(broker.server()), ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(env, config, 0).unwrap();
    consumer.assign(TopicPartition::new(topic, 0), Start::Earliest);
    let mut all = Vec::new();
    for _ in 0..10_000 {
        let records = consumer.poll(Duration::from_millis(20)).await.unwrap();
        all.extend(
            records
                .into_iter()
                .map(|record| (record.offset.0, String::from_utf8(record.value.unwrap().to_vec()).unwrap())),
        );
        if all.len() >= count {
            break;
        }
    }
    all
}

#[tokio::test]
async fn records_arrive_once_and_in_order_though_connections_are_cut() {
    let env = TokioEnv::new().unwrap();
    let broker = FakeBroker::start(&env).await;
    broker.create("t", 1);
    broker.state.lock().unwrap().cut_every = 3;
    let config = ProducerConfig { compression_type: Compression::Lz4, ..producer_config(&broker) };
    let producer = Producer::new(&env, config, 0).unwrap();
    let mut deliveries = Vec::new();
    for index in 0..500 {
        deliveries.push(producer.send("t", Some(0), value(index)).await);
    }
    producer.flush().await;
    for (index, delivery) in deliveries.into_iter().enumerate() {
        let acknowledged = delivery.await.unwrap();
        assert_eq!(acknowledged.offset, Some(Offset(index as i64)));
    }
    producer.close(Duration::from_secs(1)).await;
    let expected: Vec<_> = (0..500).map(|index| (index as i64, format!("value-{index}"))).collect();
    assert_eq!(read_all(&env, &broker, "t", 500).await, expected);
}

/// A broker that is cut off from the others, but not from its clients, takes itself for the leader still.
#[tokio::test]
async fn a_broker_that_misleads_is_not_the_only_one_asked() {
    let env = TokioEnv::new().unwrap();
    let (deposed, elected) = (FakeBroker::start(&env).await, FakeBroker::start(&env).await);
    for (rank, broker, other) in [(0, &deposed, &elected), (1, &elected, &deposed)] {
        broker.create("t", 1);
        let mut state = broker.state.lock().unwrap();
        (state.rank, state.other) = (rank, Some(other.address));
    }
    deposed.state.lock().unwrap().refuse_produce = Some(ErrorCode::RequestTimedOut);
    let config = ProducerConfig { enable_idempotence: Some(false), ..producer_config(&deposed) };
    let producer = Producer::new(&env, config, 0).unwrap();
    let delivery = producer.send("t", Some(0), value(0)).await;
    let acknowledged = env.clock().timeout_at(env.clock().now() + Duration::from_secs(10), delivery).await;
    assert_eq!(acknowledged.expect("it is asked where the leader is").unwrap().offset, Some(Offset(0)));
    assert_eq!(read_all(&env, &elected, "t", 1).await, [(0, "value-0".to_owned())]);
}

#[tokio::test]
async fn old_brokers_are_spoken_to_in_old_versions() {
    let env = TokioEnv::new().unwrap();
    let broker = FakeBroker::start(&env).await;
    broker.create("t", 1);
    broker.state.lock().unwrap().version_max = Some(4);
    let mut config = producer_config(&broker);
    config.client.retry_backoff = Duration::from_millis(1);
    let producer = Producer::new(&env, config, 0).unwrap();
    let delivery = producer.send("t", None, ProducerRecord::keyed("k", "v")).await;
    assert_eq!(delivery.await.unwrap().offset, Some(Offset(0)));
    assert_eq!(read_all(&env, &broker, "t", 1).await, [(0, "v".to_owned())]);
}

#[tokio::test]
async fn what_a_broker_lacks_fails_at_once() {
    let env = TokioEnv::new().unwrap();
    let broker = FakeBroker::start(&env).await;
    broker.create("t", 1);
    broker.state.lock().unwrap().lacks = vec![ApiKey::InitProducerId];
    let producer = Producer::new(&env, producer_config(&broker), 0).unwrap();
    let error = producer.send("t", None, value(0)).await.await.unwrap_err();
    let DeliveryError::NotWritten(Failure::Refused { code, message }) = error else { panic!("{error}") };
    assert_eq!(code, ErrorCode::UnsupportedVersion);
    assert!(message.unwrap().contains("does not offer it at all"));
    let config = ProducerConfig { enable_idempotence: Some(false), ..producer_config(&broker) };
    let producer = Producer::new(&env, config, 1).unwrap();
    assert!(producer.send("t", None, value(0)).await.await.is_ok());
}

#[tokio::test]
async fn a_refused_record_is_not_written_and_close_gives_up_the_rest() {
    let env = TokioEnv::new().unwrap();
    let broker = FakeBroker::start(&env).await;
    broker.create("t", 1);
    broker.state.lock().unwrap().refuse_produce = Some(ErrorCode::InvalidRecord);
    let mut config = producer_config(&broker);
    config.client.retry_backoff = Duration::from_secs(10);
    config.client.retry_backoff_max = Duration::from_secs(10);
    let producer = Producer::new(&env, config, 0).unwrap();
    let error = producer.send("t", None, value(0)).await.await.unwrap_err();
    assert!(matches!(error, DeliveryError::NotWritten(Failure::Refused { .. })), "{error}");
    broker.state.lock().unwrap().refuse_produce = Some(ErrorCode::NotEnoughReplicas);
    let delivery = producer.send("t", None, value(1)).await;
    // Refused once, and waiting to be sent again: nothing of it is under way when time is over.
    producer.close(Duration::from_millis(500)).await;
    let error = delivery.await.unwrap_err();
    assert_eq!(error, DeliveryError::NotWritten(Failure::Closed));
}

#[tokio::test]
async fn acks_zero_is_written_without_an_answer() {
    let env = TokioEnv::new().unwrap();
    let broker = FakeBroker::start(&env).await;
    broker.create("t", 1);
    let config = ProducerConfig { acks: Acks::None, ..producer_config(&broker) };
    let producer = Producer::new(&env, config, 0).unwrap();
    assert_eq!(producer.send("t", None, value(0)).await.await.unwrap().offset, None);
    assert_eq!(read_all(&env, &broker, "t", 1).await.len(), 1);
}

#[tokio::test]
async fn a_dropped_producer_leaves_no_record_without_an_outcome() {
    let env = TokioEnv::new().unwrap();
    let config = ProducerConfig { client: client("127.0.0.1:1".to_owned()), ..ProducerConfig::default() };
    let producer = Producer::new(&env, config, 0).unwrap();
    let delivery = producer.send("t", None, value(0)).await;
    drop(producer);
    assert_eq!(delivery.await, Err(DeliveryError::Unknown(Failure::Closed)));
}

#[tokio::test]
async fn a_full_buffer_makes_senders_wait() {
    let env = TokioEnv::new().unwrap();
    let mut client = client("127.0.0.1:1".to_owned());
    client.request_timeout = Duration::from_secs(1);
    let config = ProducerConfig { client, buffer_memory: 300, ..ProducerConfig::default() };
    let producer = Producer::new(&env, config, 0).unwrap();
    let _first = producer.send("t", None, value(0)).await;
    let _second = producer.send("t", None, value(1)).await;
    let deadline = env.clock().now() + Duration::from_millis(50);
    let third = env.clock().timeout_at(deadline, producer.send("t", None, value(2))).await;
    assert!(third.is_none());
}

#[tokio::test]
async fn topics_are_administered() {
    let env = TokioEnv::new().unwrap();
    let broker = FakeBroker::start(&env).await;
    let mut admin = Admin::new(&env, client(broker.server()), 0).unwrap();
    let created = admin.create_topics(&[NewTopic::new("a", 3, 1)], false).await.unwrap();
    assert_eq!(created[0].1.as_ref().unwrap().partitions, 3);
    let again = admin.create_topics(&[NewTopic::new("a", 3, 1)], false).await.unwrap();
    assert_eq!(again[0].1.as_ref().unwrap_err().code(), Some(ErrorCode::TopicAlreadyExists));
    let topics = admin.list_topics().await.unwrap();
    assert_eq!(topics["a"].partitions.len(), 3);
    let configs = admin.describe_configs(&ConfigResource::Topic("a".to_owned())).await.unwrap();
    assert_eq!(configs[0].name, "cleanup.policy");
    let unknown = admin.describe_topics(&["b".to_owned()]).await.unwrap();
    let error = unknown[0].1.as_ref().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition));
    let deleted = admin.delete_topics(&["a".to_owned()]).await.unwrap();
    assert_eq!(deleted, [("a".to_owned(), Ok(()))]);
    let cluster = admin.describe_cluster().await.unwrap();
    assert_eq!(cluster.brokers.len(), 1, "without the API for it, metadata tell");
    let unsupported = admin.create_partitions(&[("a".to_owned(), 5)]).await;
    assert!(matches!(unsupported, Err(AdminError::Unsupported(_))), "{unsupported:?}");
}

#[tokio::test]
async fn nobody_there_is_said_when_time_is_over() {
    let env = TokioEnv::new().unwrap();
    let mut config = client("127.0.0.1:1".to_owned());
    config.default_api_timeout = Duration::from_millis(100);
    let mut admin = Admin::new(&env, config, 0).unwrap();
    let error = admin.list_topics().await.unwrap_err();
    assert!(matches!(&error, AdminError::Unreachable(text) if text.contains("refused")), "{error}");
}

#[tokio::test]
async fn a_consumer_finds_offsets_and_missing_topics() {
    let env = TokioEnv::new().unwrap();
    let broker = FakeBroker::start(&env).await;
    broker.create("t", 2);
    let producer = Producer::new(&env, producer_config(&broker), 0).unwrap();
    for index in 0..3 {
        producer.send("t", Some(1), value(index)).await.await.unwrap();
    }
    let config = ConsumerConfig {
        client: client(broker.server()),
        allow_auto_create_topics: false,
        auto_offset_reset: OffsetReset::None,
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::new(&env, config, 0).unwrap();
    let second = Duration::from_secs(1);
    assert_eq!(consumer.partitions("t", second).await, Ok(vec![0, 1]));
    assert!(consumer.partitions("missing", second).await.is_err());
    let partitions = [TopicPartition::new("t", 0), TopicPartition::new("t", 1)];
    let ends = consumer.end_offsets(&partitions, second).await.unwrap();
    assert_eq!(ends.values().copied().collect::<Vec<_>>(), [Offset(0), Offset(3)]);
    consumer.assign(partitions[1].clone(), Start::Offset(Offset(2)));
    let mut records = Vec::new();
    while records.is_empty() {
        records = consumer.poll(second).await.unwrap();
    }
    assert_eq!((records.len(), records[0].offset), (1, Offset(2)));
    assert_eq!(consumer.position(&partitions[1]), Some(Offset(3)));
    consumer.assign(partitions[1].clone(), Start::Offset(Offset(50)));
    let error = loop {
        if let Err(error) = consumer.poll(second).await {
            break error;
        }
    };
    assert!(error.to_string().contains("out of range"), "{error}");
}
