//! What clients and operators see of disks that fail: a sync that fails, a disk that is full, in the only log
//! directory and in one of two.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

#[path = "support/faulty.rs"]
mod faulty;
#[path = "support/node.rs"]
mod support;

use std::pin::pin;
use std::time::Duration;

use faulty::FaultyEnv;
use ottla::client::admin::{Admin, NewTopic};
use ottla::client::config::ClientConfig;
use ottla::client::connection::Connection;
use ottla::config::server::{ServerConfig, single_broker};
use ottla::env::{Clock as _, Env as _};
use ottla::error_code::ErrorCode;
use ottla::node::{self, Node};
use ottla::types::Offset;
use ottla::wire::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use ottla::wire::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ottla::wire::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use ottla::wire::messages::offset_for_leader_epoch::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use ottla::wire::messages::produce::ProduceRequest;
use ottla_sim::engine::{Limits, NodeId};
use ottla_sim::env::SimEnv;
use ottla_sim::net::Net;
use ottla_sim::trace::Keep;
use ottla_sim::world::{World, simulate};
use support::{PATIENCE, batch, call, produce_request};

const BROKER: NodeId = NodeId(1);
const CLIENT: NodeId = NodeId(2);
const PORT: u16 = 9092;
const FAILED: i16 = ErrorCode::KafkaStorageError.code();

/// Runs a test in a world of its own.
fn run<F: Future<Output = ()> + Send + 'static>(test: impl FnOnce(World) -> F + Send) {
    simulate(1, Limits::default(), Keep::Nothing, test).outcome.unwrap_or_else(|stop| panic!("{stop}"));
}

/// A node whose disk can fail, and a client.
struct Cluster {
    disk: FaultyEnv<SimEnv>,
    node: Node<FaultyEnv<SimEnv>>,
    client: SimEnv,
}

impl Cluster {
    async fn start(world: &World, dirs: &str) -> Self {
        let host = Net::address_of(BROKER).to_string();
        let mut texts = single_broker(&format!("{host}:{PORT}"), 9093, dirs);
        texts.insert("log.dirs".to_owned(), dirs.to_owned());
        let config = ServerConfig::parse(texts).unwrap().0;
        let disk = FaultyEnv::new(world.env(BROKER));
        if !node::is_formatted(&disk, &config).await.unwrap() {
            node::format(&disk, &config, "test-cluster-id-000000").await.unwrap();
        }
        let node = node::start(disk.clone(), config).await.unwrap();
        Self { disk, node, client: world.env(CLIENT) }
    }

    fn admin(&self) -> Admin<SimEnv> {
        let server = format!("{}:{PORT}", Net::address_of(BROKER));
        let config = ClientConfig { bootstrap_servers: vec![server], ..ClientConfig::default() };
        Admin::new(&self.client, config, 0).unwrap()
    }

    async fn create(&self, topic: &str, partitions: i32) {
        let created = self.admin().create_topics(&[NewTopic::new(topic, partitions, 1)], false).await;
        assert!(created.unwrap().iter().all(|(_, outcome)| outcome.is_ok()));
    }

    async fn connect(&self) -> Connection<SimEnv> {
        let host = Net::address_of(BROKER).to_string();
        Connection::open(&self.client, &host, PORT, &ClientConfig::default()).await.unwrap()
    }

    /// In which directory a partition lies.
    fn place(&self, name: &str) -> String {
        let snapshot = self.node.snapshot();
        let replica = snapshot.iter().find(|replica| replica.name == name).unwrap();
        replica.path.parent().unwrap().display().to_string()
    }

    /// Why the node stops.
    async fn failure(&mut self) -> String {
        let deadline = self.client.clock().now() + PATIENCE;
        let failed = self.client.clock().clone().timeout_at(deadline, self.node.failed()).await;
        failed.expect("the node goes on").to_string()
    }
}

/// Appends a record to a partition: the error code.
async fn append(connection: &Connection<SimEnv>, acks: i16, topic: &str, index: i32) -> i16 {
    let response = call(connection, &produce_request(acks, vec![(topic, index, batch(&["x"]))])).await;
    response.responses[0].partition_responses[0].error_code
}

