//! The producer's decisions: which records go to which partition, which batches go to which broker when, and
//! what became of each; pure.
//!
//! The driver feeds it records, metadata, answers and the time, asks [`ProducerCore::next_request`] for each
//! broker it is connected to, and hands out what [`ProducerCore::take_done`] returns. What one partition
//! promises stands in [`lane`](super::lane).

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;

use super::batch::{Encoder, record_size};
use super::lane::{Aftermath, BatchId, Done, Entry, Identity, Lane, Next, Rules, Setback, Token};
use super::outcome::{DeliveryError, Failure, Outcome};
use super::{Acks, ProducerConfig, ProducerRecord};
use crate::client::backoff::Backoff;
use crate::client::metadata::{Metadata, code};
use crate::client::partitioner::{Sticky, partition_of_key};
use crate::error_code::ErrorCode;
use crate::types::{BrokerId, LeaderEpoch, Mono, ProducerEpoch, ProducerId, Uuid, WallMs};
use crate::wire::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use crate::wire::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
};

/// The bound of a transaction's time that a producer without transactions states, as Kafka's clients do.
const NO_TRANSACTION_TIMEOUT_MS: i32 = i32::MAX;

/// Names a request until it is answered or lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A request to send.
#[derive(Debug)]
pub struct Transmit {
    /// Its name.
    pub id: RequestId,
    /// To whom.
    pub broker: BrokerId,
    /// What. Topics have both name and id: the version decides which one goes on the wire.
    pub request: ProduceRequest,
    /// Whether all topics have an id, as versions from 13 on need.
    pub topic_ids: bool,
    /// Whether a broker answers it (`acks=0`: it does not).
    pub answered: bool,
}

/// How a request ended without an answer.
#[derive(Debug, Clone)]
pub enum Unanswered {
    /// No byte of it left.
    NotSent(String),
    /// Some of it did, perhaps all.
    Lost(String),
    /// The broker cannot take such requests at all.
    Unsupported(String),
}

/// The producer's state.
pub struct ProducerCore {
    config: ProducerConfig,
    rules: Rules,
    backoff: Backoff,
    rng: ChaCha8Rng,
    identity: IdentityState,
    topics: BTreeMap<String, Topic>,
    requests: BTreeMap<RequestId, Request>,
    next_token: u64,
    next_batch: u64,
    next_request: u64,
    /// Where the next request begins to look for batches, so that no partition starves.
    drain_from: (String, i32),
    hurry: bool,
    refresh: bool,
    done: Done,
    encoder: Encoder,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum IdentityState {
    NotNeeded,
    Wanted { not_before: Mono, failures: u32 },
    Asked { failures: u32 },
    Known(Identity),
}

#[derive(Debug, Default)]
struct Topic {
    /// Records whose partition is not decided: nothing is known of the topic yet.
    unplaced: VecDeque<(Option<i32>, Entry)>,
    sticky: Sticky,
    lanes: BTreeMap<i32, Lane>,
}

#[derive(Debug)]
struct Request {
    broker: BrokerId,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    topic: String,
    topic_id: Uuid,
    partition: i32,
    batch: BatchId,
}

impl ProducerCore {
    /// A producer with these options (which were validated) and this randomness.
    pub fn new(config: ProducerConfig, rng: ChaCha8Rng) -> Self {
        config.validate().expect("the driver validates the options");
        let idempotent = config.is_idempotent();
        let rules = Rules {
            idempotent,
            batch_size: config.batch_size,
            linger: config.linger,
            in_flight_max: config.max_in_flight_requests_per_connection,
            // Without an answer there is nothing to say whether a repetition is one.
            retries: if config.acks == Acks::None { 0 } else { config.retries },
            delivery_timeout: config.delivery_timeout,
        };
        let identity = if idempotent {
            IdentityState::Wanted { not_before: Mono::default(), failures: 0 }
        } else {
            IdentityState::NotNeeded
        };
        Self {
            rules,
            backoff: config.client.retry(),
            config,
            rng,
            identity,
            topics: BTreeMap::new(),
            requests: BTreeMap::new(),
            next_token: 0,
            next_batch: 0,
            next_request: 0,
            drain_from: (String::new(), 0),
            hurry: false,
            refresh: false,
            done: Vec::new(),
            encoder: Encoder::default(),
        }
    }

