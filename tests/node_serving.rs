//! A node through the front door: what clients get for what they send.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

#[path = "support/node.rs"]
mod node;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use node::{PATIENCE, TestNode, append, batch, call, config, config_on, dated, produce, produce_request};
use ottla::client::admin::{AlterConfig, ConfigResource, NewTopic};
use ottla::client::config::ProducerConfig;
use ottla::client::connection::Connection;
use ottla::client::consumer::TopicPartition;
use ottla::client::producer::{Producer, ProducerRecord};
use ottla::env::tokio::TokioEnv;
use ottla::env::{Clock as _, Env as _};
use ottla::error_code::ErrorCode;
use ottla::types::{Offset, WallMs};
use ottla::wire::Message as _;
use ottla::wire::compression::Compression;
use ottla::wire::frame::encode_request;
use ottla::wire::messages::delete_records::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use ottla::wire::messages::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use ottla::wire::messages::metadata::{MetadataRequest, MetadataRequestTopic};

async fn started(extra: &[(&str, &str)]) -> (tempfile::TempDir, TestNode) {
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::try_start(config(dir.path(), extra)).await.unwrap();
    (dir, node)
}

async fn send_all(node: &TestNode, codec: Compression, values: &[String]) {
    let config =
        ProducerConfig { client: node.client(), compression_type: codec, ..ProducerConfig::default() };
    let producer = Producer::new(&TokioEnv::new().unwrap(), config, 0).unwrap();
    let mut deliveries = Vec::new();
    for value in values {
        deliveries.push(producer.send("t", Some(0), ProducerRecord::value(value.clone())).await);
    }
    producer.flush().await;
    for delivery in deliveries {
        delivery.await.unwrap();
    }
    producer.close(PATIENCE).await;
}

