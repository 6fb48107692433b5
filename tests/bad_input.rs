//! What a node refuses to start with: damaged files, others' directories, a quorum that is not the one it looks
//! for, addresses that lead elsewhere. The message names the cause and the way out, and nothing on disk is touched.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]
#![expect(clippy::disallowed_methods, reason = "it looks at files, and damages them, behind the node's back")]

#[path = "support/node.rs"]
mod node;
#[path = "support/tree.rs"]
mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytes::{Bytes, BytesMut};
use node::{TestNode, append, batch, call, config};
use ottla::cli::broker::{DevArgs, dev};
use ottla::client::config::ClientConfig;
use ottla::client::connection::Connection;
use ottla::config::Texts;
use ottla::config::server::{DevPorts, ServerConfig, several_brokers, single_broker};
use ottla::env::tokio::TokioEnv;
use ottla::env::{Disk as _, Env as _};
use ottla::error_code::ErrorCode;
use ottla::log::checkpoint::{read_clean_shutdown, write_clean_shutdown};
use ottla::node::{FormatPlan, format_by, start};
use ottla::types::BrokerEpoch;
use ottla::wire::batch::split;
use ottla::wire::batch_builder::{BatchBuilder, BatchOptions, NewRecord};
use ottla::wire::compression::Scratch;
use ottla::wire::messages::broker_registration::BrokerRegistrationRequest;
use ottla::wire::messages::vote::VoteRequest;
use ottla::wire::metadata::{MetadataRecord, UnregisterBrokerRecord};
use ottla_sim::engine::{Limits, NodeId};
use ottla_sim::net::Net;
use ottla_sim::trace::Keep;
use ottla_sim::world::simulate;
use tree::tree;

const CLUSTER: &str = "test-cluster-id-000000";
const LOG: &str = "__cluster_metadata-0/00000000000000000000.log";

fn copy(from: &Path, to: &Path) {
    for (path, content) in tree(from) {
        let path = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Directories have no content, and are made for their files.
        if !content.is_empty() || path.extension().is_some() || path.file_name().unwrap() == ".lock" {
            fs::write(path, content).unwrap();
        }
    }
}

/// Why a node does not start.
async fn refusal(config: ServerConfig) -> String {
    let env = TokioEnv::new().unwrap();
    match start(env, config).await {
        Ok(_) => panic!("it started"),
        Err(error) => error.to_string(),
    }
}

fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

/// A directory with a topic, left cleanly.
async fn used() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(dir.path()).await;
    node.create("t", 1, &[]).await;
    append(&node.connect().await, "t", batch(&["one"])).await;
    node.shutdown().await;
    dir
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path, length: usize) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..length]).unwrap();
}

/// Where the second batch of the metadata log begins.
fn second_batch(dir: &Path) -> usize {
    let bytes = Bytes::from(fs::read(dir.join(LOG)).unwrap());
    split(&bytes).next().unwrap().unwrap().bytes.len()
}