    /// Takes a record; its outcome comes under the token returned, from [`ProducerCore::take_done`].
    pub fn send(
        &mut self,
        now: Mono,
        wall: WallMs,
        topic: &str,
        partition: Option<i32>,
        record: ProducerRecord,
    ) -> Token {
        let token = Token(self.next_token);
        self.next_token += 1;
        let size = record_size(&record);
        let limit = self.config.max_request_size;
        if size > limit {
            self.done.push((token, Err(DeliveryError::NotWritten(Failure::TooLarge { size, limit }))));
            return token;
        }
        let timestamp = record.timestamp.unwrap_or(wall);
        let entry = Entry { token, record, timestamp, size, created: now };
        let topic = match self.topics.get_mut(topic) {
            Some(topic) => topic,
            None => self.topics.entry(topic.to_owned()).or_default(),
        };
        topic.unplaced.push_back((partition, entry));
        token
    }

    /// Whether to send without waiting for full batches, because somebody waits for the outcomes.
    pub fn set_hurry(&mut self, hurry: bool) {
        self.hurry = hurry;
    }

    /// The topics that records were ever sent to.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }

    /// Places records in partitions as far as metadata say, and gives up what is overdue. To be called after
    /// every input and at every deadline.
    pub fn advance(&mut self, now: Mono, metadata: &Metadata) {
        let mut new_identity = false;
        for (name, topic) in &mut self.topics {
            topic.place(metadata, name, &self.rules, &mut self.rng, &mut self.done);
            self.refresh |= !topic.unplaced.is_empty();
            topic.expire_unplaced(now, &self.config, metadata, name, &mut self.done);
            for (&partition, lane) in &mut topic.lanes {
                if lane.is_empty() {
                    continue;
                }
                new_identity |= lane.expire(now, &self.rules, &mut self.done);
                self.refresh |= !lane.is_empty() && metadata.leader(name, partition).is_none();
            }
        }
        self.want_identity(new_identity, now);
    }

    /// Whether metadata are wrong or too little; asking clears it.
    pub fn take_refresh(&mut self) -> bool {
        std::mem::take(&mut self.refresh)
    }

    /// The resolved records.
    pub fn take_done(&mut self) -> Vec<(Token, Outcome)> {
        std::mem::take(&mut self.done)
    }

    /// The brokers that something could be sent to now, given a connection.
    pub fn brokers(&self, now: Mono, metadata: &Metadata) -> Vec<BrokerId> {
        let mut brokers = Vec::new();
        for (name, partition, lane) in self.busy_lanes() {
            if let Some((leader, _)) = metadata.leader(name, partition)
                && !brokers.contains(&leader)
                && self.next_of(lane, now, leader).is_some()
            {
                brokers.push(leader);
            }
        }
        brokers.sort_unstable();
        brokers
    }