#[test]
fn a_failed_sync_fails_all_who_wait_and_the_node_with_its_only_directory() {
    run(|world| async move {
        let mut cluster = Cluster::start(&world, "/one").await;
        cluster.create("t", 1).await;
        let connection = cluster.connect().await;
        assert_eq!(append(&connection, -1, "t", 0).await, 0);
        cluster.disk.break_syncs("/one");
        let deadline = cluster.client.clock().now() + PATIENCE;
        let start = |acks| {
            let request = produce_request(acks, vec![("t", 0, batch(&["y"]))]);
            connection.start(&request, 12, deadline).unwrap()
        };
        for call in [start(-1), start(1), start(-1)] {
            let response = call.wait().await.unwrap();
            assert_eq!(response.responses[0].partition_responses[0].error_code, FAILED);
        }
        let failure = cluster.failure().await;
        for words in ["/one", "t-0", "sync", "the node cannot go on without it"] {
            assert!(failure.contains(words), "{words}: {failure}");
        }
        // Nothing is tried again on a disk of which nobody knows anything.
        assert_eq!(append(&connection, -1, "t", 0).await, FAILED);
        drop(cluster);
        world.crash(BROKER);
        world.crash(CLIENT);

        let cluster = Cluster::start(&world, "/one").await;
        let end = cluster.node.snapshot()[0].positions.high_watermark.offset();
        assert!(end >= Offset(1), "what was acknowledged is there");
        assert_eq!(append(&cluster.connect().await, -1, "t", 0).await, 0);
    });
}

/// The time that a Produce grants is for the other replicas; here there are none.
#[test]
fn the_leaders_own_sync_is_waited_for_whatever_the_timeout() {
    run(|world| async move {
        let cluster = Cluster::start(&world, "/one").await;
        cluster.create("t", 1).await;
        let connection = cluster.connect().await;
        for (acks, timeout_ms) in [(-1, 0), (1, 0), (-1, -1)] {
            let request = produce_request(acks, vec![("t", 0, batch(&["x"]))]);
            let response = call(&connection, &ProduceRequest { timeout_ms, ..request }).await;
            assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
        }
        assert_eq!(cluster.node.snapshot()[0].positions.high_watermark.offset(), Offset(3));
    });
}

#[test]
fn a_full_disk_fails_appends_and_the_node_with_its_only_directory() {
    run(|world| async move {
        let mut cluster = Cluster::start(&world, "/one").await;
        cluster.create("t", 1).await;
        let connection = cluster.connect().await;
        assert_eq!(append(&connection, -1, "t", 0).await, 0);
        cluster.disk.fill("/one");
        assert_eq!(append(&connection, 1, "t", 0).await, FAILED);
        assert_eq!(append(&connection, -1, "t", 0).await, FAILED);
        let failure = cluster.failure().await;
        for words in ["/one", "t-0", "no space left", "the node cannot go on without it"] {
            assert!(failure.contains(words), "{words}: {failure}");
        }
    });
}

#[test]
fn a_directory_that_fails_takes_its_own_partitions_along() {
    for fails in [FaultyEnv::break_syncs as fn(&FaultyEnv<SimEnv>, &str), FaultyEnv::fill] {
        run(move |world| async move {
            let mut cluster = Cluster::start(&world, "/one,/two").await;
            cluster.create("t", 2).await;
            let (well, ill) = if cluster.place("t-0") == "/one" { (0, 1) } else { (1, 0) };
            assert_eq!(cluster.place(&format!("t-{ill}")), "/two");
            let connection = cluster.connect().await;
            for index in [well, ill] {
                assert_eq!(append(&connection, -1, "t", index).await, 0);
            }
            fails(&cluster.disk, "/two");
            for _ in 0..2 {
                assert_eq!(append(&connection, -1, "t", ill).await, FAILED);
                assert_eq!(append(&connection, -1, "t", well).await, 0);
                assert_eq!(looked_up(&connection, ill).await, (FAILED, FAILED));
                assert_eq!(looked_up(&connection, well).await, (0, 0));
            }
            // New topics keep clear of it, and old ones can be deleted.
            cluster.create("new", 2).await;
            for index in 0..2 {
                assert_eq!(append(&connection, -1, "new", index).await, 0);
            }
            let deleted = cluster.admin().delete_topics(&["t".to_owned()]).await.unwrap();
            assert!(deleted.iter().all(|(_, outcome)| outcome.is_ok()), "{deleted:?}");
            fails(&cluster.disk, "/one");
            assert_eq!(append(&connection, -1, "new", 0).await, FAILED);
            let failure = cluster.failure().await;
            // Of the append, or of what is left of the topic that was deleted: whichever comes first.
            assert!(failure.contains("log directory /one has failed"), "{failure}");
        });
    }
}