type Damage = (&'static str, fn(&Path), &'static [&'static str]);

const DAMAGES: &[Damage] = &[
    (
        "another node's",
        |dir| replace(&dir.join("meta.properties"), "node.id=1", "node.id=7"),
        &["belongs to node 7, not 1", "correct node.id"],
    ),
    (
        "no version",
        |dir| fs::write(dir.join("meta.properties"), "x").unwrap(),
        &["meta.properties is malformed", "bring it back from a copy"],
    ),
    (
        "nobody's",
        |dir| fs::remove_file(dir.join("meta.properties")).unwrap(),
        &["and no meta.properties", "bring that file back"],
    ),
    (
        "no id of its own",
        |dir| replace(&dir.join("meta.properties"), "directory.id", "other.id"),
        &["has no directory.id", "ottla storage random-uuid"],
    ),
    (
        "a checkpoint",
        |dir| fs::write(dir.join("replication-offset-checkpoint"), "x").unwrap(),
        &["replication-offset-checkpoint is malformed", "bring it back from a copy"],
    ),
    (
        "a partition's id",
        |dir| fs::write(dir.join("t-0/partition.metadata"), "version: 0\n").unwrap(),
        &["t-0/partition.metadata is malformed", "kafka-topics --describe"],
    ),
    (
        "what it began with",
        |dir| cut(&dir.join("bootstrap.checkpoint"), 50),
        &["bootstrap.checkpoint is damaged", "bring it back"],
    ),
    (
        "a vote cut",
        |dir| cut(&dir.join("__cluster_metadata-0/quorum-state"), 20),
        &[
            "quorum-state: the file is not of Kafka's format",
            "must not forget whom it has voted for",
            "restore the file",
        ],
    ),
    (
        "a vote lost",
        |dir| fs::remove_file(dir.join("__cluster_metadata-0/quorum-state")).unwrap(),
        &["quorum-state is missing", "must not forget whom it has voted for", "restore the file"],
    ),
    (
        "the metadata log's id",
        |dir| {
            let text = "version: 0\ntopic_id: MvDxzVmcRsaTz33bUuRU6A";
            fs::write(dir.join("__cluster_metadata-0/partition.metadata"), text).unwrap();
        },
        &["__cluster_metadata-0/partition.metadata is malformed", "MvDxzVmcRsaTz33bUuRU6A"],
    ),
    (
        "a committed record",
        |dir| flip(&dir.join(LOG), second_batch(dir) + 70),
        &["00000000000000000000.log is damaged at byte", "offset 1", "bring the file back from a copy"],
    ),
    (
        "committed records cut",
        |dir| cut(&dir.join(LOG), second_batch(dir)),
        &[
            "00000000000000000000.log is damaged",
            "was committed up to offset",
            "bring the file back from a copy",
        ],
    ),
    (
        "committed records lost",
        |dir| fs::remove_file(dir.join(LOG)).unwrap(),
        &["was committed up to offset", "bring the file back from a copy"],
    ),
    (
        "the beginning lost",
        |dir| {
            let later = "__cluster_metadata-0/00000000000000000003.log";
            fs::rename(dir.join(LOG), dir.join(later)).unwrap();
        },
        &["begins at offset 3", "no snapshot", "bring the file back from a copy"],
    ),
    (
        "a snapshot",
        |dir| {
            let mut bytes = fs::read(dir.join("bootstrap.checkpoint")).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            let path = dir.join("__cluster_metadata-0/00000000000000000003-0000000001.checkpoint");
            fs::write(path, bytes).unwrap();
        },
        &["00000000000000000003-0000000001.checkpoint: ", "CRC", "bring the file back from a copy"],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_refused_and_left_as_it_is() {
    let whole = used().await;
    for cleanly in [true, false] {
        for (name, damage, parts) in DAMAGES {
            let dir = tempfile::tempdir().unwrap();
            copy(whole.path(), dir.path());
            if !cleanly {
                fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
            }
            damage(dir.path());
            let before = tree(dir.path());
            let message = refusal(config(dir.path(), &[])).await;
            says(&message, parts);
            says(&message, &[dir.path().to_str().unwrap()]);
            assert_eq!(tree(dir.path()), before, "{name}, cleanly: {cleanly}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    copy(whole.path(), dir.path());
    assert_eq!(TestNode::start(dir.path()).await.read("t").await, [(0, "one".into())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn directories_that_do_not_go_together_are_refused() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dirs = format!("{},{}", one.path().display(), other.path().display());
    let both = || config(one.path(), &[("log.dirs", &dirs)]);
    TestNode::try_start(both()).await.unwrap().shutdown().await;
    let trees = || (tree(one.path()), tree(other.path()));
    let meta = other.path().join("meta.properties");
    let right = fs::read_to_string(&meta).unwrap();

    replace(&meta, CLUSTER, "MvDxzVmcRsaTz33bUuRU6A");
    let before = trees();
    let message = refusal(both()).await;
    let belongs =
        format!("{} belongs to cluster MvDxzVmcRsaTz33bUuRU6A, not {CLUSTER}", other.path().display());
    says(&message, &[&belongs, "name another in log.dirs"]);
    assert_eq!(trees(), before);

    fs::copy(one.path().join("meta.properties"), &meta).unwrap();
    let before = trees();
    says(&refusal(both()).await, &["have the same directory.id", "remove it from log.dirs"]);
    assert_eq!(trees(), before);

    fs::write(&meta, right).unwrap();
    TestNode::try_start(both()).await.unwrap().shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named() {
    let dir = used().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let before = tree(dir.path());
    let message = refusal(config(
        dir.path(),
        &[("listeners", &format!("PLAINTEXT://{address},CONTROLLER://127.0.0.1:0"))],
    ))
    .await;
    says(&message, &["listener PLAINTEXT", &address, "choose another port"]);
    assert_eq!(tree(dir.path()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_for_development_is_not_made_of_two() {
    let dir = tempfile::tempdir().unwrap();
    let ports = DevPorts::from(20_000, 3).unwrap();
    let data_dir = dir.path().join("data");
    let env = TokioEnv::new().unwrap();
    for (texts, cluster) in
        several_brokers(&ports, &data_dir).into_iter().zip([CLUSTER, "another-cluster-id-000"])
    {
        let config = ServerConfig::parse(texts).unwrap().0;
        format_by(&env, &config, &FormatPlan::new(cluster)).await.unwrap();
    }
    let before = tree(dir.path());
    let args = DevArgs { port: 20_000, brokers: 3, data_dir };
    let code = dev(env, args, std::future::pending()).await;
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::FAILURE));
    assert_eq!(tree(dir.path()), before, "the third is not formatted either");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_noticed_before_anything_is_formatted() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_port = taken.local_addr().unwrap().port();
    // The port is that of the only broker, or that of the second of several.
    for (brokers, port) in [(1, taken_port), (3, taken_port - 1)] {
        let env = TokioEnv::new().unwrap();
        let args = DevArgs { port, brokers, data_dir: dir.path().join("data") };
        let code = dev(env, args, std::future::pending()).await;
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::FAILURE));
        assert_eq!(tree(dir.path()), tree(tempfile::tempdir().unwrap().path()), "{brokers} of port {port}");
    }
}

/// A port that is free, for a controller that others must find.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A broker and controller alone in its quorum.
async fn quorum_of_one(dir: &Path) -> (TestNode, u16) {
    let port = free_port();
    let listeners = format!("PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:{port}");
    let voters = format!("1@127.0.0.1:{port}");
    let settings = [("listeners", listeners.as_str()), ("controller.quorum.voters", &voters)];
    (TestNode::try_start(config(dir, &settings)).await.unwrap(), port)
}

fn parse(settings: &[(&str, &str)], dir: &Path) -> ServerConfig {
    let common = [("controller.listener.names", "CONTROLLER"), ("log.dirs", dir.to_str().unwrap())];
    let texts = common.iter().chain(settings).map(|&(key, value)| (key.to_owned(), value.to_owned()));
    ServerConfig::parse(texts.collect::<Texts>()).unwrap().0
}

/// A broker that finds its controllers by these settings.
fn broker(dir: &Path, id: &str, settings: &[(&str, &str)]) -> ServerConfig {
    let own = [
        ("process.roles", "broker"),
        ("node.id", id),
        ("listeners", "PLAINTEXT://127.0.0.1:0"),
        ("broker.heartbeat.interval.ms", "50"),
        ("broker.session.timeout.ms", "300"),
    ];
    parse(&[&own[..], settings].concat(), dir)
}

/// Formats, and leaves the marks of a run that has ended well.
async fn formatted(config: &ServerConfig, cluster: &str) {
    let env = TokioEnv::new().unwrap();
    format_by(&env, config, &FormatPlan::new(cluster)).await.unwrap();
    write_clean_shutdown(env.disk(), &config.log_dirs[0], BrokerEpoch(5)).await.unwrap();
    fs::write(config.log_dirs[0].join(".lock"), "").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_cluster_is_refused() {
    let (own, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (node, port) = quorum_of_one(own.path()).await;
    for found_by in ["controller.quorum.voters", "controller.quorum.bootstrap.servers"] {
        let address = format!("{}127.0.0.1:{port}", if found_by.ends_with("voters") { "1@" } else { "" });
        let config = broker(dir.path(), "2", &[(found_by, &address)]);
        if found_by.ends_with("voters") {
            formatted(&config, "another-cluster-id-000").await;
        }
        let before = tree(dir.path());
        let message = refusal(config).await;
        says(&message, &[&format!("127.0.0.1:{port} is of another cluster"), "another-cluster-id-000"]);
        says(&message, &["INCONSISTENT_CLUSTER_ID", "controller.quorum.voters", "format"]);
        // Its metadata log was opened, and is as empty as before.
        let mut after = tree(dir.path());
        after.retain(|path, _| before.contains_key(path));
        assert_eq!(after, before, "{found_by}");
    }
    drop(node);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_of_another_cluster_is_refused_before_it_is_ready() {
    let (own, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_node, port) = quorum_of_one(own.path()).await;
    let servers = format!("127.0.0.1:{port}");
    let settings = [
        ("process.roles", "controller"),
        ("node.id", "2"),
        ("listeners", "CONTROLLER://127.0.0.1:0"),
        ("controller.quorum.bootstrap.servers", &servers),
    ];
    let start = async |dir: &Path, cluster| {
        let config = parse(&settings, dir);
        formatted(&config, cluster).await;
        ottla::node::start(TokioEnv::new().unwrap(), config).await.unwrap()
    };
    let mut other = start(&dir.path().join("other"), "another-cluster-id-000").await;
    let message = other.joined().await.unwrap_err().to_string();
    assert!(start(&dir.path().join("same"), CLUSTER).await.joined().await.is_ok());
    says(&message, &[&format!("{servers} is of another cluster"), "INCONSISTENT_CLUSTER_ID"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_is_an_error_on_the_wire() {
    let own = tempfile::tempdir().unwrap();
    let (_node, port) = quorum_of_one(own.path()).await;
    let env = TokioEnv::new().unwrap();
    let connection = Connection::open(&env, "127.0.0.1", port, &ClientConfig::default()).await.unwrap();
    let vote = VoteRequest { cluster_id: Some("other".to_owned()), ..VoteRequest::default() };
    let code = ErrorCode::InconsistentClusterId.code();
    assert_eq!(call(&connection, &vote).await.error_code, code);
    let registration =
        BrokerRegistrationRequest { broker_id: 2, cluster_id: "other".to_owned(), ..Default::default() };
    assert_eq!(call(&connection, &registration).await.error_code, code);
}

/// Everything but the metadata log, which a node may fetch before it hears that it is refused.
fn without_metadata(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut tree = tree(dir);
    tree.retain(|path, _| !path.starts_with(dir.join("__cluster_metadata-0")));
    tree
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_id_that_is_in_use_is_refused() {
    let dirs: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let (_node, port) = quorum_of_one(dirs[0].path()).await;
    let servers = format!("127.0.0.1:{port}");
    let config = |dir: usize, id: &str| {
        broker(dirs[dir].path(), id, &[("controller.quorum.bootstrap.servers", &servers)])
    };
    let other = TestNode::try_start(config(1, "2")).await.unwrap();
    let in_use = format!("another broker with the id 2 is alive, at {}", other.address);
    let leads = format!("the node at {servers}, which leads the quorum, has the id of this node, 1");
    let cases =
        [(2, "1", vec![leads.as_str()]), (3, "2", vec![in_use.as_str(), "DUPLICATE_BROKER_REGISTRATION"])];
    for (dir, id, parts) in cases {
        formatted(&config(dir, id), CLUSTER).await;
        let before = without_metadata(dirs[dir].path());
        let message = refusal(config(dir, id)).await;
        says(&message, &parts);
        says(&message, &["give this one a node.id of its own"]);
        assert_eq!(without_metadata(dirs[dir].path()), before);
        let env = TokioEnv::new().unwrap();
        let mark = read_clean_shutdown(env.disk(), dirs[dir].path()).await.unwrap();
        assert_eq!(mark, Some(BrokerEpoch(5)), "the next start recovers nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_with_other_voters_is_refused() {
    let (own, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_node, port) = quorum_of_one(own.path()).await;
    let voters = format!("1@127.0.0.1:{port},3@127.0.0.1:{}", free_port());
    let config = || broker(dir.path(), "2", &[("controller.quorum.voters", &voters)]);
    formatted(&config(), CLUSTER).await;
    let before = without_metadata(dir.path());
    let message = refusal(config()).await;
    says(&message, &["names the nodes 1, 3 here, and 1 at node 1, which leads the quorum", "on every node"]);
    assert_eq!(without_metadata(dir.path()), before);
    assert_eq!(fs::read(dir.path().join(LOG)).unwrap(), b"", "nothing of that quorum's is appended");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_where_another_voter_answers_is_refused() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (port, own_port, nobody) = (free_port(), free_port(), free_port());
    let voter = |dir: &Path, id: &str, port: u16, voters: &str| {
        let listeners = format!("PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:{port}");
        let roles = ("process.roles", "broker,controller");
        let settings =
            [roles, ("node.id", id), ("listeners", &listeners), ("controller.quorum.voters", voters)];
        parse(&settings, dir)
    };
    // It waits for a quorum for ever.
    let waiting = voter(first.path(), "1", port, &format!("1@127.0.0.1:{port},9@127.0.0.1:{nobody}"));
    formatted(&waiting, CLUSTER).await;
    let env = TokioEnv::new().unwrap();
    let task = env.clone().spawn("waiting", async move {
        let _ = start(env, waiting).await;
    });
    let voters = format!("2@127.0.0.1:{own_port},3@127.0.0.1:{port}");
    let config = voter(second.path(), "2", own_port, &voters);
    formatted(&config, CLUSTER).await;
    let before = without_metadata(second.path());
    let message = refusal(config).await;
    says(&message, &[&format!("the controller at 127.0.0.1:{port} is other nodes than"), "correct it"]);
    assert_eq!(without_metadata(second.path()), before);
    drop(task);
}

/// Appends a record to the metadata log, as a newer version might, or one that has gone wrong.
fn append_record(dir: &Path, value: &[u8]) {
    let path = dir.join(LOG);
    let mut log = BytesMut::from(&fs::read(&path).unwrap()[..]);
    let last = split(&log.clone().freeze()).last().unwrap().unwrap().header;
    let mut builder = BatchBuilder::new();
    builder.add(&NewRecord { timestamp: last.max_timestamp, key: None, value: Some(value), headers: &[] });
    let options = BatchOptions {
        base_offset: last.next_offset(),
        leader_epoch: last.partition_leader_epoch,
        ..BatchOptions::default()
    };
    log.extend_from_slice(&builder.finish(&options, &mut Scratch::default()));
    fs::write(path, log).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_committed_record_that_cannot_be_applied_stops_the_node() {
    let contradiction = UnregisterBrokerRecord { broker_id: 77, broker_epoch: 5 };
    let contradiction = MetadataRecord::from(contradiction).encode().unwrap();
    let version = [1, 0, 99, 0];
    let cases: [(&[u8], &str); 3] = [
        // Frame version 1, then the type as a varint, then its version.
        (&[1, 0xe7, 0x07, 0, 0], "999"),
        (&version, "99"),
        (&contradiction, "broker 77 is not registered with epoch 5"),
    ];
    let whole = used().await;
    for (value, reason) in cases {
        let dir = tempfile::tempdir().unwrap();
        copy(whole.path(), dir.path());
        append_record(dir.path(), value);
        let log = fs::read(dir.path().join(LOG)).unwrap();
        // It is not skipped at the next start either.
        for _ in 0..2 {
            let message = refusal(config(dir.path(), &[])).await;
            says(&message, &["offset", reason, "it is not skipped", "newer version"]);
            assert!(fs::read(dir.path().join(LOG)).unwrap().starts_with(&log), "nothing is cut off");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_where_somebody_else_answers_is_refused() {
    let dir = used().await;
    let other = tempfile::tempdir().unwrap();
    let elsewhere = TestNode::start(other.path()).await;
    let before = tree(dir.path());
    let advertised = format!("PLAINTEXT://{}", elsewhere.address);
    let message = refusal(config(dir.path(), &[("advertised.listeners", &advertised)])).await;
    says(&message, &["advertised.listeners", "PLAINTEXT", &elsewhere.address.to_string()]);
    says(&message, &["somebody else answers there", "correct it"]);
    assert_eq!(tree(dir.path()), before);

    // Another name of its own is none of that.
    let port = free_port();
    let listeners = format!("PLAINTEXT://0.0.0.0:{port},CONTROLLER://127.0.0.1:0");
    let advertised = format!("PLAINTEXT://localhost:{port}");
    let own = [("listeners", listeners.as_str()), ("advertised.listeners", &advertised)];
    TestNode::try_start(config(dir.path(), &own)).await.unwrap().shutdown().await;
}

#[test]
fn an_address_that_nothing_is_at_is_refused() {
    let outcome = simulate(1, Limits::default(), Keep::Nothing, |world| async move {
        let host = Net::address_of(NodeId(1)).to_string();
        for (address, reason) in
            [(format!("{host}:9999"), "refused"), ("no.such.host:9092".to_owned(), "no.such.host")]
        {
            let env = world.env(NodeId(1));
            let mut texts = single_broker(&format!("{host}:9092"), 9093, "/data");
            texts.insert("advertised.listeners".to_owned(), format!("PLAINTEXT://{address}"));
            let config = ServerConfig::parse(texts).unwrap().0;
            if !ottla::node::is_formatted(&env, &config).await.unwrap() {
                ottla::node::format(&env, &config, CLUSTER).await.unwrap();
            }
            // As any run before has left it.
            drop(env.disk().lock_dir(Path::new("/data")).await.unwrap());
            let before = env.disk().list(Path::new("/data")).await.unwrap();
            let Err(error) = start(env.clone(), config).await else { panic!("it started") };
            says(&error.to_string(), &["advertised.listeners", &address, reason, "correct it"]);
            assert_eq!(env.disk().list(Path::new("/data")).await.unwrap(), before);
        }
    });
    outcome.outcome.unwrap_or_else(|stop| panic!("{stop}"));
}