    /// The next request to this broker, if there is one.
    pub fn next_request(&mut self, now: Mono, broker: BrokerId, metadata: &Metadata) -> Option<Transmit> {
        let in_flight = self.requests.values().filter(|request| request.broker == broker).count();
        if in_flight >= self.config.max_in_flight_requests_per_connection {
            return None;
        }
        let chosen = self.choose(now, broker, metadata);
        if chosen.is_empty() {
            return None;
        }
        let mut parts = Vec::with_capacity(chosen.len());
        let mut topic_data: Vec<TopicProduceData> = Vec::new();
        for (name, index, next) in chosen {
            let (batch, records) = self.send_batch(broker, &name, index, next);
            let topic_id = metadata.topic_id(&name);
            let data = PartitionProduceData { index, records: Some(records) };
            match topic_data.iter_mut().find(|topic| topic.name == name) {
                Some(topic) => topic.partition_data.push(data),
                None => {
                    let (name, partition_data) = (name.clone(), vec![data]);
                    topic_data.push(TopicProduceData { name, topic_id, partition_data });
                }
            }
            parts.push(Part { topic: name, topic_id, partition: index, batch });
        }
        let id = RequestId(self.next_request);
        self.next_request += 1;
        let topic_ids = parts.iter().all(|part| part.topic_id != Uuid::ZERO);
        self.requests.insert(id, Request { broker, parts });
        let request = ProduceRequest {
            transactional_id: None,
            acks: self.config.acks.code(),
            timeout_ms: i32::try_from(self.config.client.request_timeout.as_millis()).unwrap_or(i32::MAX),
            topic_data,
        };
        Some(Transmit { id, broker, request, topic_ids, answered: self.config.acks != Acks::None })
    }

    /// A request was answered. What the answer tells of leaders goes into `metadata`.
    pub fn on_response(
        &mut self,
        now: Mono,
        id: RequestId,
        response: &ProduceResponse,
        metadata: &mut Metadata,
    ) {
        let request = self.requests.remove(&id).expect("a request is answered or lost once");
        for node in &response.node_endpoints {
            metadata.apply_endpoint(BrokerId(node.node_id), &node.host, node.port, node.rack.clone());
        }
        for part in request.parts {
            match answer_for(&part, response) {
                Some(answer) => self.on_answer(now, &part, answer, metadata),
                None => {
                    let failure = Failure::Connection("the broker's answer leaves the partition out".into());
                    self.on_setback(now, &part, Setback::NoAnswer(failure));
                }
            }
        }
    }

    /// A request with `acks=0` was written to the connection.
    pub fn on_written(&mut self, now: Mono, id: RequestId) {
        let request = self.requests.remove(&id).expect("a request is written or lost once");
        for part in request.parts {
            self.with_lane(now, &part, |lane, rules, done| {
                lane.acknowledged(part.batch, -1, None, rules, done)
            });
        }
    }

    /// A request will not be answered.
    pub fn on_unanswered(&mut self, now: Mono, id: RequestId, why: &Unanswered) {
        let request = self.requests.remove(&id).expect("a request is answered or lost once");
        self.refresh = true;
        for part in request.parts {
            let setback = match why {
                Unanswered::NotSent(text) => Setback::NotSent(Failure::Connection(text.clone())),
                Unanswered::Lost(text) => Setback::NoAnswer(Failure::Connection(text.clone())),
                Unanswered::Unsupported(text) => Setback::Refused {
                    code: ErrorCode::UnsupportedVersion,
                    message: Some(text.clone()),
                    records: Vec::new(),
                },
            };
            self.on_setback(now, &part, setback);
        }
    }

    /// Whether a producer id is to be asked for now.
    pub fn wants_producer_id(&self, now: Mono) -> bool {
        matches!(self.identity, IdentityState::Wanted { not_before, .. } if not_before <= now)
            && self.has_records()
    }

    /// The request for a producer id, wanted; it must end in [`ProducerCore::on_producer_id`] or
    /// [`ProducerCore::on_no_producer_id`].
    pub fn next_init_producer_id(&mut self) -> InitProducerIdRequest {
        let IdentityState::Wanted { failures, .. } = self.identity else {
            panic!("a producer id is asked for when it is wanted, not {:?}", self.identity);
        };
        self.identity = IdentityState::Asked { failures };
        InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: NO_TRANSACTION_TIMEOUT_MS,
            ..Default::default()
        }
    }

