//! The consumer against a model of a broker: logs with gaps, compression, control batches and aborted
//! transactions, fetch sessions, answers that end inside a batch, get lost or refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng as _;

use super::core::ConsumerCore;
use super::{
    ConsumeError, ConsumerConfig, ConsumerRecord, IsolationLevel, OffsetReset, Start, TopicPartition,
};
use crate::client::metadata::Metadata;
use crate::error_code::ErrorCode;
use crate::types::{BrokerId, LeaderEpoch, Mono, Offset, ProducerEpoch, ProducerId, Uuid, WallMs};
use crate::wire::batch_builder::{BatchBuilder, BatchOptions, NewRecord};
use crate::wire::compression::{Compression, Scratch};
use crate::wire::messages::fetch::{
    AbortedTransaction, EpochEndOffset, FetchRequest, FetchResponse, FetchableTopicResponse, PartitionData,
};
use crate::wire::messages::list_offsets::{
    ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use crate::wire::messages::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::wire::records::ControlType;

const TOPIC: &str = "t";
const BROKER: BrokerId = BrokerId(1);
const EPOCH: i32 = 3;

struct LogBatch {
    last: i64,
    bytes: Bytes,
}

/// One partition's log.
#[derive(Default)]
struct Log {
    batches: Vec<LogBatch>,
    /// Offset, value, and whether its transaction was aborted.
    records: Vec<(i64, String, bool)>,
    /// Producer, first offset, offset of the marker.
    aborted: Vec<(i64, i64, i64)>,
    start: i64,
    end: i64,
}

impl Log {
    /// A log of random shape; every transaction in it has ended.
    fn random(rng: &mut ChaCha8Rng) -> Self {
        let mut log = Self { start: (rng.next_u64() % 3) as i64 * 10, ..Self::default() };
        log.end = log.start;
        let mut open: BTreeMap<i64, (i64, Vec<usize>)> = BTreeMap::new();
        for _ in 0..rng.next_u64() % 30 {
            let producer = (rng.next_u64() % 3) as i64;
            match rng.next_u64() % 8 {
                0 => log.end += 1 + (rng.next_u64() % 5) as i64,
                1 => log.append_gap_at_end(rng),
                2..=4 => {
                    let first = log.end;
                    let from = log.records.len();
                    log.append(rng, Some(producer));
                    let entry = open.entry(producer).or_insert((first, Vec::new()));
                    entry.1.extend(from..log.records.len());
                }
                5 => log.close(&mut open, producer, rng.next_u64().is_multiple_of(2)),
                _ => log.append(rng, None),
            }
        }
        for producer in 0..3 {
            log.close(&mut open, producer, true);
        }
        log
    }

    fn append(&mut self, rng: &mut ChaCha8Rng, transaction: Option<i64>) {
        let compression = Compression::ALL[(rng.next_u64() % 5) as usize];
        let count = 1 + rng.next_u64() % 6;
        let values: Vec<String> =
            (0..count as i64).map(|delta| format!("value-{}", self.end + delta)).collect();
        let bytes = batch(self.end, &values, compression, transaction);
        for (delta, value) in (0i64..).zip(values) {
            self.records.push((self.end + delta, value, false));
        }
        self.push(bytes, count as i64);
    }

    /// A batch of which compaction has removed the last records.
    fn append_gap_at_end(&mut self, rng: &mut ChaCha8Rng) {
        let value = format!("value-{}", self.end);
        let bytes = batch(self.end, std::slice::from_ref(&value), Compression::None, None);
        let span = 2 + (rng.next_u64() % 3) as i64;
        let mut bytes = BytesMut::from(&bytes[..]);
        bytes[23..27].copy_from_slice(&(span as i32 - 1).to_be_bytes());
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        self.records.push((self.end, value, false));
        self.push(bytes.freeze(), span);
    }

    fn close(&mut self, open: &mut BTreeMap<i64, (i64, Vec<usize>)>, producer: i64, abort: bool) {
        let Some((first, records)) = open.remove(&producer) else { return };
        let marker = if abort { ControlType::Abort } else { ControlType::Commit };
        let options = BatchOptions {
            base_offset: Offset(self.end),
            leader_epoch: LeaderEpoch(EPOCH),
            producer_id: ProducerId(producer),
            producer_epoch: ProducerEpoch(0),
            transactional: true,
            control: true,
            ..BatchOptions::default()
        };
        let mut builder = BatchBuilder::new();
        builder.add(&NewRecord {
            timestamp: 1,
            key: Some(&marker.key()),
            value: Some(&[0; 6]),
            headers: &[],
        });
        if abort {
            self.aborted.push((producer, first, self.end));
            records.into_iter().for_each(|index| self.records[index].2 = true);
        }
        self.push(builder.finish(&options, &mut Scratch::default()), 1);
    }

    fn push(&mut self, bytes: Bytes, span: i64) {
        self.batches.push(LogBatch { last: self.end + span - 1, bytes });
        self.end += span;
    }

    /// What a consumer sees from `from` on.
    fn visible(&self, from: i64, isolation: IsolationLevel) -> Vec<(i64, String)> {
        let seen = self.records.iter().filter(|(offset, _, aborted)| {
            *offset >= from && !(*aborted && isolation == IsolationLevel::ReadCommitted)
        });
        seen.map(|(offset, value, _)| (*offset, value.clone())).collect()
    }
}

fn batch(base: i64, values: &[String], compression: Compression, transaction: Option<i64>) -> Bytes {
    let mut builder = BatchBuilder::new();
    for value in values {
        let value = Some(value.as_bytes());
        builder.add(&NewRecord { timestamp: 1, key: None, value, headers: &[] });
    }
    let mut options = BatchOptions {
        base_offset: Offset(base),
        leader_epoch: LeaderEpoch(EPOCH),
        encoding: compression.into(),
        ..BatchOptions::default()
    };
    if let Some(producer) = transaction {
        options.producer_id = ProducerId(producer);
        options.producer_epoch = ProducerEpoch(0);
        options.base_sequence = 0;
        options.transactional = true;
    }
    builder.finish(&options, &mut Scratch::default())
}

/// A broker with one session at most.
struct Broker {
    logs: Vec<Log>,
    rng: ChaCha8Rng,
    session: Option<(i32, i32, BTreeMap<i32, i64>)>,
    next_session: i32,
    faults: bool,
}

impl Broker {
    fn draw(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound
    }

    fn fetch(&mut self, request: &FetchRequest) -> FetchResponse {
        if self.faults && self.draw(10) == 0 {
            self.session = None;
        }
        let whole = request.session_epoch <= 0;
        if whole {
            self.session = Some((self.next_session, 1, BTreeMap::new()));
            self.next_session += 1;
        }
        let Some((id, epoch, partitions)) = self.session.as_mut() else {
            let error_code = ErrorCode::FetchSessionIdNotFound.code();
            return FetchResponse { error_code, ..Default::default() };
        };
        if !whole {
            assert_eq!((request.session_id, request.session_epoch), (*id, *epoch), "the session goes on");
            *epoch += 1;
        }
        for topic in &request.forgotten_topics_data {
            partitions.retain(|index, _| !topic.partitions.contains(index));
        }
        for partition in request.topics.iter().flat_map(|topic| &topic.partitions) {
            assert_eq!(partition.current_leader_epoch, EPOCH);
            partitions.insert(partition.partition, partition.fetch_offset);
        }
        let (id, wanted) = (*id, partitions.clone());
        let answers = wanted.into_iter().filter_map(|(index, offset)| {
            let data = self.read(index, offset, request.isolation_level == 1);
            // A session's answer leaves out what has no news.
            (whole || data.error_code != 0 || data.records.as_ref().is_some_and(|it| !it.is_empty()))
                .then_some(data)
        });
        let partitions = answers.collect();
        let topic = FetchableTopicResponse { topic_id: Uuid(7), partitions, ..Default::default() };
        FetchResponse { session_id: id, responses: vec![topic], ..Default::default() }
    }

    fn read(&mut self, index: i32, offset: i64, committed: bool) -> PartitionData {
        let refused = self.faults && self.draw(10) == 0;
        let bytes_max = 1 + self.draw(600) as usize;
        let log = &self.logs[index as usize];
        let mut data = PartitionData {
            partition_index: index,
            high_watermark: log.end,
            last_stable_offset: log.end,
            ..Default::default()
        };
        if refused {
            data.error_code = ErrorCode::NotLeaderOrFollower.code();
            return data;
        }
        if offset < log.start || offset > log.end {
            data.error_code = ErrorCode::OffsetOutOfRange.code();
            return data;
        }
        let mut bytes = BytesMut::new();
        let mut until = offset;
        for batch in log.batches.iter().filter(|batch| batch.last >= offset) {
            if bytes.is_empty() || bytes.len() + batch.bytes.len() <= bytes_max {
                bytes.extend_from_slice(&batch.bytes);
                until = batch.last;
            } else {
                let part = (bytes_max - bytes.len().min(bytes_max)).min(batch.bytes.len());
                bytes.extend_from_slice(&batch.bytes[..part]);
                break;
            }
        }
        data.records = Some(bytes.freeze());
        let overlapping = log.aborted.iter().filter(|it| it.2 >= offset && it.1 <= until);
        let aborted = overlapping
            .map(|&(producer_id, first_offset, _)| AbortedTransaction { producer_id, first_offset });
        data.aborted_transactions = committed.then(|| aborted.collect());
        data
    }

    fn list(&self, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        let answers = request.topics[0].partitions.iter().map(|asked| {
            let log = &self.logs[asked.partition_index as usize];
            let offset = match asked.timestamp {
                -1 => log.end,
                -2 => log.start,
                _ => -1,
            };
            let partition_index = asked.partition_index;
            ListOffsetsPartitionResponse { partition_index, offset, ..Default::default() }
        });
        let topic = ListOffsetsTopicResponse { name: TOPIC.into(), partitions: answers.collect() };
        ListOffsetsResponse { topics: vec![topic], ..Default::default() }
    }
}

fn metadata(partitions: usize) -> Metadata {
    let mut metadata = Metadata::default();
    let partition = |index| MetadataResponsePartition {
        partition_index: index as i32,
        leader_id: BROKER.0,
        leader_epoch: EPOCH,
        ..Default::default()
    };
    metadata.apply(&MetadataResponse {
        brokers: vec![MetadataResponseBroker { node_id: BROKER.0, host: "b".into(), port: 1, rack: None }],
        topics: vec![MetadataResponseTopic {
            name: Some(TOPIC.into()),
            topic_id: Uuid(7),
            partitions: (0..partitions).map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    });
    metadata
}

struct World {
    core: ConsumerCore,
    metadata: Metadata,
    broker: Broker,
    now: Mono,
}

impl World {
    fn new(config: ConsumerConfig, logs: Vec<Log>, seed: u64) -> Self {
        let rng = |salt| ChaCha8Rng::seed_from_u64(seed ^ salt);
        Self {
            core: ConsumerCore::new(config, rng(5)),
            metadata: metadata(logs.len()),
            broker: Broker { logs, rng: rng(6), session: None, next_session: 1, faults: false },
            now: Mono(1),
        }
    }

    /// One round of questions and answers.
    fn round(&mut self) {
        self.now = self.now + Duration::from_millis(700);
        for broker in self.core.brokers(self.now, &self.metadata) {
            if let Some(request) = self.core.next_list(self.now, broker, &self.metadata) {
                let lost = self.broker.faults && self.broker.draw(5) == 0;
                let response = (!lost).then(|| self.broker.list(&request));
                self.core.on_list(self.now, broker, response.as_ref());
            }
            if let Some((request, version)) = self.core.next_fetch(self.now, broker, 18, &self.metadata) {
                assert_eq!(version, 18);
                let response = self.broker.fetch(&request);
                if self.broker.faults && self.broker.draw(8) == 0 {
                    self.core.on_fetch_lost(self.now, broker);
                } else {
                    self.core.on_fetch(self.now, broker, &response, &mut self.metadata);
                }
            }
        }
    }

    /// All that comes, until nothing has come for a while.
    fn drain(&mut self) -> Result<Vec<ConsumerRecord>, ConsumeError> {
        let mut all = Vec::new();
        let mut quiet = 0;
        while quiet < 30 {
            self.round();
            let before = all.len();
            while self.core.has_fetched() {
                all.extend(self.core.take()?);
            }
            quiet = if all.len() == before { quiet + 1 } else { 0 };
        }
        Ok(all)
    }
}

fn of(records: &[ConsumerRecord], partition: i32) -> Vec<(i64, String)> {
    let own = records.iter().filter(|record| record.partition == partition);
    let text = |value: &Bytes| String::from_utf8(value.to_vec()).unwrap();
    own.map(|record| (record.offset.0, text(record.value.as_ref().unwrap()))).collect()
}

fn key(partition: i32) -> TopicPartition {
    TopicPartition::new(TOPIC, partition)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_visible_record_comes_once_and_in_order(
        seed: u64,
        max_poll_records in 1usize..10,
        committed: bool,
        from in 0i64..60,
        seek in 0i64..60,
    ) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let logs: Vec<Log> = (0..2).map(|_| Log::random(&mut rng)).collect();
        let isolation_level =
            if committed { IsolationLevel::ReadCommitted } else { IsolationLevel::ReadUncommitted };
        let auto_offset_reset = OffsetReset::Earliest;
        let config =
            ConsumerConfig { max_poll_records, isolation_level, auto_offset_reset, ..Default::default() };
        let mut world = World::new(config, logs, seed);
        world.broker.faults = true;
        world.core.assign(key(0), Start::Earliest);
        world.core.assign(key(1), Start::Offset(Offset(from)));
        let records = world.drain().unwrap();
        let expected = |world: &World, partition: usize, from: i64| {
            let log = &world.broker.logs[partition];
            let reset = from < log.start || from > log.end;
            log.visible(if reset { log.start } else { from }, isolation_level)
        };
        prop_assert_eq!(of(&records, 0), expected(&world, 0, 0));
        prop_assert_eq!(of(&records, 1), expected(&world, 1, from));
        for partition in [0, 1] {
            let end = Offset(world.broker.logs[partition as usize].end);
            prop_assert!(world.core.position(&key(partition)) <= Some(end));
        }
        world.core.assign(key(0), Start::Offset(Offset(seek)));
        let records = world.drain().unwrap();
        prop_assert_eq!(of(&records, 0), expected(&world, 0, seek));
        prop_assert_eq!(of(&records, 1), vec![], "the other partition stays where it was");
    }
}

fn simple_log(values: i64) -> Log {
    let mut log = Log::default();
    for offset in 0..values {
        let value = format!("v{offset}");
        let bytes = batch(offset, std::slice::from_ref(&value), Compression::None, None);
        log.records.push((offset, value, false));
        log.push(bytes, 1);
    }
    log
}

#[test]
fn the_position_moves_by_delivery_alone() {
    let mut world =
        World::new(ConsumerConfig { max_poll_records: 1, ..Default::default() }, vec![simple_log(3)], 1);
    world.core.assign(key(0), Start::Offset(Offset(0)));
    world.round();
    assert!(world.core.has_fetched());
    assert_eq!(world.core.position(&key(0)), Some(Offset(0)));
    assert_eq!(world.core.take().unwrap().len(), 1);
    assert_eq!(world.core.position(&key(0)), Some(Offset(1)));
}

#[test]
fn a_seek_voids_what_was_fetched_and_what_is_under_way() {
    let mut world = World::new(ConsumerConfig::default(), vec![simple_log(5)], 1);
    world.core.assign(key(0), Start::Offset(Offset(0)));
    let (request, _) = world.core.next_fetch(world.now, BROKER, 18, &world.metadata).unwrap();
    let response = world.broker.fetch(&request);
    world.core.assign(key(0), Start::Offset(Offset(3)));
    world.core.on_fetch(world.now, BROKER, &response, &mut world.metadata);
    assert!(!world.core.has_fetched());
    let offsets = of(&world.drain().unwrap(), 0);
    assert!(offsets.iter().all(|(offset, _)| *offset >= 3) && !offsets.is_empty(), "{offsets:?}");
}

#[test]
fn damage_is_told_and_not_delivered() {
    let mut log = simple_log(3);
    let mut damaged = BytesMut::from(&log.batches[1].bytes[..]);
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    log.batches[1].bytes = damaged.freeze();
    let mut world = World::new(ConsumerConfig::default(), vec![log], 1);
    world.core.assign(key(0), Start::Earliest);
    let error = loop {
        world.round();
        match world.core.take() {
            Ok(records) => assert!(records.iter().all(|record| record.offset.0 == 0)),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, ConsumeError::Corrupt { offset: Offset(1), .. }), "{error}");
    assert_eq!(world.core.position(&key(0)), Some(Offset(1)));
}

#[test]
fn without_a_reset_policy_an_offset_out_of_range_is_told_once() {
    let config = ConsumerConfig { auto_offset_reset: OffsetReset::None, ..Default::default() };
    let mut world = World::new(config, vec![simple_log(3)], 1);
    world.core.assign(key(0), Start::Offset(Offset(9)));
    world.round();
    let error = world.core.take().unwrap_err();
    insta::assert_snapshot!(error, @"offset 9 of t-0 is out of range, and auto.offset.reset=none");
    assert_eq!(world.drain(), Ok(vec![]));
    world.core.assign(key(0), Start::Offset(Offset(2)));
    assert_eq!(of(&world.drain().unwrap(), 0), [(2, "v2".to_owned())], "a seek goes on");
}

#[test]
fn a_truncation_is_told_or_followed() {
    let truncated = |world: &mut World| {
        world.core.assign(key(0), Start::Earliest);
        world.drain().unwrap();
        let (request, _) = world.core.next_fetch(world.now, BROKER, 18, &world.metadata).unwrap();
        let mut response = world.broker.fetch(&request);
        let diverging_epoch = EpochEndOffset { epoch: 2, end_offset: 1 };
        response.responses[0].partitions = vec![PartitionData { diverging_epoch, ..Default::default() }];
        world.core.on_fetch(world.now, BROKER, &response, &mut world.metadata);
    };
    let mut world = World::new(ConsumerConfig::default(), vec![simple_log(3)], 1);
    truncated(&mut world);
    assert_eq!(world.core.position(&key(0)), Some(Offset(1)));
    let config = ConsumerConfig { auto_offset_reset: OffsetReset::None, ..Default::default() };
    let mut world = World::new(config, vec![simple_log(3)], 1);
    truncated(&mut world);
    assert!(matches!(world.core.take(), Err(ConsumeError::LogTruncated { offset: Offset(1), .. })));
}

#[test]
fn old_versions_get_neither_sessions_nor_ids_nor_epochs() {
    let mut world = World::new(ConsumerConfig::default(), vec![simple_log(1)], 1);
    world.core.assign(key(0), Start::Offset(Offset(0)));
    let (request, version) = world.core.next_fetch(world.now, BROKER, 4, &world.metadata).unwrap();
    assert_eq!((version, request.session_epoch), (4, -1));
    assert_eq!(request.topics[0].partitions[0].last_fetched_epoch, -1);
    assert!(request.forgotten_topics_data.is_empty());
}

#[test]
fn a_time_that_no_record_reaches_begins_at_the_end() {
    let mut world = World::new(ConsumerConfig::default(), vec![simple_log(4)], 1);
    world.core.assign(key(0), Start::Timestamp(WallMs(i64::MAX)));
    world.drain().unwrap();
    assert_eq!(world.core.position(&key(0)), Some(Offset(4)));
}

#[test]
fn the_model_makes_all_kinds_of_logs() {
    let mut kinds = BTreeSet::new();
    for seed in 0..50 {
        let log = Log::random(&mut ChaCha8Rng::seed_from_u64(seed));
        kinds.extend((!log.aborted.is_empty()).then_some("aborted"));
        kinds.extend(log.records.iter().any(|record| record.2).then_some("hidden"));
        kinds.extend((log.records.len() > 20).then_some("long"));
    }
    assert_eq!(kinds.len(), 3, "{kinds:?}");
}
