//! The producer against a small model of a cluster that deduplicates as Kafka does, and loses, delays,
//! refuses and moves what it can.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng as _;

use super::core::{ProducerCore, RequestId, Unanswered};
use super::lane::Token;
use super::outcome::{DeliveryError, Failure, Outcome};
use super::{Acks, ProducerConfig, ProducerRecord};
use crate::client::metadata::Metadata;
use crate::error_code::ErrorCode;
use crate::types::{BrokerId, Mono, Uuid, WallMs};
use crate::wire::batch::{Batch, BatchHeader, increment_sequence};
use crate::wire::compression::Scratch;
use crate::wire::messages::init_producer_id::InitProducerIdResponse;
use crate::wire::messages::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::wire::messages::produce::{
    PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceResponse,
};
use crate::wire::records::RecordIter;

const TOPIC: &str = "t";
const BROKERS: i32 = 2;
/// What a broker remembers of a producer.
const REMEMBERED: usize = 5;

/// One partition, as a leader keeps it. All brokers share it: what is appended here is replicated.
#[derive(Default)]
struct Log {
    leader: i32,
    leader_epoch: i32,
    values: Vec<u64>,
    producers: BTreeMap<i64, ProducerState>,
}

struct ProducerState {
    epoch: i16,
    /// First number, last number, base offset.
    batches: VecDeque<(i32, i32, i64)>,
}

impl Log {
    /// Appends a batch, or says why not; as Kafka's `ProducerAppendInfo` decides.
    fn append(&mut self, header: &BatchHeader, values: &[u64], strict: bool) -> Result<i64, ErrorCode> {
        let (first, last) = (header.base_sequence, header.last_sequence());
        let offset = self.values.len() as i64;
        if header.producer_id.0 >= 0 {
            let epoch = header.producer_epoch.0;
            match self.producers.get(&header.producer_id.0) {
                Some(state) if epoch < state.epoch => return Err(ErrorCode::InvalidProducerEpoch),
                Some(state) if epoch == state.epoch => {
                    if let Some(known) =
                        state.batches.iter().find(|known| (known.0, known.1) == (first, last))
                    {
                        return Ok(known.2);
                    }
                    let expected = increment_sequence(state.batches.back().expect("one at least").1, 1);
                    if first != expected {
                        return Err(ErrorCode::OutOfOrderSequenceNumber);
                    }
                }
                Some(_) if first != 0 => return Err(ErrorCode::OutOfOrderSequenceNumber),
                None if strict && first != 0 => return Err(ErrorCode::OutOfOrderSequenceNumber),
                _ => {}
            }
            let fresh = || ProducerState { epoch, batches: VecDeque::new() };
            let state = self.producers.entry(header.producer_id.0).or_insert_with(fresh);
            if state.epoch < epoch {
                *state = fresh();
            }
            state.batches.push_back((first, last, offset));
            if state.batches.len() > REMEMBERED {
                state.batches.pop_front();
            }
        }
        self.values.extend_from_slice(values);
        Ok(offset)
    }
}

/// What happens to a request that a broker takes up.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Normal,
    /// Refused before the append.
    Refused(ErrorCode),
    /// Appended, then answered with an error.
    AppendedThen(ErrorCode),
}

#[derive(Default)]
struct Connection {
    requests: VecDeque<(RequestId, ProduceRequest)>,
    answers: VecDeque<(RequestId, ProduceResponse)>,
}

struct World {
    core: ProducerCore,
    metadata: Metadata,
    now: Mono,
    rng: ChaCha8Rng,
    logs: Vec<Log>,
    connections: BTreeMap<i32, Connection>,
    /// Requests of dead connections that are still under way.
    strays: Vec<(i32, VecDeque<ProduceRequest>)>,
    /// Whether an unknown producer must begin at 0 (transaction version 2).
    strict: bool,
    batch_records_max: usize,
    next_producer_id: i64,
    sent: BTreeMap<Token, (u64, Option<i32>)>,
    outcomes: BTreeMap<Token, Outcome>,
}

