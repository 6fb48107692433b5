//! `ottla storage format`: what it writes, what it refuses without writing, and what a loss of power leaves.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser as _;
use ottla::cli::storage::{FormatArgs, format};
use ottla::config::properties;
use ottla::config::server::ServerConfig;
use ottla::env::{Clock as _, Disk as _, Env as _, File as _, OpenMode};
use ottla::log::checkpoint::{MetaProperties, read_meta_properties, write_meta_properties};
use ottla::node::{FormatPlan, bootstrap_records, format_by, is_formatted};
use ottla::types::{BrokerId, Uuid};
use ottla::wire::compression::Scratch;
use ottla::wire::control::{ControlRecord, VotersRecord};
use ottla::wire::metadata::MetadataRecord;
use ottla::wire::snapshot::{SnapshotBatch, SnapshotReader};
use ottla_sim::engine::{Limits, NodeId};
use ottla_sim::env::SimEnv;
use ottla_sim::trace::Keep;
use ottla_sim::world::{World, simulate};

const NODE: NodeId = NodeId(1);
const WATCHER: NodeId = NodeId(2);

const CLUSTER: &str = "JEXY6aqzQY-32P5TStzaFg";
const ID_1: &str = "MvDxzVmcRsaTz33bUuRU6A";
const ID_2: &str = "07R5amHmR32VDA6jHkGbTA";

const SNAPSHOT: &str = "/meta/__cluster_metadata-0/00000000000000000000-0000000000.checkpoint";

/// A node with two directories, the second one for the metadata log.
const FILE: &str = "process.roles=broker,controller\nnode.id=1\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\n\
    controller.listener.names=CONTROLLER\ncontroller.quorum.bootstrap.servers=h1:9093\n\
    log.dirs=/data/a\nmetadata.log.dir=/meta\n";

/// Runs a test in a world of its own.
fn run<F: Future<Output = ()> + Send + 'static>(seed: u64, test: impl FnOnce(World) -> F + Send) {
    simulate(seed, Limits::default(), Keep::Nothing, test).outcome.unwrap_or_else(|stop| panic!("{stop}"));
}

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: FormatArgs,
}

/// `ottla storage format` with these options; the file says what [`FILE`] does, and `more`.
async fn command(env: &SimEnv, more: &str, options: &str) -> Result<Vec<String>, String> {
    write(env, "/etc/server.properties", format!("{FILE}{more}").as_bytes()).await;
    let words = ["format", "-c", "/etc/server.properties", "-t", CLUSTER];
    format(env, &Line::parse_from(words.into_iter().chain(options.split_whitespace())).args).await
}

async fn write(env: &SimEnv, path: &str, content: &[u8]) {
    env.disk().create_dir_all(Path::new(path).parent().unwrap()).await.unwrap();
    let file = env.disk().open(Path::new(path), OpenMode::CreateOrTruncate).await.unwrap();
    file.write_at(0, &mut [IoSlice::new(content)]).unwrap();
}

async fn read(env: &SimEnv, path: &Path) -> Vec<u8> {
    let file = env.disk().open(path, OpenMode::Existing).await.unwrap();
    let mut bytes = Vec::new();
    file.read_at(0, usize::MAX >> 1, &mut bytes).await.unwrap();
    bytes
}

/// All files and what is in them; directories with nothing.
async fn everything(env: &SimEnv) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::from("/")];
    while let Some(dir) = open.pop() {
        for entry in env.disk().list(&dir).await.unwrap() {
            let path = dir.join(entry.name);
            let content = if entry.is_dir { Vec::new() } else { read(env, &path).await };
            if entry.is_dir {
                open.push(path.clone());
            }
            found.insert(path, content);
        }
    }
    found
}

async fn meta(env: &SimEnv, dir: &str) -> MetaProperties {
    read_meta_properties(env.disk(), Path::new(dir)).await.unwrap().expect("it is formatted")
}