    /// The answer to the request for a producer id.
    pub fn on_producer_id(&mut self, now: Mono, response: &InitProducerIdResponse) {
        let error = code(response.error_code);
        if error.is_none() {
            assert!(matches!(self.identity, IdentityState::Asked { .. }), "an answer follows its request");
            self.identity = IdentityState::Known(Identity {
                producer_id: ProducerId(response.producer_id),
                epoch: ProducerEpoch(response.producer_epoch),
            });
        } else {
            self.retry_identity(now);
            if !error.is_retriable() {
                self.abort_queued(&Failure::Refused {
                    code: error,
                    message: Some("no producer id for idempotent sends".to_owned()),
                });
            }
        }
    }

    /// No answer came to the request for a producer id. With `fatal`, none ever will, from this broker.
    pub fn on_no_producer_id(&mut self, now: Mono, fatal: Option<&str>) {
        self.retry_identity(now);
        if let Some(text) = fatal {
            let (code, message) = (ErrorCode::UnsupportedVersion, Some(text.to_owned()));
            self.abort_queued(&Failure::Refused { code, message });
        }
    }

    /// When to call again if nothing happens before; after `now`.
    pub fn deadline(&self, now: Mono) -> Option<Mono> {
        let lanes = self.topics.values().flat_map(|topic| topic.lanes.values());
        let lanes = lanes.filter(|lane| !lane.is_empty());
        let lanes = lanes.flat_map(|lane| lane.deadlines(self.hurry, &self.rules));
        let unplaced = self.topics.values().filter_map(|topic| topic.unplaced.front());
        let unplaced = unplaced.map(|(_, entry)| entry.created + self.config.max_block);
        let identity = match self.identity {
            IdentityState::Wanted { not_before, .. } => Some(not_before),
            _ => None,
        };
        lanes.chain(unplaced).chain(identity).filter(|&deadline| deadline > now).min()
    }

    /// Whether any record is without an outcome (apart from those in [`ProducerCore::take_done`]).
    pub fn has_records(&self) -> bool {
        self.topics.values().any(|topic| !topic.unplaced.is_empty()) || self.busy_lanes().next().is_some()
    }

    /// Gives up everything, because of `failure`.
    pub fn abort(&mut self, failure: &Failure) {
        self.abort_queued(failure);
        for topic in self.topics.values_mut() {
            for lane in topic.lanes.values_mut() {
                lane.abort(failure, &self.rules, &mut self.done);
            }
        }
    }

    /// Gives up what was never sent.
    fn abort_queued(&mut self, failure: &Failure) {
        for topic in self.topics.values_mut() {
            for (_, entry) in topic.unplaced.drain(..) {
                self.done.push((entry.token, Err(DeliveryError::NotWritten(failure.clone()))));
            }
            for lane in topic.lanes.values_mut() {
                lane.abort_queued(failure, &mut self.done);
            }
        }
    }

    /// Ages a partition's epoch, which takes too long to play out.
    #[cfg(test)]
    pub(crate) fn set_epoch_for_test(&mut self, topic: &str, partition: i32, epoch: i16) {
        let lane = self.topics.get_mut(topic).and_then(|topic| topic.lanes.get_mut(&partition));
        lane.expect("the partition was sent to").set_epoch_for_test(epoch);
    }

    fn busy_lanes(&self) -> impl Iterator<Item = (&str, i32, &Lane)> {
        self.topics.iter().flat_map(|(name, topic)| {
            let lanes = topic.lanes.iter().filter(|(_, lane)| !lane.is_empty());
            lanes.map(|(&partition, lane)| (name.as_str(), partition, lane))
        })
    }

    /// What the lane may send, considering that fresh batches need an identity.
    fn next_of(&self, lane: &Lane, now: Mono, broker: BrokerId) -> Option<Next> {
        let next = lane.next(now, broker, self.hurry, &self.rules)?;
        let ready = match next {
            Next::Again => true,
            Next::Fresh => {
                !self.rules.idempotent
                    || lane.identity().is_some()
                    || matches!(self.identity, IdentityState::Known(_))
            }
        };
        ready.then_some(next)
    }