impl World {
    fn new(config: ProducerConfig, partitions: usize, seed: u64) -> Self {
        let mut world = Self {
            core: ProducerCore::new(config, ChaCha8Rng::seed_from_u64(seed ^ 1)),
            metadata: Metadata::default(),
            now: Mono(1_000_000_000),
            rng: ChaCha8Rng::seed_from_u64(seed),
            logs: (0..partitions).map(|_| Log::default()).collect(),
            connections: (0..BROKERS).map(|id| (id, Connection::default())).collect(),
            strays: Vec::new(),
            strict: seed.is_multiple_of(2),
            batch_records_max: usize::MAX,
            next_producer_id: 1000,
            sent: BTreeMap::new(),
            outcomes: BTreeMap::new(),
        };
        world.refresh();
        world
    }

    fn draw(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound
    }

    fn send(&mut self, partition: Option<i32>) -> Token {
        let value = self.sent.len() as u64;
        let record = ProducerRecord::value(Bytes::copy_from_slice(&value.to_be_bytes()));
        let token = self.core.send(self.now, WallMs(1), TOPIC, partition, record);
        self.sent.insert(token, (value, partition));
        token
    }

    /// Lets the producer act: everything that it wants to send goes to its connections.
    fn pump(&mut self) {
        self.core.advance(self.now, &self.metadata);
        if self.core.wants_producer_id(self.now) {
            let _request = self.core.next_init_producer_id();
            if self.draw(4) == 0 {
                self.core.on_no_producer_id(self.now, None);
            } else {
                let response =
                    InitProducerIdResponse { producer_id: self.next_producer_id, ..Default::default() };
                self.next_producer_id += 1;
                self.core.on_producer_id(self.now, &response);
            }
        }
        for broker in self.core.brokers(self.now, &self.metadata) {
            while let Some(transmit) = self.core.next_request(self.now, broker, &self.metadata) {
                assert!(transmit.topic_ids);
                let connection = self.connections.get_mut(&broker.0).unwrap();
                connection.requests.push_back((transmit.id, transmit.request));
                assert!(connection.requests.len() + connection.answers.len() <= 5, "max.in.flight");
            }
        }
        if self.core.take_refresh() {
            self.refresh();
        }
        for (token, outcome) in self.core.take_done() {
            assert!(self.sent.contains_key(&token));
            assert!(self.outcomes.insert(token, outcome).is_none(), "one outcome each");
        }
    }

    fn refresh(&mut self) {
        let broker = |node_id| MetadataResponseBroker { node_id, host: "b".into(), port: 1, rack: None };
        let partition = |(index, log): (usize, &Log)| MetadataResponsePartition {
            partition_index: index as i32,
            leader_id: log.leader,
            leader_epoch: log.leader_epoch,
            ..Default::default()
        };
        self.metadata.apply(&MetadataResponse {
            brokers: (0..BROKERS).map(broker).collect(),
            topics: vec![MetadataResponseTopic {
                name: Some(TOPIC.into()),
                topic_id: Uuid(7),
                partitions: self.logs.iter().enumerate().map(partition).collect(),
                ..Default::default()
            }],
            ..Default::default()
        });
    }

