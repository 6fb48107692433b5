//! A node of its own for a test: on loopback, in a directory that goes with it, in a runtime that can be
//! killed as a process is.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Runtime;

use ottla::client::admin::{Admin, NewTopic};
use ottla::client::config::{ClientConfig, ConsumerConfig};
use ottla::client::connection::Connection;
use ottla::client::consumer::{Consumer, Start, TopicPartition};
use ottla::config::server::{ServerConfig, single_broker};
use ottla::env::tokio::TokioEnv;
use ottla::env::{Clock as _, Env};
use ottla::node::{self, Node, ReplicaSnapshot};
use ottla::types::{ProducerEpoch, ProducerId};
use ottla::wire::Request;
use ottla::wire::batch_builder::{BatchBuilder, BatchOptions, NewRecord};
use ottla::wire::compression::Scratch;
use ottla::wire::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, TopicProduceData,
};

/// The last versions of Produce and Fetch that name topics.
const NAMED: i16 = 12;

/// Longer than anything takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// The configuration of a node in `dir`, with `extra` over the defaults.
pub(crate) fn config(dir: &Path, extra: &[(&str, &str)]) -> ServerConfig {
    config_on("127.0.0.1:0", dir, extra)
}

pub(crate) fn config_on(listen: &str, dir: &Path, extra: &[(&str, &str)]) -> ServerConfig {
    let mut texts = single_broker(listen, 0, dir.to_str().unwrap());
    texts.extend(extra.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())));
    ServerConfig::parse(texts).unwrap().0
}

/// A node at work. Dropping it is a crash.
pub(crate) struct TestNode {
    node: Option<Node<TokioEnv>>,
    runtime: Option<Runtime>,
    pub(crate) address: SocketAddr,
}

impl TestNode {
    /// Starts a node with the defaults in a directory, which is formatted if need be.
    pub(crate) async fn start(dir: &Path) -> Self {
        Self::try_start(config(dir, &[])).await.unwrap()
    }

    pub(crate) async fn try_start(config: ServerConfig) -> Result<Self, String> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(2).enable_all().build().unwrap();
        let started = runtime.spawn(async move {
            let env = TokioEnv::new().unwrap();
            if !node::is_formatted(&env, &config).await.unwrap() {
                node::format(&env, &config, "test-cluster-id-000000").await.unwrap();
            }
            node::start(env, config).await
        });
        match started.await.unwrap() {
            Ok(node) => {
                let address = SocketAddr::from(([127, 0, 0, 1], node.addresses()[0].port()));
                Ok(Self { node: Some(node), runtime: Some(runtime), address })
            }
            Err(error) => {
                runtime.shutdown_background();
                Err(error.to_string())
            }
        }
    }

    pub(crate) async fn shutdown(mut self) {
        let (node, runtime) = (self.node.take().unwrap(), self.runtime.as_ref().unwrap());
        runtime.spawn(node.shutdown()).await.unwrap().unwrap();
    }

    /// Its replicas.
    pub(crate) fn replicas(&self) -> Vec<ReplicaSnapshot> {
        self.node.as_ref().unwrap().snapshot()
    }

    /// Stops everything where it stands.
    pub(crate) fn crash(self) {
        drop(self);
    }

    pub(crate) fn client(&self) -> ClientConfig {
        ClientConfig {
            bootstrap_servers: vec![self.address.to_string()],
            default_api_timeout: PATIENCE,
            retry_backoff: Duration::from_millis(5),
            reconnect_backoff: Duration::from_millis(5),
            ..ClientConfig::default()
        }
    }

    pub(crate) async fn connect(&self) -> Connection<TokioEnv> {
        let env = TokioEnv::new().unwrap();
        Connection::open(&env, "127.0.0.1", self.address.port(), &self.client()).await.unwrap()
    }

    pub(crate) fn admin(&self) -> Admin<TokioEnv> {
        Admin::new(&TokioEnv::new().unwrap(), self.client(), 0).unwrap()
    }

    pub(crate) async fn create(&self, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
        let mut topic = NewTopic::new(topic, partitions, 1);
        topic.configs = configs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        let created = self.admin().create_topics(&[topic], false).await.unwrap();
        assert!(created.iter().all(|(_, outcome)| outcome.is_ok()), "{created:?}");
    }

    pub(crate) fn consumer(&self) -> Consumer<TokioEnv> {
        let config = ConsumerConfig { client: self.client(), ..ConsumerConfig::default() };
        Consumer::new(&TokioEnv::new().unwrap(), config, 0).unwrap()
    }

    /// Everything in partition 0 of a topic, to its end.
    pub(crate) async fn read(&self, topic: &str) -> Vec<(i64, Bytes)> {
        let partition = TopicPartition::new(topic, 0);
        let mut consumer = self.consumer();
        let ends = consumer.end_offsets(std::slice::from_ref(&partition), PATIENCE).await.unwrap();
        consumer.assign(partition.clone(), Start::Earliest);
        let mut all = Vec::new();
        for _ in 0..10_000 {
            if consumer.position(&partition).is_some_and(|position| position >= ends[&partition]) {
                return all;
            }
            let records = consumer.poll(Duration::from_millis(20)).await.unwrap();
            all.extend(records.into_iter().map(|record| (record.offset.0, record.value.unwrap())));
        }
        panic!("the end of {topic} is not reached: {:?}", consumer.trouble());
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        let runtime = self.runtime.take().expect("dropped once");
        // Not here: a runtime must not wait inside another one. When it has ended, nothing of it runs any more.
        #[expect(
            clippy::disallowed_methods,
            reason = "no simulator is near, and a runtime ends only outside another"
        )]
        let end = std::thread::spawn(move || runtime.shutdown_timeout(PATIENCE));
        end.join().unwrap();
        drop(self.node.take());
    }
}