    /// The batches of the next request: one a partition, together within `max.request.size` (but one at
    /// least), beginning where the last request left off.
    fn choose(&mut self, now: Mono, broker: BrokerId, metadata: &Metadata) -> Vec<(String, i32, Next)> {
        let mut chosen = Vec::new();
        let mut size = 0;
        let from = &self.drain_from;
        let is_before = |name: &str, partition: i32| (name, partition) < (from.0.as_str(), from.1);
        let lanes = || self.busy_lanes();
        let round = lanes()
            .filter(|(name, partition, _)| !is_before(name, *partition))
            .chain(lanes().filter(|(name, partition, _)| is_before(name, *partition)));
        let mut stopped_at = None;
        for (name, partition, lane) in round {
            if metadata.leader(name, partition).is_none_or(|(leader, _)| leader != broker) {
                continue;
            }
            let Some(next) = self.next_of(lane, now, broker) else { continue };
            size += lane.next_size(next);
            if size > self.config.max_request_size && !chosen.is_empty() {
                stopped_at = Some((name.to_owned(), partition));
                break;
            }
            chosen.push((name.to_owned(), partition, next));
        }
        if let Some(stopped_at) = stopped_at {
            self.drain_from = stopped_at;
        }
        chosen
    }

    fn send_batch(&mut self, broker: BrokerId, name: &str, index: i32, next: Next) -> (BatchId, Bytes) {
        let topic = self.topics.get_mut(name).expect("the lane was just chosen");
        let lane = topic.lanes.get_mut(&index).expect("the lane was just chosen");
        if next == Next::Again {
            return lane.send_again(broker);
        }
        if lane.identity().is_none()
            && let IdentityState::Known(identity) = self.identity
        {
            lane.adopt(identity);
        }
        let id = BatchId(self.next_batch);
        self.next_batch += 1;
        let (encoder, compression) = (&mut self.encoder, self.config.compression_type);
        let bytes = lane.send_fresh(id, broker, &self.rules, |entries, identity, sequence| {
            encoder.encode(entries, identity, sequence, compression)
        });
        topic.sticky.batch_closed(index);
        (id, bytes)
    }

    fn on_answer(
        &mut self,
        now: Mono,
        part: &Part,
        answer: &PartitionProduceResponse,
        metadata: &mut Metadata,
    ) {
        let error = code(answer.error_code);
        if error.is_none() || error == ErrorCode::DuplicateSequenceNumber {
            let base_offset = if error.is_none() { answer.base_offset } else { -1 };
            let time = (answer.log_append_time_ms >= 0).then_some(WallMs(answer.log_append_time_ms));
            self.with_lane(now, part, |lane, rules, done| {
                lane.acknowledged(part.batch, base_offset, time, rules, done)
            });
            return;
        }
        let hint = &answer.current_leader;
        let (leader, epoch) = (BrokerId(hint.leader_id), LeaderEpoch(hint.leader_epoch));
        if !metadata.apply_leader(&part.topic, part.partition, leader, epoch) && error.is_retriable() {
            self.refresh = true;
        }
        let errors = answer.record_errors.iter();
        let records = errors.map(|error| (error.batch_index, error.batch_index_error_message.clone()));
        let setback = Setback::Refused {
            code: error,
            message: answer.error_message.clone(),
            records: records.collect(),
        };
        self.on_setback(now, part, setback);
    }

    fn on_setback(&mut self, now: Mono, part: &Part, setback: Setback) {
        let backoff = self.backoff;
        let Some(lane) = self.lane(part) else { return };
        let failures = lane.attempts(part.batch).saturating_sub(1);
        let not_before = now + backoff.pause(failures, &mut self.rng);
        self.with_lane(now, part, |lane, rules, done| {
            lane.set_back(part.batch, setback, not_before, rules, done)
        });
    }

    fn lane(&mut self, part: &Part) -> Option<&mut Lane> {
        self.topics.get_mut(&part.topic)?.lanes.get_mut(&part.partition)
    }