async fn mark(env: &SimEnv, dir: &str, cluster_id: &str, node_id: i32, directory_id: &str) {
    env.disk().create_dir_all(Path::new(dir)).await.unwrap();
    let directory_id = Uuid::parse(directory_id);
    let meta = MetaProperties { cluster_id: cluster_id.to_owned(), node_id: BrokerId(node_id), directory_id };
    write_meta_properties(env.disk(), Path::new(dir), &meta).await.unwrap();
}

/// The voters of the snapshot that formatting wrote, after everything else in it was looked at.
async fn voters(env: &SimEnv) -> VotersRecord {
    let (mut reader, mut scratch) = (SnapshotReader::new(1 << 20), Scratch::default());
    reader.feed(&read(env, Path::new(SNAPSHOT)).await);
    let mut records = Vec::new();
    while let Some(batch) = reader.next(&mut scratch).unwrap() {
        let SnapshotBatch::Control(controls) = batch else { panic!("metadata in {batch:?}") };
        records.extend(controls);
    }
    reader.finish().unwrap();
    let [header, version, voters, footer] = &records[..] else { panic!("{records:?}") };
    assert!(matches!(header, ControlRecord::SnapshotHeader(_)));
    assert!(matches!(version, ControlRecord::KRaftVersion(version) if version.k_raft_version == 1));
    assert!(matches!(footer, ControlRecord::SnapshotFooter(_)));
    let ControlRecord::KRaftVoters(voters) = voters else { panic!("{voters:?}") };
    voters.clone()
}

fn shown(voters: &VotersRecord) -> Vec<String> {
    let voters = voters.voters.iter().map(|voter| {
        let [endpoint] = &voter.endpoints[..] else { panic!("{voter:?}") };
        let versions = &voter.k_raft_version_feature;
        assert_eq!((versions.min_supported_version, versions.max_supported_version), (0, 1));
        let id = voter.voter_directory_id;
        format!("{}@{}://{}:{}:{id}", voter.voter_id, endpoint.name, endpoint.host, endpoint.port)
    });
    voters.collect()
}

#[test]
fn a_controller_alone_begins_a_quorum() {
    run(1, async |world| {
        let env = world.env(NODE);
        let lines = command(&env, "", "--standalone").await.unwrap();
        let whose = format!("cluster {CLUSTER}, node 1");
        assert_eq!(
            lines,
            [
                format!("formatted /data/a as data directory: {whose}"),
                format!("formatted /meta as dynamic metadata voter directory: {whose}"),
                "node 1 begins the quorum, at localhost:9093".to_owned(),
            ]
        );
        let (data, metadata) = (meta(&env, "/data/a").await, meta(&env, "/meta").await);
        assert_eq!((data.cluster_id.as_str(), data.node_id), (CLUSTER, BrokerId(1)));
        assert_ne!(data.directory_id, metadata.directory_id);
        let id = metadata.directory_id.unwrap();
        assert_eq!(shown(&voters(&env).await), [format!("1@CONTROLLER://localhost:9093:{id}")]);
        let files: Vec<PathBuf> = everything(&env).await.into_keys().collect();
        assert!(!files.contains(&PathBuf::from("/data/a/__cluster_metadata-0")), "{files:?}");
    });
}

#[test]
fn controllers_that_are_named_begin_a_quorum() {
    let option = format!("-I 2@h2:9093:{ID_2},1@[::1]:9093:{ID_1}");
    let expected = [format!("1@CONTROLLER://::1:9093:{ID_1}"), format!("2@CONTROLLER://h2:9093:{ID_2}")];
    for (node, purpose) in [(1, "dynamic metadata voter directory"), (3, "dynamic metadata directory")] {
        let (option, expected) = (option.clone(), expected.clone());
        run(1, async move |world| {
            let env = world.env(NODE);
            let lines = command(&env, &format!("node.id={node}\n"), &option).await.unwrap();
            assert!(lines[1].starts_with(&format!("formatted /meta as {purpose}")), "{lines:?}");
            assert_eq!(shown(&voters(&env).await), expected);
            let id = meta(&env, "/meta").await.directory_id.unwrap().to_string();
            assert_eq!(id == ID_1, node == 1, "only a voter's directory has the id that is named");
        });
    }
}

