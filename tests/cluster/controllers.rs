//! Controllers among themselves: who they are, and what they fetch when the log has been cut.

use ottla::client::admin::NewTopic;
use ottla::wire::messages::describe_cluster::DescribeClusterRequest;

use crate::cluster::{Cluster, NODES, PATIENCE, pause, wait_until};
use crate::node::{TestNode, call_at};
use crate::tree::tree;

const CONTROLLERS: i8 = 2;

/// KIP-919: every controller tells of all, by its own listener.
#[tokio::test(flavor = "multi_thread")]
async fn controllers_know_each_other() {
    let cluster = Cluster::start().await;
    let request = DescribeClusterRequest { endpoint_type: CONTROLLERS, ..Default::default() };
    let mut told = Vec::new();
    for index in 0..NODES {
        for _ in 0..200 {
            let connection = cluster.connect_controller(index).await;
            let response = call_at(&connection, &request, 2).await;
            assert_eq!((response.error_code, response.endpoint_type), (0, CONTROLLERS));
            told = response.brokers.iter().map(|it| (it.broker_id, it.port as u16)).collect();
            if told.len() == NODES && response.controller_id > 0 {
                break;
            }
            pause().await;
        }
        let expected: Vec<_> = (1..).zip(cluster.ports()).collect();
        assert_eq!(told, expected);
    }
    // Each asks for what the other kind of node tells.
    let wrong = call_at(&cluster.connect(0).await, &request, 2).await;
    assert_eq!(wrong.error_code, 114);
    let brokers = DescribeClusterRequest::default();
    assert_eq!(call_at(&cluster.connect_controller(0).await, &brokers, 2).await.error_code, 114);
}

/// Small snapshots soon, and nothing kept that one of them covers.
const SHORT_LOG: [(&str, &str); 2] =
    [("metadata.log.max.record.bytes.between.snapshots", "3000"), ("metadata.max.retention.bytes", "1")];

async fn create_many(cluster: &Cluster, names: std::ops::Range<usize>) {
    for number in names {
        cluster.create_spread(&format!("t{number}"), 1, 2, &[]).await;
    }
}

/// Waits until a node tells clients of a topic.
async fn wait_for_topic(node: &TestNode, name: &str) {
    let mut known = Vec::new();
    for _ in 0..PATIENCE.as_millis() / 50 {
        known = node.admin().list_topics().await.unwrap().into_keys().collect();
        if known.iter().any(|known| known == name) {
            return;
        }
        pause().await;
    }
    panic!("{name} is not among {known:?}");
}

/// A snapshot of the leader's takes the place of all segments. A crash when they are gone, and the checkpoint still
/// says what they held, is no damage.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::disallowed_methods, reason = "files are taken away from a node that is down")]
async fn a_crash_between_the_old_log_and_the_new_one_is_no_damage() {
    let mut cluster = Cluster::start_with(&SHORT_LOG).await;
    let (away, topics) = (2, 40);
    create_many(&cluster, 0..topics).await;
    let dir = cluster.dir(away).to_owned();
    let log = dir.join("__cluster_metadata-0");
    let names = || std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let ends_with = |path: &std::path::Path, what: &str| path.extension().is_some_and(|it| it == what);
    let has_snapshot = || names().iter().any(|path| ends_with(path, "checkpoint"));
    wait_until("there is a snapshot", has_snapshot).await;
    cluster.crash(away);
    for path in names() {
        if ["log", "index", "timeindex"].iter().any(|what| ends_with(&path, what)) {
            std::fs::remove_file(path).unwrap();
        }
    }
    std::fs::write(dir.join("recovery-point-offset-checkpoint"), "0\n1\n__cluster_metadata 0 2\n").unwrap();
    cluster.restart(away).await;
    wait_for_topic(cluster.nodes[away].as_ref().unwrap(), &format!("t{}", topics - 1)).await;
}

