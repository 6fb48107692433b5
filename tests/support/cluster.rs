//! Three nodes on real sockets, in the test's own process.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use ottla::client::admin::{Admin, AlterConfig, ConfigResource, NewTopic};
use ottla::client::config::{ClientConfig, ProducerConfig};
use ottla::client::connection::Connection;
use ottla::client::metadata::Partition;
use ottla::client::producer::{Producer, ProducerRecord};
use ottla::config::Texts;
use ottla::config::server::ServerConfig;
use ottla::env::tokio::TokioEnv;
use ottla::env::{Clock as _, Env as _};
use ottla::error_code::ErrorCode;
use ottla::node::ReplicaSnapshot;
use ottla::types::{BrokerId, Offset};
use tempfile::TempDir;

use crate::node::TestNode;

/// Longer than an election takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) const NODES: usize = 3;

/// Up to three nodes. Those that are down have kept their directories.
pub(crate) struct Cluster {
    voters: String,
    ports: Vec<u16>,
    dirs: Vec<TempDir>,
    pub(crate) nodes: Vec<Option<TestNode>>,
    /// Configuration beside what all clusters have.
    extra: Vec<(String, String)>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(extra: &[(&str, &str)]) -> Self {
        // All at once, so that they differ.
        let sockets: Vec<_> = (0..NODES).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        drop(sockets);
        let voters: Vec<String> =
            ports.iter().enumerate().map(|(index, port)| format!("{}@127.0.0.1:{port}", index + 1)).collect();
        let dirs: Vec<_> = (0..NODES).map(|_| tempfile::tempdir().unwrap()).collect();
        let extra = extra.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        let mut cluster = Self { voters: voters.join(","), ports, dirs, nodes: Vec::new(), extra };
        // None is ready before the quorum is there.
        let (first, second, third) = tokio::join!(cluster.open(0), cluster.open(1), cluster.open(2));
        cluster.nodes = vec![Some(first), Some(second), Some(third)];
        cluster
    }

    pub(crate) async fn open(&self, index: usize) -> TestNode {
        TestNode::try_start(self.config(index, self.dirs[index].path())).await.unwrap()
    }

    fn config(&self, index: usize, dir: &Path) -> ServerConfig {
        ServerConfig::parse(self.texts(index, dir)).unwrap().0
    }

