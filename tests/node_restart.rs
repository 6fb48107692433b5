//! What a node keeps when it stops and when it crashes, and when it refuses to start.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

#[path = "support/node.rs"]
mod node;

use std::fs;

use node::{TestNode, append, batch, call, config, numbered, produce, produce_request};
use ottla::env::tokio::TokioEnv;
use ottla::env::{Clock as _, Env as _};
use ottla::types::Offset;
use ottla::wire::messages::metadata::MetadataRequest;

async fn stop(node: TestNode, cleanly: bool) {
    if cleanly {
        node.shutdown().await;
    } else {
        node.crash();
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_once_after_any_stop() {
    for cleanly in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let node = TestNode::start(dir.path()).await;
        node.create("t", 1, &[]).await;
        let connection = node.connect().await;
        let mut offsets = Vec::new();
        for number in 0..7 {
            offsets.push(append(&connection, "t", numbered(&["a", "b"], 77, 2 * number)).await);
        }
        assert_eq!(offsets, [0, 2, 4, 6, 8, 10, 12]);
        stop(node, cleanly).await;

        let node = TestNode::start(dir.path()).await;
        let connection = node.connect().await;
        for number in 2..7 {
            let again = append(&connection, "t", numbered(&["a", "b"], 77, 2 * number)).await;
            assert_eq!(again, i64::from(2 * number), "cleanly: {cleanly}");
        }
        assert_eq!(append(&connection, "t", numbered(&["c"], 77, 14)).await, 14);
        let values: Vec<_> = node.read("t").await.into_iter().map(|(_, value)| value).collect();
        assert_eq!(values.concat(), b"abababababababc");
    }
}

#[tokio::test]
async fn a_topic_under_an_old_name_is_a_new_topic_even_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(dir.path()).await;
    node.create("t", 1, &[]).await;
    let connection = node.connect().await;
    for _ in 0..10 {
        append(&connection, "t", batch(&["old", "old"])).await;
    }
    assert_eq!(node.admin().delete_records("t", 0, Some(Offset(15))).await.unwrap(), Offset(15));
    // All checkpoints speak of the old topic now.
    node.shutdown().await;

    let node = TestNode::start(dir.path()).await;
    node.admin().delete_topics(&["t".to_owned()]).await.unwrap();
    node.create("t", 1, &[]).await;
    assert_eq!(append(&node.connect().await, "t", batch(&["new"])).await, 0);
    node.crash();

    let node = TestNode::start(dir.path()).await;
    assert_eq!(node.read("t").await, [(0, "new".into())]);
    let names =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(!names.into_iter().any(|name| name.ends_with("-delete")), "the next start removes what is left");
}

#[tokio::test]
async fn a_topic_can_be_deleted_while_its_log_is_at_work() {
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(dir.path()).await;
    let connection = node.connect().await;
    let deadline = connection.env().clock().now() + node::PATIENCE;
    let mut admin = node.admin();
    let large = "x".repeat(200_000);
    for round in 0..15 {
        node.create("t", 2, &[("segment.bytes", "1048576")]).await;
        // First syncs, first epochs and rolls are under way when the topic goes.
        let batches = || (0..2).map(|index| ("t", index, batch(&[&large]))).collect();
        let calls: Vec<_> = (0..round)
            .map(|_| connection.start(&produce_request(-1, batches()), 12, deadline).unwrap())
            .collect();
        let deleted = admin.delete_topics(&["t".to_owned()]).await.unwrap();
        assert!(deleted.iter().all(|(_, outcome)| outcome.is_ok()), "{deleted:?}");
        for call in calls {
            call.wait().await.unwrap();
        }
    }
    node.create("t", 1, &[]).await;
    assert_eq!(append(&connection, "t", batch(&["last"])).await, 0);
    node.shutdown().await;
    let node = TestNode::start(dir.path()).await;
    assert_eq!(node.read("t").await, [(0, "last".into())]);
}