/// A controller that was away while the log was cut gets the snapshot in its place, and so does a broker that was
/// never there before.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_has_no_more_comes_as_a_snapshot() {
    let mut cluster = Cluster::start_with(&SHORT_LOG).await;
    cluster.create("first", &[]).await;
    let (away, topics) = (2, 40);
    assert_eq!(Cluster::metadata_segments(cluster.dir(away)), [0]);
    cluster.crash(away);
    create_many(&cluster, 0..topics).await;

    cluster.restart(away).await;
    let node = cluster.nodes[away].as_ref().unwrap();
    wait_for_topic(node, &format!("t{}", topics - 1)).await;
    let segments = Cluster::metadata_segments(cluster.dir(away));
    assert!(segments.iter().all(|base| *base > 0), "its log begins with a snapshot: {segments:?}");
    create_many(&cluster, topics..topics + 1).await;
    wait_for_topic(node, &format!("t{topics}")).await;

    let dir = tempfile::tempdir().unwrap();
    let broker = cluster.open_broker(9, dir.path()).await;
    let segments = Cluster::metadata_segments(dir.path());
    assert!(segments.iter().all(|base| *base > 0), "an observer's, too: {segments:?}");
    let known = broker.admin().list_topics().await.unwrap();
    assert_eq!(known.len(), topics + 2);
    let topic = NewTopic::new("everywhere", 1, NODES as i16 + 1);
    let created = cluster.admin().create_topics(&[topic], false).await.unwrap();
    assert!(created.iter().all(|(_, outcome)| outcome.is_ok()), "{created:?}");
    let has_replica = || broker.replicas().iter().any(|replica| replica.name == "everywhere-0");
    wait_until("the new broker has a replica", has_replica).await;
    broker.shutdown().await;
}

/// A list that elects a majority of its own would take back what the others have committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_controller_whose_list_of_voters_was_changed_is_refused() {
    let mut cluster = Cluster::start().await;
    cluster.create("t", &[]).await;
    cluster.stop(2).await;
    let before = tree(cluster.dir(2));
    let alone = format!("3@127.0.0.1:{}", cluster.ports().nth(2).unwrap());
    let changed = cluster.config_with(2, cluster.dir(2), &[("controller.quorum.voters", &alone)]);
    let message = TestNode::try_start(changed).await.err().unwrap();
    for part in ["names the nodes 3, but", "was elected by 1, 2, 3", "make it what it was", "every node"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(tree(cluster.dir(2)), before);
    cluster.restart(2).await;
    cluster.produce("t", 0..10).await;
}

/// Who has elected itself by a list of its own, with an epoch beyond the others', has nothing that they have.
#[tokio::test(flavor = "multi_thread")]
async fn a_quorum_gives_up_a_leader_that_would_take_back_what_is_committed() {
    let mut cluster = Cluster::start().await;
    cluster.create("t", &[("min.insync.replicas", "2")]).await;
    cluster.stop(2).await;
    cluster.create_spread("u", 1, 2, &[]).await;
    let dir = tempfile::tempdir().unwrap();
    let start = async |port: u16| {
        let voters = format!("3@127.0.0.1:{port}");
        let listeners = format!("PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:{port}");
        let extra = [("controller.quorum.voters", voters.as_str()), ("listeners", &listeners)];
        TestNode::try_start(cluster.config_with(2, dir.path(), &extra)).await
    };
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for _ in 0..5 {
        start(elsewhere).await.unwrap().crash();
    }
    // Where the others look for it. It may hear of them before it has served.
    let stray = start(cluster.ports().nth(2).unwrap()).await;
    cluster.create_spread("v", 1, 2, &[]).await;
    cluster.produce("t", 0..10).await;
    drop(stray);
    let names: Vec<String> = cluster.admin().list_topics().await.unwrap().into_keys().collect();
    assert_eq!(names, ["t", "u", "v"]);
    // With its own directory and the list of all it is one of them again.
    cluster.restart(2).await;
    cluster.wait_for("t", |partition| partition.isr.len() == NODES).await;
}