/// Sends a request and waits for its answer.
pub(crate) async fn call<E: Env, R: Request>(connection: &Connection<E>, request: &R) -> R::Response {
    call_at(connection, request, NAMED).await
}

/// The same in this version at most.
pub(crate) async fn call_at<E: Env, R: Request>(
    connection: &Connection<E>,
    request: &R,
    version: i16,
) -> R::Response {
    let deadline = connection.env().clock().now() + PATIENCE;
    connection.start(request, version, deadline).unwrap().wait().await.unwrap()
}

/// A batch of a plain producer.
pub(crate) fn batch(values: &[&str]) -> Bytes {
    build(values, 1_000_000, BatchOptions::default())
}

/// A batch of an idempotent producer.
pub(crate) fn numbered(values: &[&str], producer_id: i64, base_sequence: i32) -> Bytes {
    let (producer_id, producer_epoch) = (ProducerId(producer_id), ProducerEpoch(0));
    build(
        values,
        1_000_000,
        BatchOptions { producer_id, producer_epoch, base_sequence, ..BatchOptions::default() },
    )
}

/// A batch of a record at this time.
pub(crate) fn dated(value: &str, timestamp: i64) -> Bytes {
    build(&[value], timestamp, BatchOptions::default())
}

fn build(values: &[&str], timestamp: i64, options: BatchOptions) -> Bytes {
    let mut builder = BatchBuilder::new();
    for value in values {
        builder.add(&NewRecord { timestamp, key: None, value: Some(value.as_bytes()), headers: &[] });
    }
    builder.finish(&options, &mut Scratch::default())
}

pub(crate) fn produce_request(acks: i16, batches: Vec<(&str, i32, Bytes)>) -> ProduceRequest {
    let data = |(name, index, records): (&str, i32, Bytes)| TopicProduceData {
        name: name.to_owned(),
        partition_data: vec![PartitionProduceData { index, records: Some(records) }],
        ..TopicProduceData::default()
    };
    let topic_data = batches.into_iter().map(data).collect();
    ProduceRequest { acks, timeout_ms: 5_000, topic_data, ..ProduceRequest::default() }
}

/// Appends batches with acks=all; the answers in their order.
pub(crate) async fn produce(
    connection: &Connection<TokioEnv>,
    batches: Vec<(&str, i32, Bytes)>,
) -> Vec<PartitionProduceResponse> {
    let response = call(connection, &produce_request(-1, batches)).await;
    response.responses.into_iter().flat_map(|topic| topic.partition_responses).collect()
}

/// Appends one batch to partition 0 and says where.
pub(crate) async fn append(connection: &Connection<TokioEnv>, topic: &str, batch: Bytes) -> i64 {
    let answers = produce(connection, vec![(topic, 0, batch)]).await;
    assert_eq!(answers[0].error_code, 0, "{answers:?}");
    answers[0].base_offset
}