    /// A broker carries out a request.
    fn carry_out(&mut self, broker: i32, request: &ProduceRequest, fate: Fate) -> ProduceResponse {
        let mut answers = Vec::new();
        for data in &request.topic_data[0].partition_data {
            let log = &mut self.logs[data.index as usize];
            let bytes = data.records.clone().unwrap();
            let header = BatchHeader::verify(&bytes).unwrap();
            let values = values(&bytes);
            let too_large = values.len() > self.batch_records_max;
            let outcome = match fate {
                _ if log.leader != broker => Err(ErrorCode::NotLeaderOrFollower),
                Fate::Refused(code) => Err(code),
                _ if too_large => Err(ErrorCode::MessageTooLarge),
                Fate::Normal => log.append(&header, &values, self.strict),
                Fate::AppendedThen(code) => log.append(&header, &values, self.strict).and(Err(code)),
            };
            let mut answer = PartitionProduceResponse { index: data.index, ..Default::default() };
            match outcome {
                Ok(offset) => answer.base_offset = offset,
                Err(code) => answer.error_code = code.code(),
            }
            answers.push(answer);
        }
        let topic =
            TopicProduceResponse { topic_id: Uuid(7), partition_responses: answers, ..Default::default() };
        ProduceResponse { responses: vec![topic], ..Default::default() }
    }

    /// The broker takes up its next request.
    fn process(&mut self, broker: i32, fate: Fate) -> bool {
        let Some((id, request)) = self.connections.get_mut(&broker).unwrap().requests.pop_front() else {
            return false;
        };
        let response = self.carry_out(broker, &request, fate);
        self.connections.get_mut(&broker).unwrap().answers.push_back((id, response));
        true
    }

    /// The next answer of the broker arrives.
    fn deliver(&mut self, broker: i32) -> bool {
        let Some((id, response)) = self.connections.get_mut(&broker).unwrap().answers.pop_front() else {
            return false;
        };
        self.core.on_response(self.now, id, &response, &mut self.metadata);
        true
    }

    /// The connection dies. Some of its requests are still under way, the last ones never left.
    fn cut(&mut self, broker: i32) {
        let connection = std::mem::take(self.connections.get_mut(&broker).unwrap());
        let left = self.draw(connection.requests.len() as u64 + 1) as usize;
        let stray = self.draw(left as u64 + 1) as usize;
        for (id, _) in connection.answers {
            self.core.on_unanswered(self.now, id, &Unanswered::Lost("cut".into()));
        }
        let mut strays = VecDeque::new();
        for (position, (id, request)) in connection.requests.into_iter().enumerate() {
            let why = if position < left { Unanswered::Lost } else { Unanswered::NotSent };
            self.core.on_unanswered(self.now, id, &why("cut".into()));
            if position < stray {
                strays.push_back(request);
            }
        }
        self.strays.push((broker, strays));
    }

    /// A request of a dead connection arrives after all.
    fn stray(&mut self) {
        if self.strays.is_empty() {
            return;
        }
        let index = self.draw(self.strays.len() as u64) as usize;
        let broker = self.strays[index].0;
        match self.strays[index].1.pop_front() {
            Some(request) => drop(self.carry_out(broker, &request, Fate::Normal)),
            None => drop(self.strays.swap_remove(index)),
        }
    }

    fn random_fate(&mut self) -> Fate {
        let refused =
            [ErrorCode::NotEnoughReplicas, ErrorCode::NotLeaderOrFollower, ErrorCode::InvalidRecord];
        let appended = [
            ErrorCode::NotEnoughReplicasAfterAppend,
            ErrorCode::RequestTimedOut,
            ErrorCode::NotLeaderOrFollower,
            ErrorCode::UnknownServerError,
            ErrorCode::KafkaStorageError,
        ];
        match self.draw(20) {
            0..=1 => Fate::Refused(refused[self.draw(3) as usize]),
            2..=3 => Fate::AppendedThen(appended[self.draw(5) as usize]),
            _ => Fate::Normal,
        }
    }

    fn random_step(&mut self) {
        let broker = self.draw(u64::from(BROKERS.unsigned_abs())) as i32;
        match self.draw(40) {
            0..=9 => {
                let partition = self.draw(self.logs.len() as u64 + 1) as i32;
                let known = (partition as usize) < self.logs.len();
                self.send(known.then_some(partition));
            }
            10..=21 => {
                let fate = self.random_fate();
                self.process(broker, fate);
            }
            22..=31 => drop(self.deliver(broker)),
            32 => self.cut(broker),
            33 => self.stray(),
            34 => {
                let index = self.draw(self.logs.len() as u64) as usize;
                let log = &mut self.logs[index];
                log.leader = (log.leader + 1) % BROKERS;
                log.leader_epoch += 1;
            }
            35 if self.draw(10) == 0 => self.now = self.now + Duration::from_secs(40),
            _ => self.now = self.now + Duration::from_millis(self.rng.next_u64() % 60),
        }
        self.pump();
    }