#[test]
fn without_initial_controllers_there_is_no_snapshot() {
    for (more, options) in [
        ("", "--no-initial-controllers"),
        ("controller.quorum.voters=1@h1:9093\n", ""),
        ("process.roles=broker\nlisteners=PLAINTEXT://:9092\n", ""),
    ] {
        run(1, async move |world| {
            let env = world.env(NODE);
            let lines = command(&env, more, options).await.unwrap();
            assert!(lines[1].starts_with("formatted /meta as metadata directory"), "{lines:?}");
            assert!(!everything(&env).await.contains_key(Path::new(SNAPSHOT)));
        });
    }
}

#[test]
fn every_directory_says_with_which_features_the_metadata_log_begins() {
    let all = &[("metadata.version", 30), ("eligible.leader.replicas.version", 1)][..];
    for (option, expected) in [("", all), ("-f eligible.leader.replicas.version=0", &all[..1])] {
        run(1, async move |world| {
            let env = world.env(NODE);
            assert_eq!(bootstrap_records(env.disk(), Path::new("/meta")).await.unwrap(), None);
            command(&env, "", &format!("-s {option}")).await.unwrap();
            for dir in ["/data/a", "/meta"] {
                let records = bootstrap_records(env.disk(), Path::new(dir)).await.unwrap().unwrap();
                let levels: Vec<(&str, i16)> = records
                    .iter()
                    .map(|record| match record {
                        MetadataRecord::FeatureLevel(record) => (record.name.as_str(), record.feature_level),
                        other => panic!("{other:?}"),
                    })
                    .collect();
                assert_eq!(levels, expected);
            }
            let path = "/meta/bootstrap.checkpoint";
            let bytes = read(&env, Path::new(path)).await;
            write(&env, path, &[&bytes[..bytes.len() - 1], b"x"].concat()).await;
            let error = bootstrap_records(env.disk(), Path::new("/meta")).await.unwrap_err().to_string();
            assert!(error.starts_with("/meta/bootstrap.checkpoint is damaged"), "{error}");
        });
    }
}

#[test]
fn a_refusal_leaves_the_disk_as_it_was() {
    const OTHER: &str = "4L6g3nShT-eMCtK--X86sw";
    /// What is on disk, the options, and what is said of it.
    type Case = (&'static [(&'static str, &'static str, i32, &'static str)], &'static str, &'static str);
    let cases: &[Case] = &[
        (
            &[("/data/a", OTHER, 1, ID_1)],
            "-s -g",
            "/data/a belongs to cluster 4L6g3nShT-eMCtK--X86sw, not JEXY6",
        ),
        (&[("/meta", CLUSTER, 7, ID_1)], "-s -g", "/meta belongs to node 7, not 1: correct node.id, or name"),
        (
            &[("/data/a", CLUSTER, 1, ID_1)],
            "-s",
            "/data/a is formatted already; --ignore-formatted leaves it",
        ),
        (
            &[("/data/a", CLUSTER, 1, ID_1), ("/meta", CLUSTER, 1, ID_1)],
            "-s -g",
            "/data/a and /meta have the same directory.id",
        ),
        (
            &[("/meta", CLUSTER, 1, ID_2)],
            "-g -I 1@h1:9093:MvDxzVmcRsaTz33bUuRU6A",
            "/meta is formatted with the directory id 07R5amHmR32VDA6jHkGbTA, not MvDxzVmcRsaTz33bUuRU6A",
        ),
        (&[], "", "without controller.quorum.voters a controller must be told how the quorum begins"),
    ];
    for &(found, options, expected) in cases {
        run(1, async move |world| {
            let env = world.env(NODE);
            for (dir, cluster, node, id) in found {
                mark(&env, dir, cluster, *node, id).await;
            }
            refused(&env, options, expected).await;
        });
    }
    for (file, expected) in [
        (
            "/data/a/topic-0/00000000000000000000.log",
            "/data/a is not formatted, yet it holds the partition topic-0",
        ),
        (
            "/meta/__cluster_metadata-0/00000000000000000000.log",
            "/meta is not formatted, yet it holds __cluster_metadata-0/00000000000000000000.log",
        ),
        ("/data/a/meta.properties", "/data/a/meta.properties"),
        ("/meta", "/meta"),
    ] {
        run(1, async move |world| {
            let env = world.env(NODE);
            write(&env, file, b"something").await;
            refused(&env, "-s -g", expected).await;
        });
    }
}