#[tokio::test]
async fn deleted_records_stay_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(dir.path()).await;
    node.create("t", 1, &[]).await;
    append(&node.connect().await, "t", batch(&["0", "1", "2", "3", "4"])).await;
    assert_eq!(node.admin().delete_records("t", 0, Some(Offset(3))).await.unwrap(), Offset(3));
    node.crash();
    for cleanly in [false, true, false] {
        let node = TestNode::start(dir.path()).await;
        assert_eq!(node.read("t").await, [(3, "3".into()), (4, "4".into())]);
        stop(node, cleanly).await;
    }
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "it damages a file behind the broker's back")]
async fn damage_below_the_recovery_point_keeps_the_node_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(dir.path()).await;
    node.create("t", 1, &[]).await;
    let connection = node.connect().await;
    for value in ["one", "two", "three"] {
        append(&connection, "t", batch(&[value])).await;
    }
    node.shutdown().await;
    TestNode::start(dir.path()).await.crash();
    let file = dir.path().join("t-0/00000000000000000000.log");
    let mut bytes = fs::read(&file).unwrap();
    let second = bytes.len() / 3 + 65;
    bytes[second] ^= 1;
    fs::write(&file, bytes).unwrap();
    let Err(error) = TestNode::try_start(config(dir.path(), &[])).await else { panic!("it started") };
    assert!(error.contains(file.to_str().unwrap()) && error.contains("offset 1"), "{error}");
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "it loses files behind the broker's back")]
async fn what_was_durable_and_is_gone_keeps_the_node_from_starting() {
    type Loss = fn(&std::path::Path);
    let losses: [(&str, Loss, &str); 5] = [
        ("t-0 is missing", |dir| fs::remove_dir_all(dir).unwrap(), "t-0"),
        (
            "t-0 has no partition.metadata",
            |dir| fs::remove_file(dir.join("partition.metadata")).unwrap(),
            "t-0",
        ),
        (
            "durable or committed up to offset 80",
            |dir| {
                for entry in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
                    if entry.extension().is_some_and(|extension| extension == "log") {
                        fs::remove_file(entry).unwrap();
                    }
                }
            },
            "t-0",
        ),
        (
            "durable or committed up to offset 80",
            |dir| {
                let mut logs: Vec<_> =
                    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
                logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
                logs.sort();
                assert!(logs.len() > 2, "{logs:?}");
                fs::remove_file(logs.last().unwrap()).unwrap();
            },
            ".log",
        ),
        (
            "durable or committed up to offset 80",
            |dir| {
                let mut logs: Vec<_> =
                    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
                logs.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
                logs.sort();
                fs::write(logs.last().unwrap(), b"").unwrap();
            },
            ".log",
        ),
    ];
    for cleanly in [true, false] {
        for (reason, lose, named) in losses {
            let dir = tempfile::tempdir().unwrap();
            let node = TestNode::start(dir.path()).await;
            node.create("t", 1, &[("segment.bytes", "1048576")]).await;
            node.create("empty", 1, &[]).await;
            let connection = node.connect().await;
            for _ in 0..40 {
                append(&connection, "t", batch(&[&"x".repeat(40_000), &"y".repeat(40_000)])).await;
            }
            // All checkpoints are written now.
            node.shutdown().await;
            if !cleanly {
                TestNode::start(dir.path()).await.crash();
            }
            lose(&dir.path().join("t-0"));
            // One that never had a record is no loss.
            fs::remove_dir_all(dir.path().join("empty-0")).unwrap();
            for _ in 0..2 {
                let started = TestNode::try_start(config(dir.path(), &[])).await;
                let Err(error) = started else { panic!("it started: {reason}, cleanly {cleanly}") };
                assert!(error.contains(reason) && error.contains("offset 80"), "{error}");
                assert!(error.contains(dir.path().to_str().unwrap()) && error.contains(named), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_partition_that_never_had_a_record_is_created_anew() {
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(dir.path()).await;
    node.create("t", 2, &[]).await;
    append(&node.connect().await, "t", batch(&["kept"])).await;
    node.shutdown().await;
    fs::remove_dir_all(dir.path().join("t-1")).unwrap();
    let node = TestNode::start(dir.path()).await;
    assert_eq!(produce(&node.connect().await, vec![("t", 1, batch(&["new"]))]).await[0].base_offset, 0);
    assert_eq!(node.read("t").await, [(0, "kept".into())]);
}

/// As when the node crashes between putting away a directory and taking it out of the checkpoints, and gets a
/// replica of that name meanwhile.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "it puts a directory away behind the broker's back")]
async fn what_was_put_away_is_not_missed() {
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(dir.path()).await;
    node.create("t", 1, &[]).await;
    append(&node.connect().await, "t", batch(&["away"])).await;
    node.shutdown().await;
    let put_away = dir.path().join("t-0.0123456789abcdef0123456789abcdef-delete");
    fs::rename(dir.path().join("t-0"), &put_away).unwrap();
    let node = TestNode::start(dir.path()).await;
    assert!(!put_away.exists());
    assert_eq!(append(&node.connect().await, "t", batch(&["new"])).await, 0);
    node.crash();
    assert_eq!(TestNode::start(dir.path()).await.read("t").await, [(0, "new".into())]);
}

#[tokio::test]
async fn a_partition_in_two_directories_keeps_the_node_from_starting() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let both = format!("{},{}", one.path().display(), other.path().display());
    let config = || config(one.path(), &[("log.dirs", &both)]);
    let node = TestNode::try_start(config()).await.unwrap();
    node.create("t", 1, &[]).await;
    append(&node.connect().await, "t", batch(&["one"])).await;
    node.shutdown().await;
    let (there, copy) = (one.path().join("t-0"), other.path().join("t-0"));
    let (there, copy) = if there.exists() { (there, copy) } else { (copy, there) };
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(&there).unwrap().map(|entry| entry.unwrap()) {
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let Err(error) = TestNode::try_start(config()).await else { panic!("it started") };
    assert!(error.contains("partition t-0 is found in both"), "{error}");
    assert!([there, copy.clone()].iter().all(|path| error.contains(path.to_str().unwrap())), "{error}");
    fs::remove_dir_all(copy).unwrap();
    assert_eq!(TestNode::try_start(config()).await.unwrap().read("t").await, [(0, "one".into())]);
}

/// Where a batch's header has its leader epoch, and the last byte of its producer id.
const LEADER_EPOCH_AT: usize = 12;
const PRODUCER_ID_AT: usize = 50;

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "it damages a file behind the broker's back")]
async fn who_wrote_last_is_not_learnt_from_a_header_that_has_rotted() {
    for (position, reason) in [(PRODUCER_ID_AT, "CRC"), (LEADER_EPOCH_AT, "leader epoch")] {
        let dir = tempfile::tempdir().unwrap();
        let node = TestNode::start(dir.path()).await;
        node.create("t", 1, &[]).await;
        let connection = node.connect().await;
        for sequence in 0..3 {
            append(&connection, "t", numbered(&["a"], 77, sequence)).await;
        }
        node.shutdown().await;
        let partition = dir.path().join("t-0");
        // Without a snapshot, the log tells of its producers.
        fs::remove_file(partition.join("00000000000000000003.snapshot")).unwrap();
        let file = partition.join("00000000000000000000.log");
        let mut bytes = fs::read(&file).unwrap();
        let second = bytes.len() / 3;
        bytes[second + position] ^= 1;
        fs::write(&file, bytes).unwrap();
        let Err(error) = TestNode::try_start(config(dir.path(), &[])).await else { panic!("it started") };
        assert!(error.contains(file.to_str().unwrap()) && error.contains("offset 1"), "{error}");
        assert!(error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn a_directory_has_one_node_and_must_be_formatted() {
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::start(dir.path()).await;
    let Err(error) = TestNode::try_start(config(dir.path(), &[])).await else { panic!("it started") };
    assert!(error.contains("is in use by another process"), "{error}");
    assert_eq!(call(&node.connect().await, &MetadataRequest::default()).await.brokers.len(), 1);

    let empty = tempfile::tempdir().unwrap();
    let env = TokioEnv::new().unwrap();
    let Err(error) = ottla::node::start(env, config(empty.path(), &[])).await else { panic!("it started") };
    assert!(error.to_string().contains("run `ottla storage format -t CLUSTER_ID -c FILE`"), "{error}");
}
