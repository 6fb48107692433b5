//! Three nodes on real sockets: what is acknowledged is on all of them, and survives the loss of its leader.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

#[path = "support/command.rs"]
mod command;
#[path = "support/node.rs"]
mod node;

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use node::{TestNode, batch, produce_request};
use ottla::client::admin::{Admin, NewTopic};
use ottla::client::config::{ClientConfig, ProducerConfig};
use ottla::client::metadata::Partition;
use ottla::client::producer::{Producer, ProducerRecord};
use ottla::config::Texts;
use ottla::config::server::ServerConfig;
use ottla::env::tokio::TokioEnv;
use ottla::env::{Clock as _, Env as _};
use ottla::node::ReplicaSnapshot;
use ottla::types::{BrokerId, Offset};
use tempfile::TempDir;

/// Longer than an election takes.
const PATIENCE: Duration = Duration::from_secs(40);

const NODES: usize = 3;

/// Up to three nodes. Those that are down have kept their directories.
struct Cluster {
    voters: String,
    ports: Vec<u16>,
    dirs: Vec<TempDir>,
    nodes: Vec<Option<TestNode>>,
}

impl Cluster {
    async fn start() -> Self {
        // All at once, so that they differ.
        let sockets: Vec<_> = (0..NODES).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        drop(sockets);
        let voters: Vec<String> =
            ports.iter().enumerate().map(|(index, port)| format!("{}@127.0.0.1:{port}", index + 1)).collect();
        let dirs: Vec<_> = (0..NODES).map(|_| tempfile::tempdir().unwrap()).collect();
        let mut cluster = Self { voters: voters.join(","), ports, dirs, nodes: Vec::new() };
        // None is ready before the quorum is there.
        let (first, second, third) = tokio::join!(cluster.open(0), cluster.open(1), cluster.open(2));
        cluster.nodes = vec![Some(first), Some(second), Some(third)];
        cluster
    }

    async fn open(&self, index: usize) -> TestNode {
        TestNode::try_start(self.config(index, self.dirs[index].path())).await.unwrap()
    }