fn fetch(partitions: &[i32], max_wait_ms: i32) -> FetchRequest {
    let partition = |&partition: &i32| FetchPartition {
        partition,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    let partitions: Vec<_> = partitions.iter().map(partition).collect();
    let topic = FetchTopic { topic: "t".to_owned(), partitions, ..FetchTopic::default() };
    let topics = if topic.partitions.is_empty() { Vec::new() } else { vec![topic] };
    FetchRequest { max_wait_ms, min_bytes: 1, topics, ..FetchRequest::default() }
}

/// The partitions in a response and how many bytes of records each has.
fn sizes(response: &FetchResponse) -> Vec<(i32, usize)> {
    let partitions = response.responses.iter().flat_map(|topic| &topic.partitions);
    partitions
        .map(|one| (one.partition_index, one.records.as_ref().map_or(0, |records| records.len())))
        .collect()
}

#[tokio::test]
async fn records_come_back_whatever_the_codec() {
    let (_dir, node) = started(&[]).await;
    node.create("t", 1, &[]).await;
    let mut expected = Vec::new();
    for codec in
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
    {
        let values: Vec<String> =
            (0..100).map(|number| format!("{codec:?} {number} {}", "x".repeat(100))).collect();
        send_all(&node, codec, &values).await;
        expected.extend(values);
    }
    let read = node.read("t").await;
    let values: Vec<String> =
        read.iter().map(|(_, value)| String::from_utf8(value.to_vec()).unwrap()).collect();
    assert_eq!(values, expected);
    assert!(read.iter().map(|(offset, _)| *offset).eq(0..500));
}

#[tokio::test]
async fn segments_roll_under_load_and_the_oldest_leave() {
    let (dir, node) = started(&[("log.retention.check.interval.ms", "200")]).await;
    node.create("t", 1, &[("segment.bytes", "1048576")]).await;
    let values: Vec<String> = (0..80).map(|number| format!("{number:050000}")).collect();
    send_all(&node, Compression::None, &values).await;
    let segments = || {
        let entries = std::fs::read_dir(dir.path().join("t-0")).unwrap();
        entries
            .filter(|entry| entry.as_ref().unwrap().file_name().to_str().unwrap().ends_with(".log"))
            .count()
    };
    assert!(segments() >= 4, "{}", segments());
    assert!(node.read("t").await.iter().map(|(_, value)| value).eq(values.iter()), "across all segments");

    let env = TokioEnv::new().unwrap();
    let resource = ConfigResource::Topic("t".to_owned());
    let change = [("retention.bytes".to_owned(), AlterConfig::Set("1048576".to_owned()))];
    node.admin().incremental_alter_configs(&resource, &change).await.unwrap();
    let (partition, deadline) = (TopicPartition::new("t", 0), env.clock().now() + PATIENCE);
    loop {
        let starts =
            node.consumer().beginning_offsets(std::slice::from_ref(&partition), PATIENCE).await.unwrap();
        if starts[&partition] > Offset(10) {
            break;
        }
        assert!(env.clock().now() < deadline, "nothing was removed: {starts:?}");
        env.clock().sleep(Duration::from_millis(50)).await;
    }
    let read = node.read("t").await;
    assert!(read.iter().map(|(offset, _)| *offset).eq(read[0].0..80), "a suffix is left");
    assert!(read.iter().all(|(offset, value)| value == &values[*offset as usize]));
}

#[tokio::test]
async fn a_fetch_waits_for_data_and_no_longer_than_it_says() {
    let (_dir, node) = started(&[]).await;
    node.create("t", 1, &[]).await;
    let (reader, writer) = (node.connect().await, node.connect().await);
    let clock = *reader.env().clock();
    let begun = clock.now();
    assert_eq!(sizes(&call(&reader, &fetch(&[0], 300)).await), [(0, 0)]);
    assert!(clock.now() >= begun + Duration::from_millis(290), "it returned early");
    let begun = clock.now();
    let request = fetch(&[0], 9_000);
    let (found, _) = tokio::join!(call(&reader, &request), async {
        clock.sleep(Duration::from_millis(100)).await;
        append(&writer, "t", batch(&["data"])).await
    });
    assert!(sizes(&found)[0].1 > 0);
    assert!(clock.now() < begun + Duration::from_secs(5), "it slept on");
}

#[tokio::test]
async fn a_fetch_waits_for_no_more_than_a_response_holds() {
    let (_dir, node) = started(&[("fetch.max.bytes", "1000000")]).await;
    node.create("t", 2, &[]).await;
    let connection = node.connect().await;
    let clock = *connection.env().clock();
    let ask = |min_bytes, max_bytes, partition_max_bytes| {
        let mut request = fetch(&[0, 1], 9_000);
        (request.min_bytes, request.max_bytes) = (min_bytes, max_bytes);
        for partition in &mut request.topics[0].partitions {
            partition.partition_max_bytes = partition_max_bytes;
        }
        request
    };
    let record = "x".repeat(300_000);
    for _ in 0..5 {
        append(&connection, "t", batch(&[&record])).await;
    }
    // The limits of the broker, of the request, and a batch that is larger than both.
    for (request, batches) in [
        (ask(50_000_000, 50_000_000, 50_000_000), 3),
        (ask(50_000_000, 700_000, 50_000_000), 2),
        (ask(50_000_000, 1, 50_000_000), 1),
        (ask(50_000_000, 1_000, 1), 1),
    ] {
        let begun = clock.now();
        let found = sizes(&call(&connection, &request).await);
        assert!(found[0].1 > batches * 300_000 && found[0].1 < (batches + 1) * 300_000, "{found:?}");
        assert!(clock.now() < begun + Duration::from_secs(5), "it waits for what never comes");
    }
    // What fits and is not there yet is waited for.
    let begun = clock.now();
    let request = FetchRequest { max_wait_ms: 300, ..ask(990_000, 50_000_000, 400_000) };
    assert!(sizes(&call(&connection, &request).await)[0].1 > 300_000);
    assert!(clock.now() >= begun + Duration::from_millis(290), "it returned early");
}

#[tokio::test]
async fn a_fetch_that_finds_no_memory_answers_in_time() {
    let (_dir, node) = started(&[("message.max.bytes", "100000000")]).await;
    node.create("t", 1, &[]).await;
    let connection = node.connect().await;
    let clock = *connection.env().clock();
    append(&connection, "t", batch(&[&"x".repeat(95_000_000)])).await;
    // Two responses, which nobody reads, leave no room for a third, although each is one batch far beyond what
    // was asked for.
    let request = encode_request::<FetchRequest>(12, 1, Some("holder"), &fetch(&[0], 0)).unwrap().concat();
    let holders: Vec<_> = (0..2)
        .map(|_| {
            let mut holder = TcpStream::connect(node.address).unwrap();
            holder.write_all(&request).unwrap();
            holder.peek(&mut [0]).unwrap();
            holder
        })
        .collect();
    let begun = clock.now();
    assert_eq!(sizes(&call(&connection, &fetch(&[0], 500)).await), [(0, 0)]);
    let waited = clock.now().since(begun);
    assert!(waited >= Duration::from_millis(490) && waited < Duration::from_secs(5), "{waited:?}");
    // The requests behind it do not wait for its memory, although their answers do.
    let deadline = clock.now() + PATIENCE;
    let third = connection.start(&fetch(&[0], 9_000), 12, deadline).unwrap();
    let behind = produce_request(-1, vec![("t", 0, batch(&["behind"]))]);
    let behind = connection.start(&behind, 12, deadline).unwrap();
    let (partition, mut consumer) = (TopicPartition::new("t", 0), node.consumer());
    let mut end =
        async || consumer.end_offsets(std::slice::from_ref(&partition), PATIENCE).await.unwrap()[&partition];
    while end().await < Offset(2) {
        assert!(clock.now() < begun + Duration::from_secs(5), "it is not appended");
        clock.sleep(Duration::from_millis(20)).await;
    }
    drop(holders);
    let found = third.wait().await.unwrap();
    assert!(sizes(&found)[0].1 > 95_000_000, "{:?}", sizes(&found));
    assert_eq!(behind.wait().await.unwrap().responses[0].partition_responses[0].base_offset, 1);
}

#[tokio::test]
async fn a_fetch_session_tells_what_is_new() {
    let (_dir, node) = started(&[]).await;
    node.create("t", 2, &[]).await;
    let connection = node.connect().await;
    let opened = call(&connection, &FetchRequest { session_epoch: 0, ..fetch(&[0, 1], 0) }).await;
    assert_eq!(sizes(&opened), [(0, 0), (1, 0)]);
    assert_ne!(opened.session_id, 0);
    let next = |session_epoch| FetchRequest { session_id: opened.session_id, session_epoch, ..fetch(&[], 0) };
    assert_eq!(sizes(&call(&connection, &next(1)).await), []);
    produce(&connection, vec![("t", 1, batch(&["new"]))]).await;
    let found = sizes(&call(&connection, &next(2)).await);
    assert!(matches!(found[..], [(1, size)] if size > 0), "{found:?}");
    let code = call(&connection, &next(7)).await.error_code;
    assert_eq!(code, ErrorCode::InvalidFetchSessionEpoch.code());
}

#[tokio::test]
async fn who_does_not_speak_the_protocol_is_cut_off_alone() {
    let (_dir, node) = started(&[]).await;
    let neighbour = node.connect().await;
    let request = |key: i16, version: i16, body: &[u8]| {
        let header =
            [&key.to_be_bytes()[..], &version.to_be_bytes(), &7i32.to_be_bytes(), &(-1i16).to_be_bytes()];
        let request = [header.concat(), body.to_vec()].concat();
        [i32::try_from(request.len()).unwrap().to_be_bytes().to_vec(), request].concat()
    };
    let oversized = i32::MAX.to_be_bytes().to_vec();
    let negative = (-1i32).to_be_bytes().to_vec();
    for bytes in [
        oversized,
        negative,
        request(3, 99, &[]),
        request(999, 0, &[]),
        request(0, 8, &[0xff; 9]),
        request(1, 11, &[0x7f; 40]),
        request(2, 1, &[0x7f; 4]),
        [0, 0, 0, 2, 0, 3].to_vec(),
    ] {
        // The node has threads of its own: this one may block.
        let mut stream = TcpStream::connect(node.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&bytes).unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer).map(|_| answer);
        // The end of the stream, or a reset where something was left unread.
        assert!(read.as_ref().map_or(true, Vec::is_empty), "{read:?} to {bytes:?}");
        assert!(!matches!(&read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "{bytes:?}");
    }
    assert_eq!(call(&neighbour, &MetadataRequest::default()).await.brokers.len(), 1);
}

#[tokio::test]
async fn each_partition_of_a_request_has_its_own_error() {
    let (_dir, node) = started(&[]).await;
    node.create("t", 2, &[]).await;
    node.create("compacted", 1, &[("cleanup.policy", "compact")]).await;
    let mut corrupt = batch(&["corrupt"]).to_vec();
    *corrupt.last_mut().unwrap() ^= 1;
    let batches = vec![
        ("t", 0, corrupt.into()),
        ("compacted", 0, batch(&["no key"])),
        ("missing", 0, batch(&["nowhere"])),
        ("t", 9, batch(&["nowhere"])),
        ("t", 1, batch(&["good"])),
    ];
    let answers = produce(&node.connect().await, batches).await;
    let codes: Vec<_> =
        answers.iter().map(|answer| ErrorCode::from_code(answer.error_code).unwrap()).collect();
    use ErrorCode::*;
    assert_eq!(
        codes,
        [CorruptMessage, InvalidRecord, UnknownTopicOrPartition, UnknownTopicOrPartition, None]
    );
    let found = call(&node.connect().await, &fetch(&[0, 1], 0)).await;
    assert!(matches!(sizes(&found)[..], [(0, 0), (1, size)] if size > 0));
}

/// What a version has no field for is left out of an error; the connection is not closed over it.
#[tokio::test]
async fn a_fetch_is_told_its_error_in_every_version() {
    let (dir, node) = started(&[]).await;
    node.create("t", 1, &[]).await;
    append(&node.connect().await, "t", batch(&["only"])).await;
    // The leader epoch rises with every start: from now on 0 is an old one.
    drop(node);
    let node = TestNode::start(dir.path()).await;
    let connection = node.connect().await;
    let everything = MetadataRequest { topics: None, ..MetadataRequest::default() };
    let topic_id = call(&connection, &everything).await.topics[0].topic_id;
    let deadline = connection.env().clock().now() + PATIENCE;
    use ErrorCode::{FencedLeaderEpoch, InvalidRequest, OffsetOutOfRange, UnknownTopicOrPartition};
    for version in FetchRequest::VERSIONS.min..=FetchRequest::VERSIONS.max {
        let code = async |change: &dyn Fn(&mut FetchRequest)| {
            let mut request = fetch(&[0], 0);
            request.topics[0].topic_id = topic_id;
            change(&mut request);
            let response = connection.start(&request, version, deadline).unwrap().wait().await.unwrap();
            let partition = &response.responses[0].partitions[0];
            let leader_is_named =
                partition.current_leader.leader_id == 1 && response.node_endpoints.len() == 1;
            (ErrorCode::from_code(partition.error_code).unwrap(), leader_is_named)
        };
        let partition = |request: &mut FetchRequest, change: &dyn Fn(&mut FetchPartition)| {
            change(&mut request.topics[0].partitions[0]);
        };
        let beyond = code(&|request| partition(request, &|partition| partition.fetch_offset = 2)).await;
        assert_eq!(beyond, (OffsetOutOfRange, false), "version {version}");
        let unknown = code(&|request| partition(request, &|partition| partition.partition = 9)).await;
        assert_eq!(unknown, (UnknownTopicOrPartition, false), "version {version}");
        assert_eq!(code(&|request| request.isolation_level = 2).await.0, InvalidRequest, "version {version}");
        if version <= 14 {
            // A follower has to say in which epoch it follows.
            let follower = code(&|request| request.replica_id = 5).await.0;
            assert_eq!(follower, FencedLeaderEpoch, "version {version}");
        }
        if version >= 9 {
            // KIP-951: from version 16 on the client is told whom to ask.
            let fenced =
                code(&|request| partition(request, &|partition| partition.current_leader_epoch = 0)).await;
            assert_eq!(fenced, (FencedLeaderEpoch, version >= 16), "version {version}");
        }
    }
    assert!(!connection.is_closed());
}

#[tokio::test]
async fn a_refused_batch_is_answered_as_kafka_answers_it() {
    let (_dir, node) = started(&[]).await;
    node.create("t", 1, &[]).await;
    node.create("compacted", 1, &[("cleanup.policy", "compact")]).await;
    let connection = node.connect().await;
    let mut corrupt = batch(&["corrupt"]).to_vec();
    *corrupt.last_mut().unwrap() ^= 1;
    let answers =
        produce(&connection, vec![("compacted", 0, batch(&["no key"])), ("t", 0, corrupt.into())]).await;
    let starts: Vec<_> = answers.iter().map(|answer| (answer.error_code, answer.log_start_offset)).collect();
    use ErrorCode::{CorruptMessage, InvalidRecord, InvalidRequiredAcks, UnknownTopicOrPartition};
    assert_eq!(starts, [(InvalidRecord.code(), 0), (CorruptMessage.code(), -1)], "where the log starts");
    // That there is no such partition comes before acks that cannot be.
    let request = produce_request(2, vec![("t", 0, batch(&["good"])), ("t", 9, batch(&["good"]))]);
    let answered = call(&connection, &request).await;
    let codes = answered.responses.iter().flat_map(|topic| &topic.partition_responses);
    let codes: Vec<_> = codes.map(|partition| partition.error_code).collect();
    assert_eq!(codes, [InvalidRequiredAcks.code(), UnknownTopicOrPartition.code()]);
    let mut empty = produce_request(-1, vec![("t", 0, batch(&["good"]))]);
    empty.topic_data[0].partition_data.clear();
    assert!(call(&connection, &empty).await.responses.is_empty(), "a topic without partitions");
}

#[tokio::test]
async fn acks_zero_is_silent_and_an_error_closes() {
    let (_dir, node) = started(&[]).await;
    node.create("t", 1, &[]).await;
    let connection = node.connect().await;
    let deadline = connection.env().clock().now() + PATIENCE;
    let request = produce_request(0, vec![("t", 0, batch(&["silent"]))]);
    connection.start_unanswered(&request, 12, deadline).unwrap().wait().await.unwrap();
    // An answer to the first would be taken for one to the second.
    assert_eq!(append(&connection, "t", batch(&["heard"])).await, 1);
    let request = produce_request(0, vec![("missing", 0, batch(&["lost"]))]);
    connection.start_unanswered(&request, 12, deadline).unwrap().wait().await.unwrap();
    while !connection.is_closed() {
        assert!(connection.env().clock().now() < deadline, "the connection stays open");
        connection.env().clock().sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_topic_is_created_by_asking_for_it() {
    let (_dir, node) = started(&[("num.partitions", "3")]).await;
    let connection = node.connect().await;
    let wanted = MetadataRequestTopic { name: Some("auto".to_owned()), ..MetadataRequestTopic::default() };
    let mut request = MetadataRequest { topics: Some(vec![wanted]), ..MetadataRequest::default() };
    request.allow_auto_topic_creation = false;
    let answer = call(&connection, &request).await;
    assert_eq!(answer.topics[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
    request.allow_auto_topic_creation = true;
    let answer = call(&connection, &request).await;
    assert_eq!((answer.topics[0].error_code, answer.topics[0].partitions.len()), (0, 3));
    assert_eq!(append(&connection, "auto", batch(&["first"])).await, 0);
}

#[tokio::test]
async fn offsets_are_found_by_timestamp() {
    let (_dir, node) = started(&[]).await;
    node.create("t", 1, &[]).await;
    let connection = node.connect().await;
    for (value, timestamp) in [("a", 1_000), ("b", 3_000), ("c", 2_000), ("d", 5_000)] {
        append(&connection, "t", dated(value, timestamp)).await;
    }
    let partition = TopicPartition::new("t", 0);
    let mut consumer = node.consumer();
    for (asked, expected) in [(0, Some(0)), (1_001, Some(1)), (3_001, Some(3)), (5_001, None)] {
        let found = consumer
            .offsets_for_time(std::slice::from_ref(&partition), WallMs(asked), PATIENCE)
            .await
            .unwrap();
        assert_eq!(found[&partition].as_ref().map(|found| found.offset.0), expected, "at {asked}");
    }
}

#[tokio::test]
async fn a_listener_on_every_interface_is_where_the_client_has_dialled() {
    let dir = tempfile::tempdir().unwrap();
    let node = TestNode::try_start(config_on("0.0.0.0:0", dir.path(), &[])).await.unwrap();
    let brokers = call(&node.connect().await, &MetadataRequest::default()).await.brokers;
    assert_eq!((brokers[0].host.as_str(), brokers[0].port), ("127.0.0.1", i32::from(node.address.port())));
    node.create("t", 1, &[]).await;
    assert!(node.read("t").await.is_empty());
}

#[tokio::test]
async fn a_listener_without_a_host_takes_both_kinds_of_addresses() {
    let (_dir, node) = started(&[("listeners", "PLAINTEXT://:0,CONTROLLER://:0")]).await;
    assert_eq!(call(&node.connect().await, &MetadataRequest::default()).await.brokers[0].host, "127.0.0.1");
    // Unless the machine has none.
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        let env = TokioEnv::new().unwrap();
        let connection = Connection::open(&env, "::1", node.address.port(), &node.client()).await.unwrap();
        assert_eq!(call(&connection, &MetadataRequest::default()).await.brokers[0].host, "::1");
    }
}

#[tokio::test]
async fn a_failed_directory_fails_the_deletion_of_its_own_records_alone() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let both = format!("{},{}", one.path().display(), other.path().display());
    let config =
        config(one.path(), &[("log.dirs", &both), ("metadata.log.dir", one.path().to_str().unwrap())]);
    let node = TestNode::try_start(config).await.unwrap();
    node.create("t", 2, &[]).await;
    let lies_in =
        |dir: &tempfile::TempDir| (0..2).find(|index| dir.path().join(format!("t-{index}")).exists());
    let (healthy, failing) = (lies_in(&one).unwrap(), lies_in(&other).unwrap());
    let connection = node.connect().await;
    for index in [healthy, failing, healthy, failing] {
        assert_eq!(produce(&connection, vec![("t", index, batch(&["x"]))]).await[0].error_code, 0);
    }
    std::fs::remove_dir_all(other.path()).unwrap();
    let delete = async |offset| {
        let partition = |partition_index| DeleteRecordsPartition { partition_index, offset };
        let partitions = vec![partition(healthy), partition(failing)];
        let topics = vec![DeleteRecordsTopic { name: "t".to_owned(), partitions }];
        let request = DeleteRecordsRequest { topics, timeout_ms: 5_000 };
        let deadline = connection.env().clock().now() + PATIENCE;
        let response = connection.start(&request, 2, deadline).unwrap().wait().await.unwrap();
        let results = response.topics[0].partitions.iter();
        results.map(|result| (result.error_code, result.low_watermark)).collect::<Vec<_>>()
    };
    let failed = ErrorCode::KafkaStorageError.code();
    assert_eq!(delete(1).await, [(0, 1), (failed, -1)], "its checkpoint cannot be written");
    assert_eq!(delete(2).await, [(0, 2), (failed, -1)], "it is offline");
}

#[tokio::test]
async fn what_must_not_be_deleted_is_refused_partition_by_partition() {
    let (_dir, node) = started(&[]).await;
    node.create("t", 2, &[]).await;
    node.create("compacted", 1, &[("cleanup.policy", "compact")]).await;
    node.create("both", 1, &[("cleanup.policy", "compact,delete")]).await;
    node.create("__consumer_offsets", 1, &[]).await;
    let connection = node.connect().await;
    for index in [0, 0, 0, 1] {
        assert_eq!(produce(&connection, vec![("t", index, batch(&["x"]))]).await[0].error_code, 0);
    }
    use ErrorCode::*;
    for (topic, index, offset, expected) in [
        ("t", 0, 4, (OffsetOutOfRange, -1)),
        ("t", 0, -2, (OffsetOutOfRange, -1)),
        ("t", 0, 2, (None, 2)),
        ("t", 0, 1, (None, 2)),
        ("t", 0, -1, (None, 3)),
        ("t", 1, 0, (None, 0)),
        ("t", 2, 0, (UnknownTopicOrPartition, -1)),
        ("missing", 0, 0, (UnknownTopicOrPartition, -1)),
        ("compacted", 0, 0, (PolicyViolation, -1)),
        ("both", 0, 0, (None, 0)),
        ("__consumer_offsets", 0, 0, (InvalidTopicException, -1)),
    ] {
        let partitions = vec![DeleteRecordsPartition { partition_index: index, offset }];
        let topics = vec![DeleteRecordsTopic { name: topic.to_owned(), partitions }];
        let response = call(&connection, &DeleteRecordsRequest { topics, timeout_ms: 5_000 }).await;
        let result = &response.topics[0].partitions[0];
        let seen = (ErrorCode::from_code(result.error_code).unwrap(), result.low_watermark);
        assert_eq!(seen, expected, "{topic}-{index} to {offset}");
    }
}

#[tokio::test]
async fn a_request_for_too_much_metadata_is_refused_and_stops_nothing() {
    let (_dir, node) = started(&[]).await;
    let replicas = "0:1,".repeat(8_000) + "0:1";
    let topic = |number: usize| {
        let mut topic = NewTopic::new(&format!("t{number}"), 1, 1);
        topic.configs.insert("leader.replication.throttled.replicas".to_owned(), replicas.clone());
        topic
    };
    let topics: Vec<_> = (0..300).map(topic).collect();
    let created = node.admin().create_topics(&topics, false).await.unwrap();
    let error = created[0].1.as_ref().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::PolicyViolation), "{error}");
    node.create("t", 1, &[]).await;
}
