//! Every file that the log writes, byte by byte against Kafka's formats, and the small files against crashes.

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use ottla::log::checkpoint::*;
use ottla::log::directory::TopicPartition;
use ottla::log::producer_snapshot::*;
use ottla::types::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Uuid};
use support::batches::Spec;
use support::block_on;
use support::logs::*;
use support::memory_disk::MemoryDisk;

fn root() -> &'static Path {
    Path::new("/data")
}

/// A disk with an empty partition directory in a log directory.
fn formatted() -> MemoryDisk {
    let disk = MemoryDisk::default();
    open(&disk, hints()).expect("an empty disk");
    disk
}

fn text(disk: &MemoryDisk, path: impl AsRef<Path>) -> String {
    String::from_utf8(disk.content(path).expect("the file is there")).expect("it is text")
}

#[test]
fn segment_files_are_kafkas() {
    let disk = MemoryDisk::default();
    let (mut log, _) = open(&disk, hints()).expect("an empty disk");
    // Four batches of 149 bytes: an entry is due where more than 200 lie between.
    let timestamps = [1000, 3000, 2000, 2500];
    let mut expected = Vec::new();
    for (index, timestamp) in timestamps.into_iter().enumerate() {
        let spec = Spec { epoch: 5, ..Spec::new(2 * index as i64, 2, timestamp).sized(37) };
        assert_eq!(spec.bytes().len(), 149);
        expected.extend_from_slice(&spec.bytes());
        append(&mut log, &spec).expect("the disk works");
    }
    assert_eq!(disk.content(file(0, "log")), Some(expected), "nothing but batches");
    // The batch at 298 has the offsets 4 and 5; it is the first that begins more than 200 bytes in.
    assert_eq!(disk.content(file(0, "index")), Some(vec![0, 0, 0, 5, 0, 0, 1, 0x2a]));
    // The largest timestamp until then is 3000, that of the batch with the offsets 2 and 3.
    let time_entry = vec![0, 0, 0, 0, 0, 0, 0x0b, 0xb8, 0, 0, 0, 3];
    assert_eq!(disk.content(file(0, "timeindex")), Some(time_entry.clone()));
    roll(&mut log).expect("the disk works");
    assert_eq!(disk.content(file(0, "timeindex")), Some(time_entry), "a roll does not repeat an entry");
    append(&mut log, &Spec::new(8, 2, 4000)).expect("the disk works");
    close(log);
    let time_entry = vec![0, 0, 0, 0, 0, 0, 0x0f, 0xa0, 0, 0, 0, 1];
    assert_eq!(disk.content(file(8, "timeindex")), Some(time_entry), "the last entry comes with the end");
    assert_eq!(disk.content(file(8, "index")), Some(Vec::new()));
}

#[test]
fn checkpoints_are_kafkas() {
    let disk = formatted();
    let partition = |topic: &str, partition| TopicPartition { topic: topic.to_owned(), partition };
    let offsets = BTreeMap::from([
        (partition("__consumer_offsets", 49), Offset(7)),
        (partition("orders", 0), Offset(i64::MAX)),
        (partition("orders", 1), Offset(0)),
    ]);
    let write = write_offsets(&disk, root(), RECOVERY_POINT_CHECKPOINT, &offsets);
    block_on(write).expect("the disk works");
    assert_eq!(
        text(&disk, "/data/recovery-point-offset-checkpoint"),
        "0\n3\n__consumer_offsets 49 7\norders 0 9223372036854775807\norders 1 0\n"
    );
    let read = |name| block_on(read_offsets(&disk, root(), name));
    assert_eq!(read(RECOVERY_POINT_CHECKPOINT).expect("it is readable"), offsets);
    assert!(read(HIGH_WATERMARK_CHECKPOINT).expect("a missing one is empty").is_empty());
    disk.put("/data/replication-offset-checkpoint", b"0\n1\norders 0 x\n");
    let error = read(HIGH_WATERMARK_CHECKPOINT).expect_err("it is malformed").to_string();
    assert!(error.contains("/data/replication-offset-checkpoint") && error.contains("orders 0 x"), "{error}");

    let epochs = vec![(LeaderEpoch(0), Offset(0)), (LeaderEpoch(7), Offset(4711))];
    block_on(write_leader_epochs(&disk, dir(), &epochs)).expect("the disk works");
    assert_eq!(text(&disk, dir().join("leader-epoch-checkpoint")), "0\n2\n0 0\n7 4711\n");
    assert_eq!(block_on(read_leader_epochs(&disk, dir())).expect("it is readable"), epochs);
}

#[test]
fn partition_metadata_is_kafkas() {
    let disk = formatted();
    let read = || block_on(read_topic_id(&disk, dir()));
    assert_eq!(read().expect("it is missing"), None);
    block_on(write_topic_id(&disk, dir(), Uuid::METADATA_TOPIC)).expect("the disk works");
    let path = dir().join("partition.metadata");
    assert_eq!(text(&disk, &path), "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ");
    assert_eq!(read().expect("it is readable"), Some(Uuid::METADATA_TOPIC));
    for content in
        ["", "version: 0", "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA", "version: x\ntopic_id: y"]
    {
        disk.put(&path, content.as_bytes());
        read().expect_err(content);
    }
}