    fn config(&self, index: usize, dir: &Path) -> ServerConfig {
        let listeners = format!("PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:{}", self.ports[index]);
        let id = (index + 1).to_string();
        let settings = [
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
        let texts: Texts = settings.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        ServerConfig::parse(texts).unwrap().0
    }

    fn crash(&mut self, index: usize) {
        self.nodes[index].take().unwrap().crash();
    }

    async fn stop(&mut self, index: usize) {
        self.nodes[index].take().unwrap().shutdown().await;
    }

    async fn restart(&mut self, index: usize) {
        assert!(self.nodes[index].is_none());
        self.nodes[index] = Some(self.open(index).await);
    }

    fn running(&self) -> impl Iterator<Item = &TestNode> {
        self.nodes.iter().flatten()
    }

    fn client(&self) -> ClientConfig {
        ClientConfig {
            bootstrap_servers: self.running().map(|node| node.address.to_string()).collect(),
            default_api_timeout: PATIENCE,
            ..self.running().next().unwrap().client()
        }
    }

    fn admin(&self) -> Admin<TokioEnv> {
        Admin::new(&TokioEnv::new().unwrap(), self.client(), 0).unwrap()
    }

    async fn create(&self, topic: &str, configs: &[(&str, &str)]) {
        let mut topic = NewTopic::new(topic, 1, NODES as i16);
        topic.configs = configs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        let created = self.admin().create_topics(&[topic], false).await.unwrap();
        assert!(created.iter().all(|(_, outcome)| outcome.is_ok()), "{created:?}");
    }

    /// Sends numbered records, and returns when all of them are acknowledged.
    async fn produce(&self, topic: &str, numbers: std::ops::Range<usize>) {
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

    async fn partition(&self, topic: &str) -> Partition {
        let described = self.admin().describe_topics(&[topic.to_owned()]).await.unwrap();
        described.into_iter().next().unwrap().1.unwrap().partitions[&0].clone()
    }

    /// The place of the partition's leader.
    async fn leader(&self, topic: &str) -> usize {
        let is_led = |partition: &Partition| partition.leader.is_some();
        let BrokerId(id) = self.wait_for(topic, is_led).await.leader.unwrap();
        usize::try_from(id).unwrap() - 1
    }

    async fn wait_for(&self, topic: &str, is_so: impl Fn(&Partition) -> bool) -> Partition {
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

    /// The partition's replicas on the nodes that run.
    fn replicas(&self, topic: &str) -> Vec<ReplicaSnapshot> {
        let name = format!("{topic}-0");
        self.running().flat_map(TestNode::replicas).filter(|replica| replica.name == name).collect()
    }

    /// Waits until every running replica ends here, and knows that all of it is committed.
    async fn wait_until_all_have(&self, topic: &str, end: i64) {
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
    async fn check(&self, topic: &str, count: usize) {
        let leader = self.leader(topic).await;
        let found = self.nodes[leader].as_ref().unwrap().read(topic).await;
        let expected: Vec<_> = (0..count).map(|number| (number as i64, number.to_string().into())).collect();
        assert_eq!(found, expected);
    }
}

async fn pause() {
    TokioEnv::new().unwrap().clock().sleep(Duration::from_millis(50)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_survives_its_leader() {
    let mut cluster = Cluster::start().await;
    cluster.create("t", &[("min.insync.replicas", "2")]).await;
    cluster.produce("t", 0..200).await;
    cluster.wait_until_all_have("t", 200).await;

    let first = cluster.leader("t").await;
    let epoch = cluster.partition("t").await.leader_epoch;
    cluster.crash(first);
    cluster.produce("t", 200..300).await;
    let second = cluster.leader("t").await;
    assert_ne!(second, first, "another leads");
    let partition = cluster.partition("t").await;
    assert!(partition.leader_epoch > epoch, "{partition:?}");
    cluster.wait_until_all_have("t", 300).await;
    cluster.check("t", 300).await;

    cluster.restart(first).await;
    cluster.wait_for("t", |partition| partition.isr.len() == NODES).await;
    cluster.wait_until_all_have("t", 300).await;

    // A clean stop hands over, and the one that was away leads as well as another.
    let leader = cluster.leader("t").await;
    cluster.stop(leader).await;
    cluster.produce("t", 300..350).await;
    cluster.restart(leader).await;
    cluster.wait_for("t", |partition| partition.isr.len() == NODES).await;
    cluster.wait_until_all_have("t", 350).await;
    cluster.check("t", 350).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_has_what_nobody_acknowledged_cuts_it_off() {
    let mut cluster = Cluster::start().await;
    // Two in sync are needed: so the others are eligible, and the leader commits nothing alone.
    cluster.create("t", &[("min.insync.replicas", "2")]).await;
    cluster.produce("t", 0..20).await;
    cluster.wait_until_all_have("t", 20).await;
    // The leader alone appends more, which the others never hear of.
    let leader = cluster.leader("t").await;
    for other in (0..NODES).filter(|other| *other != leader) {
        cluster.crash(other);
    }
    let node = cluster.nodes[leader].as_ref().unwrap();
    let connection = node.connect().await;
    let deadline = connection.env().clock().now() + PATIENCE;
    let lost = connection.start(&produce_request(1, vec![("t", 0, batch(&["lost"]))]), 12, deadline);
    assert_eq!(lost.unwrap().wait().await.unwrap().responses[0].partition_responses[0].error_code, 0);
    assert_eq!(cluster.replicas("t")[0].positions.log_end.offset(), Offset(21));
    assert_eq!(cluster.replicas("t")[0].positions.high_watermark.offset(), Offset(20));
    drop(connection);
    cluster.crash(leader);

    let others: Vec<usize> = (0..NODES).filter(|other| *other != leader).collect();
    let (first, second) = tokio::join!(cluster.open(others[0]), cluster.open(others[1]));
    (cluster.nodes[others[0]], cluster.nodes[others[1]]) = (Some(first), Some(second));
    cluster.produce("t", 20..30).await;
    cluster.restart(leader).await;
    cluster.wait_for("t", |partition| partition.isr.len() == NODES).await;
    cluster.wait_until_all_have("t", 30).await;
    cluster.check("t", 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_tells_what_is_wrong_and_why() {
    let env = TokioEnv::new().unwrap();
    let mut cluster = Cluster::start().await;
    cluster.create("t", &[("min.insync.replicas", "2")]).await;
    cluster.produce("t", 0..20).await;
    cluster.wait_until_all_have("t", 20).await;
    let server = |cluster: &Cluster| cluster.running().next().unwrap().address.to_string();
    let well = command::ottla(&env, &server(&cluster), "cluster status", "").await;
    assert!(
        well.stdout
            .ends_with("1 topic with 1 partition: each has its leader, and all its replicas are in sync\n")
    );
    assert!(well.ok && well.stderr.is_empty(), "{}", well.stderr);
    let described = command::ottla(&env, &server(&cluster), "topics describe t", "").await;
    for id in 1..=NODES {
        let row = described
            .stdout
            .lines()
            .find(|line| line.starts_with(&format!("0          {id}        ")))
            .unwrap();
        let words: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(words[words.len() - 3..], ["0", "20", "20"], "{}", described.stdout);
    }

    // One is gone: its replicas are missing, and the reason is told.
    let leader = cluster.leader("t").await;
    let gone = (leader + 1) % NODES;
    cluster.crash(gone);
    cluster.wait_for("t", |partition| partition.isr.len() == NODES - 1).await;
    let id = gone + 1;
    let reason = format!(
        "\n1 partition is under-replicated\n  replica {id} is out of the ISR: broker {id} is fenced\n    t  0\n"
    );
    let mut status = String::new();
    // The leader may notice before the controller does, all the more if that has to be elected first.
    for _ in 0..PATIENCE.as_millis() / 50 {
        status = command::ottla(&env, &server(&cluster), "cluster status", "").await.stdout;
        if status.ends_with(&reason) {
            break;
        }
        pause().await;
    }
    assert!(status.ends_with(&reason), "{status}");
    let described = command::ottla(&env, &server(&cluster), "topics describe t", "").await;
    assert!(described.stdout.contains(&format!("broker {id} is fenced")), "{}", described.stdout);

    // So is the quorum: what is left says what it knows.
    cluster.crash(leader);
    let status = command::ottla(&env, &server(&cluster), "cluster status", "").await;
    assert!(status.ok, "{}", status.stderr);
    assert!(status.stdout.contains("\nthe quorum has no leader that answers: "), "{}", status.stdout);
    assert!(
        status.stdout.contains(&format!("\nbroker {} is not fenced, but", leader + 1)),
        "{}",
        status.stdout
    );
}