    /// No more faults: everything gets its outcome, then the last strays arrive.
    fn heal(&mut self) {
        self.batch_records_max = self.batch_records_max.max(1);
        for _ in 0..100_000 {
            self.pump();
            let mut busy = false;
            for broker in 0..BROKERS {
                busy |= self.process(broker, Fate::Normal) | self.deliver(broker);
            }
            if busy {
                continue;
            }
            match self.core.deadline(self.now) {
                Some(deadline) => self.now = deadline,
                None => break,
            }
        }
        assert_eq!(self.outcomes.len(), self.sent.len(), "every record gets an outcome");
        assert!(!self.core.has_records());
        while !self.strays.is_empty() {
            self.stray();
        }
    }

    fn check(&self, idempotent: bool) {
        for log in &self.logs {
            if idempotent {
                let ascending = log.values.windows(2).all(|pair| pair[0] < pair[1]);
                assert!(ascending, "a record came twice, or before an earlier one: {:?}", log.values);
            }
        }
        for (token, outcome) in &self.outcomes {
            let (value, partition) = self.sent[token];
            let copies =
                self.logs.iter().flat_map(|log| &log.values).filter(|&&other| other == value).count();
            match outcome {
                Ok(acknowledged) => {
                    assert!(partition.is_none_or(|partition| partition == acknowledged.partition));
                    let log = &self.logs[acknowledged.partition as usize];
                    if let Some(offset) = acknowledged.offset {
                        assert_eq!(
                            log.values[offset.0 as usize], value,
                            "{token:?} is not where it should be"
                        );
                    }
                    assert!(log.values.contains(&value), "{token:?} was acknowledged and is lost");
                }
                Err(DeliveryError::NotWritten(failure)) => {
                    assert_eq!(copies, 0, "{token:?} was said not to be written: {failure}");
                }
                Err(DeliveryError::Unknown(_)) => {
                    assert!(copies <= 1 || !idempotent, "{token:?} came {copies} times");
                }
            }
        }
    }

    fn count(&self, predicate: impl Fn(&Outcome) -> bool) -> usize {
        self.outcomes.values().filter(|outcome| predicate(outcome)).count()
    }

    /// Sends, processes and delivers until nothing moves.
    fn settle(&mut self) {
        loop {
            self.pump();
            let busy = (0..BROKERS).any(|broker| self.process(broker, Fate::Normal) | self.deliver(broker));
            if !busy {
                break;
            }
        }
    }

    fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.pump();
    }
}

fn values(batch: &Bytes) -> Vec<u64> {
    let header = BatchHeader::parse(batch).unwrap();
    let batch = Batch { header, bytes: batch.clone() };
    let mut scratch = Scratch::default();
    let records = RecordIter::new(&batch, 1 << 20, &mut scratch).unwrap();
    let value = |bytes: Bytes| u64::from_be_bytes(bytes[..].try_into().unwrap());
    records.map(|record| value(record.unwrap().value.unwrap())).collect()
}

/// Small batches, no lingering: much happens with few records.
fn config() -> ProducerConfig {
    ProducerConfig { batch_size: 250, linger: Duration::ZERO, ..ProducerConfig::default() }
}