#[test]
fn a_directory_that_fails_at_a_creation_does_not_stop_the_node() {
    for fails in [FaultyEnv::break_syncs as fn(&FaultyEnv<SimEnv>, &str), FaultyEnv::fill] {
        run(move |world| async move {
            let cluster = Cluster::start(&world, "/one,/two").await;
            fails(&cluster.disk, "/two");
            // Whether a topic can be stored shows when somebody writes to it.
            cluster.create("t", 2).await;
            let connection = cluster.connect().await;
            let codes = [append(&connection, -1, "t", 0).await, append(&connection, -1, "t", 1).await];
            assert!(codes.contains(&0) && codes.contains(&FAILED), "{codes:?}");
            cluster.create("new", 2).await;
            for index in 0..2 {
                assert_eq!(append(&connection, -1, "new", index).await, 0);
            }
        });
    }
}

/// R1: whoever is told where an epoch begins may act on it, so it must be there after a crash, though no record of
/// it be.
#[test]
fn a_leader_answers_nobody_before_its_epoch_is_durable() {
    run(|world| async move {
        let cluster = Cluster::start(&world, "/one").await;
        cluster.disk.hold("leader-epoch-checkpoint");
        cluster.create("t", 1).await;
        let (reader, asker, deleter) =
            (cluster.connect().await, cluster.connect().await, cluster.connect().await);
        let producer = cluster.connect().await;
        let mut read = pin!(looked_up(&reader, 0));
        let mut asked = pin!(epoch_end(&asker));
        let mut deleted = pin!(delete_records(&deleter));
        let mut appended = pin!(append(&producer, -1, "t", 0));
        let second = || cluster.client.clock().now() + Duration::from_secs(1);
        let clock = cluster.client.clock();
        assert_eq!(clock.timeout_at(second(), read.as_mut()).await, None);
        assert_eq!(clock.timeout_at(second(), asked.as_mut()).await, None);
        assert_eq!(clock.timeout_at(second(), deleted.as_mut()).await, None);
        assert_eq!(clock.timeout_at(second(), appended.as_mut()).await, None);
        cluster.disk.let_go();
        assert_eq!(appended.await, 0);
        assert_eq!(read.await, (0, 0));
        assert_eq!(asked.await, 0);
        assert_eq!(deleted.await, 0);
    });
}

/// What OffsetForLeaderEpoch answers for the partition of `t`.
async fn epoch_end(connection: &Connection<SimEnv>) -> i16 {
    let partition = OffsetForLeaderPartition { leader_epoch: 0, ..OffsetForLeaderPartition::default() };
    let topic = OffsetForLeaderTopic { topic: "t".to_owned(), partitions: vec![partition] };
    let request =
        OffsetForLeaderEpochRequest { topics: vec![topic], ..OffsetForLeaderEpochRequest::default() };
    let deadline = connection.env().clock().now() + PATIENCE;
    let response = connection.start(&request, 4, deadline).unwrap().wait().await.unwrap();
    response.topics[0].partitions[0].error_code
}

/// What DeleteRecords answers for the partition of `t`.
async fn delete_records(connection: &Connection<SimEnv>) -> i16 {
    let partition = DeleteRecordsPartition { partition_index: 0, offset: -1 };
    let topic = DeleteRecordsTopic { name: "t".to_owned(), partitions: vec![partition] };
    let request = DeleteRecordsRequest { topics: vec![topic], ..DeleteRecordsRequest::default() };
    let deadline = connection.env().clock().now() + PATIENCE;
    let response = connection.start(&request, 2, deadline).unwrap().wait().await.unwrap();
    response.topics[0].partitions[0].error_code
}

/// What Fetch and ListOffsets answer for a partition of `t`.
async fn looked_up(connection: &Connection<SimEnv>, index: i32) -> (i16, i16) {
    let partition =
        FetchPartition { partition: index, partition_max_bytes: 1 << 20, ..FetchPartition::default() };
    let topic = FetchTopic { topic: "t".to_owned(), partitions: vec![partition], ..FetchTopic::default() };
    let fetch = FetchRequest { max_wait_ms: 0, topics: vec![topic], ..FetchRequest::default() };
    let fetched = call(connection, &fetch).await.responses[0].partitions[0].error_code;
    let partition =
        ListOffsetsPartition { partition_index: index, timestamp: -1, ..ListOffsetsPartition::default() };
    let topic = ListOffsetsTopic { name: "t".to_owned(), partitions: vec![partition] };
    let list = ListOffsetsRequest { topics: vec![topic], ..ListOffsetsRequest::default() };
    let deadline = connection.env().clock().now() + PATIENCE;
    let listed = connection.start(&list, 7, deadline).unwrap().wait().await.unwrap();
    (fetched, listed.topics[0].partitions[0].error_code)
}