    fn with_lane(
        &mut self,
        now: Mono,
        part: &Part,
        act: impl FnOnce(&mut Lane, &Rules, &mut Done) -> Aftermath,
    ) {
        let topic = self.topics.get_mut(&part.topic).expect("topics stay");
        let lane = topic.lanes.get_mut(&part.partition).expect("lanes stay");
        let aftermath = act(lane, &self.rules, &mut self.done);
        self.want_identity(aftermath.new_identity, now);
    }

    fn want_identity(&mut self, wanted: bool, now: Mono) {
        if wanted && matches!(self.identity, IdentityState::Known(_)) {
            self.identity = IdentityState::Wanted { not_before: now, failures: 0 };
        }
    }

    fn retry_identity(&mut self, now: Mono) {
        let IdentityState::Asked { failures } = self.identity else {
            panic!("an answer follows its request, not {:?}", self.identity);
        };
        let not_before = now + self.backoff.pause(failures, &mut self.rng);
        self.identity = IdentityState::Wanted { not_before, failures: failures.saturating_add(1) };
    }
}

impl Topic {
    /// Puts records into lanes, in order, as far as their partition can be decided.
    fn place(
        &mut self,
        metadata: &Metadata,
        name: &str,
        rules: &Rules,
        rng: &mut ChaCha8Rng,
        done: &mut Done,
    ) {
        if self.unplaced.is_empty() {
            return;
        }
        let Some(known) = metadata.topic(name) else { return };
        if !known.error.is_none() && !known.error.is_retriable() {
            for (_, entry) in self.unplaced.drain(..) {
                done.push((entry.token, Err(DeliveryError::NotWritten(Failure::code(known.error)))));
            }
            return;
        }
        let count = i32::try_from(known.partitions.len()).expect("the wire counts partitions in an i32");
        if count == 0 {
            return;
        }
        let available = known.available();
        let mut waiting = VecDeque::new();
        for (explicit, entry) in self.unplaced.drain(..) {
            let partition = match (explicit, &entry.record.key) {
                (Some(explicit), _) if !known.partitions.contains_key(&explicit) => {
                    waiting.push_back((Some(explicit), entry));
                    continue;
                }
                (Some(explicit), _) => explicit,
                (None, Some(key)) => partition_of_key(key, count),
                (None, None) => self.sticky.choose(&available, count, rng),
            };
            let lane = self.lanes.entry(partition).or_insert_with(|| Lane::new(partition));
            if lane.push(entry, rules) {
                self.sticky.batch_closed(partition);
            }
        }
        self.unplaced = waiting;
    }

    fn expire_unplaced(
        &mut self,
        now: Mono,
        config: &ProducerConfig,
        metadata: &Metadata,
        name: &str,
        done: &mut Done,
    ) {
        while let Some((partition, entry)) = self.unplaced.front()
            && entry.created + config.max_block <= now
        {
            let known = metadata.topic(name);
            let text = match (partition, known) {
                (Some(partition), Some(known)) if known.error.is_none() => {
                    format!(
                        "topic {name} has {} partitions, none with index {partition}",
                        known.partitions.len()
                    )
                }
                (_, Some(known)) if !known.error.is_none() => format!("topic {name}: {}", known.error),
                _ => format!("no metadata of topic {name}"),
            };
            done.push((entry.token, Err(DeliveryError::NotWritten(Failure::TimedOut(Some(text))))));
            self.unplaced.pop_front();
        }
    }
}

fn answer_for<'a>(part: &Part, response: &'a ProduceResponse) -> Option<&'a PartitionProduceResponse> {
    let topic = response.responses.iter().find(|topic| {
        if topic.topic_id == Uuid::ZERO { topic.name == part.topic } else { topic.topic_id == part.topic_id }
    })?;
    topic.partition_responses.iter().find(|answer| answer.index == part.partition)
}