fn run(config: ProducerConfig, partitions: usize, steps: usize, seed: u64) -> World {
    let idempotent = config.is_idempotent();
    let mut world = World::new(config, partitions, seed);
    if seed.is_multiple_of(3) {
        world.batch_records_max = 1;
    }
    for _ in 0..steps {
        world.random_step();
    }
    world.heal();
    world.check(idempotent);
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_idempotent_producer_neither_repeats_nor_reorders_nor_lies(
        seed: u64,
        partitions in 1usize..4,
        steps in 50usize..400,
        in_flight in 1usize..=5,
    ) {
        let config = ProducerConfig { max_in_flight_requests_per_connection: in_flight, ..config() };
        run(config, partitions, steps, seed);
    }

    #[test]
    fn without_idempotence_an_acknowledged_record_is_there_and_a_refused_one_is_not(
        seed: u64,
        steps in 50usize..400,
    ) {
        run(ProducerConfig { enable_idempotence: Some(false), ..config() }, 2, steps, seed);
    }
}

#[test]
fn the_faults_above_do_happen() {
    let (mut acknowledged, mut not_written, mut unknown, mut bumped) = (0, 0, 0, 0);
    for seed in 0..60 {
        let world = run(config(), 2, 300, seed);
        acknowledged += world.count(Result::is_ok);
        not_written += world.count(|outcome| matches!(outcome, Err(DeliveryError::NotWritten(_))));
        unknown += world.count(|outcome| matches!(outcome, Err(DeliveryError::Unknown(_))));
        let producers = world.logs.iter().flat_map(|log| log.producers.values());
        bumped += producers.filter(|state| state.epoch > 0).count();
    }
    assert!(acknowledged > 1000, "{acknowledged}");
    assert!(not_written > 50 && unknown > 50 && bumped > 30, "{not_written} {unknown} {bumped}");
}

#[test]
fn a_lost_answer_is_asked_for_again_and_recognised() {
    let mut world = World::new(config(), 1, 2);
    let token = world.send(Some(0));
    world.pump();
    world.pass(Duration::from_secs(2));
    assert!(world.process(0, Fate::Normal));
    world.cut(0);
    world.pass(Duration::from_secs(2));
    world.settle();
    assert_eq!(world.logs[0].values, [0]);
    let acknowledged = world.outcomes[&token].clone().unwrap();
    assert_eq!(acknowledged.offset.unwrap().0, 0);
}

#[test]
fn what_follows_a_refused_batch_goes_on_in_the_next_epoch() {
    let mut world = World::new(config(), 1, 2);
    world.send(Some(0));
    world.pass(Duration::from_secs(2));
    world.settle();
    let refused = world.send(Some(0));
    world.pump();
    let later = world.send(Some(0));
    world.pump();
    assert_eq!(world.connections[&0].requests.len(), 2, "both are in flight");
    world.process(0, Fate::Refused(ErrorCode::InvalidRecord));
    world.process(0, Fate::Normal);
    world.deliver(0);
    world.deliver(0);
    world.heal();
    assert_eq!(
        world.outcomes[&refused],
        Err(DeliveryError::NotWritten(Failure::Refused { code: ErrorCode::InvalidRecord, message: None }))
    );
    assert!(world.outcomes[&later].is_ok());
    assert_eq!(world.logs[0].values, [0, 2]);
    assert_eq!(world.logs[0].producers.values().next().unwrap().epoch, 1);
}

#[test]
fn what_may_be_written_never_gets_another_number() {
    let mut world = World::new(config(), 1, 2);
    world.send(Some(0));
    world.pass(Duration::from_secs(2));
    world.settle();
    let lost = world.send(Some(0));
    world.pump();
    world.process(0, Fate::Normal);
    world.cut(0);
    // The cluster forgets what it knew of the producer: the repetition is refused for its number.
    world.logs[0].producers.values_mut().for_each(|state| {
        state.batches.clear();
        state.batches.push_back((90, 90, 0));
    });
    world.heal();
    assert!(matches!(world.outcomes[&lost], Err(DeliveryError::Unknown(_))), "{:?}", world.outcomes[&lost]);
    assert_eq!(world.logs[0].values, [0, 1], "it was there already, and came no second time");
}