#[test]
fn meta_properties_are_kafkas() {
    let disk = formatted();
    let read = || block_on(read_meta_properties(&disk, root()));
    assert_eq!(read().expect("it is missing"), None);
    let properties = MetaProperties {
        cluster_id: "ciLQ-ciLQuqqciLQciLQ_w".to_owned(),
        node_id: BrokerId(3),
        directory_id: Some(Uuid(0x0123_4567_89ab_4def_8123_4567_89ab_cdef)),
    };
    block_on(write_meta_properties(&disk, root(), &properties)).expect("the disk works");
    assert_eq!(
        text(&disk, "/data/meta.properties"),
        "version=1\ncluster.id=ciLQ-ciLQuqqciLQciLQ_w\nnode.id=3\ndirectory.id=ASNFZ4mrTe-BI0VniavN7w\n"
    );
    assert_eq!(read().expect("it is readable"), Some(properties));
    // As `kafka-storage format` writes it.
    let kafkas = "#\n#Sat Nov 21 07:57:03 UTC 2026\ncluster.id=abc\nversion=1\nnode.id=1\n";
    disk.put("/data/meta.properties", kafkas.as_bytes());
    let found = read().expect("it is readable").expect("it is there");
    assert_eq!((found.cluster_id.as_str(), found.node_id, found.directory_id), ("abc", BrokerId(1), None));
    for content in
        ["version=0\nbroker.id=1\n", "", "version=1\nnode.id=1\n", "version=1\ncluster.id=a\nnode.id=b\n"]
    {
        disk.put("/data/meta.properties", content.as_bytes());
        read().expect_err(content);
    }
}

#[test]
fn the_clean_shutdown_mark_is_taken_once_and_for_good() {
    let disk = formatted();
    let take = || block_on(take_clean_shutdown(&disk, root())).expect("the disk works");
    assert_eq!(take(), None);
    block_on(write_clean_shutdown(&disk, root(), BrokerEpoch(77))).expect("the disk works");
    assert_eq!(text(&disk, "/data/.kafka_cleanshutdown"), r#"{"version":0,"brokerEpoch":77}"#);
    assert_eq!(take(), Some(BrokerEpoch(77)));
    for seed in 0..20 {
        disk.lose_power(seed);
        assert_eq!(take(), None, "a mark that was taken does not come back");
    }
    disk.put("/data/.kafka_cleanshutdown", b"{");
    assert_eq!(take(), None, "one that cannot be read is none");
    assert!(disk.content("/data/.kafka_cleanshutdown").is_none());
}

#[test]
fn producer_snapshots_are_written_and_found_again() {
    let disk = formatted();
    let entry = |id| ProducerSnapshotEntry {
        producer_id: ProducerId(id),
        producer_epoch: ProducerEpoch(1),
        last_sequence: 9,
        last_offset: 41,
        offset_delta: 4,
        timestamp: 1000,
        coordinator_epoch: -1,
        current_transaction_first_offset: -1,
    };
    let write = |offset, entries: &[_]| {
        block_on(write_producer_snapshot(&disk, dir(), Offset(offset), entries)).expect("the disk works");
    };
    write(100, &[entry(1), entry(2)]);
    write(42, &[]);
    let list = block_on(list_producer_snapshots(&disk, dir())).expect("the disk works");
    assert_eq!(list, [Offset(42), Offset(100)]);
    let read = |offset| block_on(read_producer_snapshot(&disk, dir(), Offset(offset)));
    assert_eq!(read(100).expect("it is readable"), [entry(1), entry(2)]);
    assert_eq!(read(42).expect("it is readable"), []);
    assert!(matches!(read(43), Err(SnapshotError::Malformed { .. })), "it is missing");
    disk.rot(file(100, "snapshot"), 50);
    assert!(matches!(read(100), Err(SnapshotError::Malformed { .. })), "it is damaged");
}

#[test]
fn a_small_file_is_old_or_new_after_any_crash_and_new_once_it_is_written() {
    let epochs = |count: i32| (0..count).map(|epoch| (LeaderEpoch(epoch), Offset(0))).collect::<Vec<_>>();
    for operation in 0..=5 {
        for seed in 0..30 {
            let disk = formatted();
            block_on(write_leader_epochs(&disk, dir(), &epochs(100))).expect("the disk works");
            block_on(ottla::env::Disk::sync_dir(&disk, root())).expect("the disk works");
            disk.die_after(operation);
            let outcome = block_on(write_leader_epochs(&disk, dir(), &epochs(200)));
            assert_eq!(outcome.is_ok(), operation == 5, "open, write, sync, rename, sync the directory");
            disk.lose_power(seed);
            let found = block_on(read_leader_epochs(&disk, dir())).expect("it is whole");
            assert!(found == epochs(200) || (outcome.is_err() && found == epochs(100)));
        }
    }
}