async fn refused(env: &SimEnv, options: &str, expected: &str) {
    write(env, "/etc/server.properties", FILE.as_bytes()).await;
    let before = everything(env).await;
    let error = command(env, "", options).await.expect_err(expected);
    assert!(error.contains(expected), "{expected}: {error}");
    assert!(everything(env).await == before, "{expected}: something was written");
}

#[test]
fn what_is_formatted_can_be_left_alone() {
    run(1, async |world| {
        let env = world.env(NODE);
        mark(&env, "/data/a", CLUSTER, 1, ID_2).await;
        let lines = command(&env, "", "-s -g").await.unwrap();
        assert_eq!(lines[0], "/data/a is formatted already");
        assert!(lines[1].starts_with("formatted /meta as dynamic metadata voter directory"), "{lines:?}");
        assert_eq!(meta(&env, "/data/a").await.directory_id, Uuid::parse(ID_2));
        let before = everything(&env).await;
        let lines = command(&env, "", "-s -g").await.unwrap();
        assert_eq!(lines, ["the directories are formatted already"]);
        assert!(everything(&env).await == before);
    });
}

fn nested() -> ServerConfig {
    let text = FILE.replace("/data/a", "/deep/down/a,/deep/down/b").replace("/meta", "/deep/down/a");
    ServerConfig::parse(properties::parse(&text).unwrap()).unwrap().0
}

#[test]
fn what_is_formatted_outlives_the_power() {
    for seed in 0..20 {
        run(seed, async |world| {
            let env = world.env(NODE);
            format_by(&env, &nested(), &FormatPlan::new(CLUSTER)).await.unwrap();
            world.lose_power(NODE);
            world.power_on(NODE);
            assert!(is_formatted(&world.env(NODE), &nested()).await.unwrap());
        });
    }
}

#[test]
fn a_loss_of_power_leaves_directories_that_can_be_formatted() {
    let mut seen = [0; 3];
    for seed in 0..60 {
        let (sent, received) = std::sync::mpsc::channel();
        run(seed, async move |world| {
            let env = world.env(NODE);
            let formatting = env.clone();
            let _task = env.spawn("format", async move {
                let _cut_off = format_by(&formatting, &nested(), &FormatPlan::new(CLUSTER)).await;
            });
            world.env(WATCHER).clock().sleep(Duration::from_micros(seed * 400)).await;
            world.lose_power(NODE);
            world.power_on(NODE);
            let env = world.env(NODE);
            let left = match is_formatted(&env, &nested()).await {
                Ok(false) => 0,
                Err(_some) => 1,
                Ok(true) => 2,
            };
            sent.send(left).unwrap();
            let plan = FormatPlan { ignore_formatted: true, ..FormatPlan::new(CLUSTER) };
            let directories = format_by(&env, &nested(), &plan).await.unwrap();
            let done = directories.iter().filter(|it| it.purpose.is_some()).count();
            assert_eq!(done, 2 - left);
            assert!(is_formatted(&env, &nested()).await.unwrap());
        });
        seen[received.recv().unwrap()] += 1;
    }
    assert!(seen.iter().all(|&count| count > 2), "none, some, all: {seen:?}");
}