#[test]
fn delivery_timeout_tells_what_was_never_sent_from_what_may_be_there() {
    let mut world = World::new(config(), 1, 2);
    let sent = world.send(Some(0));
    world.pass(Duration::from_secs(2));
    let mut queued = Vec::new();
    for _ in 0..40 {
        queued.push(world.send(Some(0)));
        world.pump();
    }
    world.pass(Duration::from_secs(121));
    assert!(matches!(world.outcomes[&sent], Err(DeliveryError::Unknown(Failure::TimedOut(_)))));
    let last = queued.last().unwrap();
    assert!(matches!(world.outcomes[last], Err(DeliveryError::NotWritten(Failure::TimedOut(_)))));
    world.heal();
    world.check(true);
}

#[test]
fn a_batch_that_is_too_large_is_sent_in_parts() {
    let mut world = World::new(ProducerConfig { batch_size: 10_000, ..config() }, 1, 2);
    world.batch_records_max = 3;
    let tokens: Vec<Token> = (0..10).map(|_| world.send(Some(0))).collect();
    world.heal();
    assert!(tokens.iter().all(|token| world.outcomes[token].is_ok()));
    assert_eq!(world.logs[0].values, (0..10).collect::<Vec<_>>());
}

#[test]
fn sequence_and_epoch_numbers_wrap() {
    // Numbers near their end, as after long use: set through many refused batches is too slow to play out.
    assert_eq!(increment_sequence(i32::MAX, 1), 0);
    let mut world = World::new(config(), 1, 2);
    world.next_producer_id = 5;
    world.pump();
    world.send(Some(0));
    world.pass(Duration::from_secs(2));
    world.settle();
    world.core.set_epoch_for_test(TOPIC, 0, i16::MAX);
    world.logs[0].producers.get_mut(&5).unwrap().epoch = i16::MAX;
    let refused = world.send(Some(0));
    world.pump();
    world.process(0, Fate::Refused(ErrorCode::InvalidRecord));
    world.deliver(0);
    let later = world.send(Some(0));
    world.heal();
    assert!(world.outcomes[&refused].is_err());
    assert!(world.outcomes[&later].is_ok());
    assert_eq!(world.logs[0].producers.keys().copied().collect::<Vec<_>>(), [5, 6], "a new producer id");
}

#[test]
fn without_acks_a_written_request_is_an_outcome_and_nothing_is_repeated() {
    let mut world = World::new(ProducerConfig { acks: Acks::None, ..config() }, 1, 2);
    let (written, lost) = (world.send(Some(0)), world.send(Some(0)));
    world.core.set_hurry(true);
    world.core.advance(world.now, &world.metadata);
    let transmit = world.core.next_request(world.now, BrokerId(0), &world.metadata).unwrap();
    assert!(!transmit.answered);
    world.core.on_written(world.now, transmit.id);
    world.pump();
    assert_eq!(world.outcomes[&written].clone().unwrap().offset, None);
    assert!(world.outcomes[&lost].is_ok(), "both went in one batch");
    let lost = world.send(Some(0));
    world.core.advance(world.now, &world.metadata);
    let transmit = world.core.next_request(world.now, BrokerId(0), &world.metadata).unwrap();
    world.core.on_unanswered(world.now, transmit.id, &Unanswered::Lost("cut".into()));
    world.pump();
    assert!(matches!(world.outcomes[&lost], Err(DeliveryError::Unknown(_))));
}

#[test]
fn a_partition_that_does_not_exist_is_named_when_time_is_over() {
    let mut world = World::new(config(), 2, 2);
    let token = world.send(Some(7));
    world.pass(Duration::from_secs(61));
    world.pump();
    let error = world.outcomes[&token].clone().unwrap_err();
    insta::assert_snapshot!(
        error,
        @"not written: timed out after: topic t has 2 partitions, none with index 7"
    );
}