    /// A node's configuration in `dir`, with `changes`.
    pub(crate) fn config_with(&self, index: usize, dir: &Path, changes: &[(&str, &str)]) -> ServerConfig {
        let mut texts = self.texts(index, dir);
        texts.extend(changes.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())));
        ServerConfig::parse(texts).unwrap().0
    }

    fn texts(&self, index: usize, dir: &Path) -> Texts {
        let listeners = format!("PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:{}", self.ports[index]);
        let id = (index + 1).to_string();
        let rack = format!("rack-{id}");
        let settings = [
            ("broker.rack", rack.as_str()),
            ("process.roles", "broker,controller"),
            ("node.id", &id),
            ("controller.quorum.voters", &self.voters),
            ("controller.listener.names", "CONTROLLER"),
            ("listeners", &listeners),
            ("log.dirs", dir.to_str().unwrap()),
            ("broker.heartbeat.interval.ms", "200"),
            ("broker.session.timeout.ms", "2000"),
            ("replica.lag.time.max.ms", "3000"),
            ("replica.fetch.backoff.ms", "200"),
        ];
        let mut texts: Texts =
            settings.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        texts.extend(self.extra.iter().cloned());
        texts
    }

    pub(crate) fn crash(&mut self, index: usize) {
        self.nodes[index].take().unwrap().crash();
    }

    pub(crate) async fn stop(&mut self, index: usize) {
        self.nodes[index].take().unwrap().shutdown().await;
    }

    pub(crate) async fn restart(&mut self, index: usize) {
        assert!(self.nodes[index].is_none());
        self.nodes[index] = Some(self.open(index).await);
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &TestNode> {
        self.nodes.iter().flatten()
    }

    pub(crate) fn client(&self) -> ClientConfig {
        ClientConfig {
            bootstrap_servers: self.running().map(|node| node.address.to_string()).collect(),
            default_api_timeout: PATIENCE,
            ..self.running().next().unwrap().client()
        }
    }

    pub(crate) fn admin(&self) -> Admin<TokioEnv> {
        Admin::new(&TokioEnv::new().unwrap(), self.client(), 0).unwrap()
    }

    pub(crate) async fn create(&self, topic: &str, configs: &[(&str, &str)]) {
        self.create_spread(topic, 1, NODES, configs).await;
    }

    pub(crate) async fn create_spread(
        &self,
        topic: &str,
        partitions: i32,
        replicas: usize,
        configs: &[(&str, &str)],
    ) {
        let mut topic = NewTopic::new(topic, partitions, replicas as i16);
        topic.configs = configs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        let created = self.admin().create_topics(&[topic], false).await.unwrap();
        assert!(created.iter().all(|(_, outcome)| outcome.is_ok()), "{created:?}");
    }

    /// Sets a config: of a topic, or of all brokers.
    pub(crate) async fn set(&self, of: ConfigResource, name: &str, value: &str) {
        let change = (name.to_owned(), AlterConfig::Set(value.to_owned()));
        self.admin().incremental_alter_configs(&of, &[change]).await.unwrap();
    }

    /// Sends numbered records, and returns when all of them are acknowledged.
    pub(crate) async fn produce(&self, topic: &str, numbers: std::ops::Range<usize>) {
        let config =
            ProducerConfig { client: self.client(), delivery_timeout: PATIENCE, ..ProducerConfig::default() };
        let producer = Producer::new(&TokioEnv::new().unwrap(), config, numbers.start as u64).unwrap();
        let mut deliveries = Vec::new();
        for number in numbers {
            deliveries.push(producer.send(topic, Some(0), ProducerRecord::value(number.to_string())).await);
        }
        for delivery in deliveries {
            if let Err(error) = delivery.await {
                let partition = self.partition(topic).await;
                panic!("{error:?}: {partition:?}, {:?}", self.replicas(topic));
            }
        }
    }

    /// The partition as some node tells of it, once that has heard of its topic.
    pub(crate) async fn partition(&self, topic: &str) -> Partition {
        for _ in 0..PATIENCE.as_millis() / 50 {
            let described = self.admin().describe_topics(&[topic.to_owned()]).await.unwrap();
            match described.into_iter().next().unwrap().1 {
                Ok(topic) => return topic.partitions[&0].clone(),
                Err(error) => assert_eq!(error.code(), Some(ErrorCode::UnknownTopicOrPartition), "{error}"),
            }
            pause().await;
        }
        panic!("nobody has heard of {topic}");
    }

    /// The place of the partition's leader.
    pub(crate) async fn leader(&self, topic: &str) -> usize {
        let is_led = |partition: &Partition| partition.leader.is_some();
        let BrokerId(id) = self.wait_for(topic, is_led).await.leader.unwrap();
        let place = usize::try_from(id).unwrap() - 1;
        if let Some(node) = &self.nodes[place] {
            let name = format!("{topic}-0");
            let knows = || node.replicas().iter().any(|replica| replica.name == name);
            wait_until("the leader knows that it leads", knows).await;
        }
        place
    }

    pub(crate) async fn wait_for(&self, topic: &str, is_so: impl Fn(&Partition) -> bool) -> Partition {
        let mut last = None;
        for _ in 0..PATIENCE.as_millis() / 50 {
            let partition = self.partition(topic).await;
            if is_so(&partition) {
                return partition;
            }
            last = Some(partition);
            pause().await;
        }
        panic!("it does not come to that: {last:?}, {:?}", self.replicas(topic));
    }

    /// A connection to a node that runs.
    pub(crate) async fn connect(&self, index: usize) -> Connection<TokioEnv> {
        self.nodes[index].as_ref().unwrap().connect().await
    }

    /// A connection to a node's controller.
    pub(crate) async fn connect_controller(&self, index: usize) -> Connection<TokioEnv> {
        let env = TokioEnv::new().unwrap();
        Connection::open(&env, "127.0.0.1", self.ports[index], &self.client()).await.unwrap()
    }

    /// The ports of the controllers.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        self.ports.iter().copied()
    }

    /// The names in a node's directory that begin with `prefix`.
    pub(crate) fn names(&self, index: usize, prefix: &str) -> Vec<String> {
        names_in(self.dirs[index].path(), prefix)
    }

    /// The offsets at which the segments of a node's metadata log begin.
    pub(crate) fn metadata_segments(dir: &Path) -> Vec<i64> {
        let names = names_in(&dir.join("__cluster_metadata-0"), "");
        let offsets = names.iter().filter_map(|name| name.strip_suffix(".log")?.parse().ok());
        offsets.collect()
    }

    /// The directory of a node.
    pub(crate) fn dir(&self, index: usize) -> &Path {
        self.dirs[index].path()
    }

    /// Starts one that is a broker and nothing else.
    pub(crate) async fn open_broker(&self, id: i32, dir: &Path) -> TestNode {
        let mut texts = self.texts(0, dir);
        for (key, value) in [
            ("process.roles", "broker"),
            ("node.id", &id.to_string()),
            ("listeners", "PLAINTEXT://127.0.0.1:0"),
        ] {
            texts.insert(key.to_owned(), value.to_owned());
        }
        TestNode::try_start(ServerConfig::parse(texts).unwrap().0).await.unwrap()
    }

    /// The partition's replicas on the nodes that run.
    pub(crate) fn replicas(&self, topic: &str) -> Vec<ReplicaSnapshot> {
        let name = format!("{topic}-0");
        self.running().flat_map(TestNode::replicas).filter(|replica| replica.name == name).collect()
    }

    /// Waits until every running replica ends here, and knows that all of it is committed.
    pub(crate) async fn wait_until_all_have(&self, topic: &str, end: i64) {
        let has_all = |replica: &ReplicaSnapshot| {
            let positions = replica.positions;
            positions.log_end.offset() == Offset(end) && positions.high_watermark.offset() == Offset(end)
        };
        for _ in 0..PATIENCE.as_millis() / 50 {
            let replicas = self.replicas(topic);
            if replicas.len() == self.running().count() && replicas.iter().all(has_all) {
                return;
            }
            pause().await;
        }
        panic!("they do not all get to {end}: {:?}", self.replicas(topic));
    }

    /// That a consumer finds exactly these records.
    pub(crate) async fn check(&self, topic: &str, count: usize) {
        let leader = self.leader(topic).await;
        let found = self.nodes[leader].as_ref().unwrap().read(topic).await;
        let expected: Vec<_> = (0..count).map(|number| (number as i64, number.to_string().into())).collect();
        assert_eq!(found, expected);
    }
}

pub(crate) async fn pause() {
    TokioEnv::new().unwrap().clock().sleep(Duration::from_millis(50)).await;
}

fn names_in(dir: &Path, prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(prefix)).collect()
}

pub(crate) async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..PATIENCE.as_millis() / 50 {
        if is_so() {
            return;
        }
        pause().await;
    }
    panic!("it does not come to that: {what}");
}
