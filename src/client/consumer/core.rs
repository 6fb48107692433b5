//! The consumer's decisions: what to ask whom for, where each partition stands, what to deliver; pure.
//!
//! A partition's position moves when a record is delivered, past what a consumer does not see (control
//! batches, aborted and compacted records), and by a seek or a reset; never because something was fetched.

use std::collections::{BTreeMap, VecDeque};

use rand_chacha::ChaCha8Rng;

use super::fetched::{Fetched, Position};
use super::session::{Asked, Session};
use super::{ConsumeError, ConsumerRecord, Start, TopicPartition};
use crate::client::backoff::Backoff;
use crate::client::config::{ConsumerConfig, IsolationLevel, OffsetReset};
use crate::client::metadata::{Metadata, code};
use crate::error_code::ErrorCode;
use crate::types::{BrokerId, LeaderEpoch, Mono, Offset, Uuid};
use crate::wire::compression::Scratch;
use crate::wire::messages::fetch::{FetchRequest, FetchResponse, PartitionData};
use crate::wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopic,
};

/// The first version of Fetch with sessions.
const FIRST_VERSION_WITH_SESSIONS: i16 = 7;
/// The first version of Fetch that takes the epoch of the last record fetched (KIP-595).
const FIRST_VERSION_WITH_LAST_EPOCH: i16 = 12;
/// The last version of Fetch that names topics instead of identifying them.
const LAST_VERSION_BY_NAME: i16 = 12;

/// The consumer's state.
pub struct ConsumerCore {
    config: ConsumerConfig,
    backoff: Backoff,
    rng: ChaCha8Rng,
    assigned: BTreeMap<TopicPartition, Assigned>,
    sessions: BTreeMap<BrokerId, Session>,
    fetching: BTreeMap<BrokerId, Fetching>,
    listing: BTreeMap<BrokerId, BTreeMap<TopicPartition, u64>>,
    fetched: VecDeque<Fetched>,
    scratch: Scratch,
    next_generation: u64,
    /// What to tell the user next.
    failed: VecDeque<ConsumeError>,
    refresh: bool,
}

#[derive(Debug)]
struct Assigned {
    /// Changes whenever the position does otherwise than by delivery: answers to older questions are void.
    generation: u64,
    state: State,
    not_before: Mono,
    failures: u32,
    end: Option<Offset>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The offset has to be asked for.
    Unresolved(Start),
    At(Position),
    /// Told the user; stays so until a seek.
    Failed,
}

/// A fetch under way.
#[derive(Debug)]
struct Fetching {
    with_session: bool,
    /// For which assignment, from where.
    asked: BTreeMap<TopicPartition, (u64, Position, Uuid)>,
}

impl ConsumerCore {
    /// A consumer with these options (which were validated) and this randomness.
    pub fn new(config: ConsumerConfig, rng: ChaCha8Rng) -> Self {
        config.validate().expect("the driver validates the options");
        Self {
            backoff: config.client.retry(),
            config,
            rng,
            assigned: BTreeMap::new(),
            sessions: BTreeMap::new(),
            fetching: BTreeMap::new(),
            listing: BTreeMap::new(),
            fetched: VecDeque::new(),
            scratch: Scratch::default(),
            next_generation: 0,
            failed: VecDeque::new(),
            refresh: false,
        }
    }

    /// Consumes a partition from `start` on; for one that is assigned already, this is a seek.
    pub fn assign(&mut self, partition: TopicPartition, start: Start) {
        let generation = self.next_generation;
        self.next_generation += 1;
        let state = match start {
            Start::Offset(offset) => State::At(Position { offset, epoch: LeaderEpoch::NONE }),
            other => State::Unresolved(other),
        };
        self.fetched.retain(|fetched| fetched.key != partition);
        let not_before = Mono::default();
        let assigned = Assigned { generation, state, not_before, failures: 0, end: None };
        self.assigned.insert(partition, assigned);
    }

    /// Consumes a partition no longer.
    pub fn unassign(&mut self, partition: &TopicPartition) {
        self.assigned.remove(partition);
        self.fetched.retain(|fetched| &fetched.key != partition);
    }

    /// What is consumed.
    pub fn assignment(&self) -> impl Iterator<Item = &TopicPartition> {
        self.assigned.keys()
    }

    /// The offset of the next record to deliver, once it is known.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        match self.assigned.get(partition)?.state {
            State::At(position) => Some(position.offset),
            _ => None,
        }
    }

    /// The end of what there was to read when the broker answered last: the high watermark, or the last
    /// stable offset for a consumer of committed records.
    pub fn end(&self, partition: &TopicPartition) -> Option<Offset> {
        self.assigned.get(partition)?.end
    }

    /// Whether metadata are wrong or too little; asking clears it.
    pub fn take_refresh(&mut self) -> bool {
        std::mem::take(&mut self.refresh)
    }

    /// Up to `max.poll.records` records, in order in each partition.
    ///
    /// # Errors
    ///
    /// What the consumer cannot get over by itself; told once, and the partition stands still until a seek,
    /// apart from damaged batches, which are fetched again.
    pub fn take(&mut self) -> Result<Vec<ConsumerRecord>, ConsumeError> {
        if let Some(error) = self.failed.pop_front() {
            return Err(error);
        }
        let mut taken = Vec::new();
        while taken.len() < self.config.max_poll_records {
            let Some(front) = self.fetched.front_mut() else { break };
            let assigned = self.assigned.get_mut(&front.key).expect("unassigning drops what was fetched");
            assert_eq!(assigned.generation, front.generation, "seeking drops what was fetched");
            match front.next(&mut self.scratch) {
                Ok(Some((record, position))) => {
                    assigned.state = State::At(position);
                    taken.push(record);
                }
                Ok(None) => {
                    assigned.state = State::At(front.end());
                    self.fetched.pop_front();
                }
                Err(error) => {
                    self.failed.push_back(error);
                    self.fetched.pop_front();
                    break;
                }
            }
        }
        if taken.is_empty()
            && let Some(error) = self.failed.pop_front()
        {
            return Err(error);
        }
        Ok(taken)
    }

    /// Whether [`ConsumerCore::take`] may have something.
    pub fn has_fetched(&self) -> bool {
        !self.fetched.is_empty() || !self.failed.is_empty()
    }

    /// The brokers that something could be asked now, given a connection.
    pub fn brokers(&mut self, now: Mono, metadata: &Metadata) -> Vec<BrokerId> {
        let mut brokers = Vec::new();
        for (key, assigned) in &self.assigned {
            if assigned.state == State::Failed || assigned.not_before > now {
                continue;
            }
            match metadata.leader(&key.topic, key.partition) {
                Some((leader, _)) if !brokers.contains(&leader) => brokers.push(leader),
                Some(_) => {}
                None => self.refresh = true,
            }
        }
        brokers.sort_unstable();
        brokers
    }

    /// The next question to this broker about offsets, if there is one.
    pub fn next_list(
        &mut self,
        now: Mono,
        broker: BrokerId,
        metadata: &Metadata,
    ) -> Option<ListOffsetsRequest> {
        if self.listing.contains_key(&broker) {
            return None;
        }
        let mut asked = BTreeMap::new();
        let mut topics: Vec<ListOffsetsTopic> = Vec::new();
        for (key, assigned) in &self.assigned {
            let State::Unresolved(start) = assigned.state else { continue };
            let leader = metadata.leader(&key.topic, key.partition);
            let Some((_, epoch)) = leader.filter(|&(leader, _)| leader == broker) else { continue };
            if assigned.not_before > now {
                continue;
            }
            asked.insert(key.clone(), assigned.generation);
            let partition = ListOffsetsPartition {
                partition_index: key.partition,
                current_leader_epoch: epoch.0,
                timestamp: start.timestamp(),
            };
            match topics.last_mut() {
                Some(last) if *last.name == *key.topic => last.partitions.push(partition),
                _ => {
                    topics.push(ListOffsetsTopic { name: key.topic.to_string(), partitions: vec![partition] })
                }
            }
        }
        if asked.is_empty() {
            return None;
        }
        self.listing.insert(broker, asked);
        let timeout_ms = i32::try_from(self.config.client.request_timeout.as_millis()).unwrap_or(i32::MAX);
        let isolation_level = self.config.isolation_level.code();
        Some(ListOffsetsRequest { replica_id: -1, isolation_level, topics, timeout_ms })
    }

    /// The broker's answer about offsets, or that there is none.
    pub fn on_list(&mut self, now: Mono, broker: BrokerId, response: Option<&ListOffsetsResponse>) {
        let asked = self.listing.remove(&broker).expect("an answer follows its question");
        let mut answers: BTreeMap<(&str, i32), &ListOffsetsPartitionResponse> = BTreeMap::new();
        for topic in response.map_or(&[][..], |response| &response.topics) {
            for partition in &topic.partitions {
                answers.insert((&topic.name, partition.partition_index), partition);
            }
        }
        for (key, generation) in asked {
            let answer = answers.get(&(&*key.topic, key.partition));
            self.on_offset(now, &key, generation, answer.copied());
        }
    }

    /// The next fetch from this broker, if there is one, in the version returned; the highest that the broker
    /// and this client know is `version`.
    pub fn next_fetch(
        &mut self,
        now: Mono,
        broker: BrokerId,
        version: i16,
        metadata: &Metadata,
    ) -> Option<(FetchRequest, i16)> {
        if self.fetching.contains_key(&broker) {
            return None;
        }
        let mut wanted = BTreeMap::new();
        let mut asked = BTreeMap::new();
        for (key, assigned) in &self.assigned {
            let leader = metadata.leader(&key.topic, key.partition);
            let Some((_, epoch)) = leader.filter(|&(leader, _)| leader == broker) else { continue };
            if self.fetched.iter().any(|fetched| &fetched.key == key) {
                // First what there is: a partition that is left out costs the session a change, twice.
                return None;
            }
            let State::At(position) = assigned.state else { continue };
            if assigned.not_before > now {
                continue;
            }
            let topic_id = metadata.topic_id(&key.topic);
            asked.insert(key.clone(), (assigned.generation, position, topic_id));
            let last_fetched_epoch =
                if version < FIRST_VERSION_WITH_LAST_EPOCH { LeaderEpoch::NONE } else { position.epoch };
            wanted.insert(
                key.clone(),
                Asked {
                    topic_id,
                    offset: position.offset,
                    current_leader_epoch: epoch,
                    last_fetched_epoch,
                    max_bytes: self.config.max_partition_fetch_bytes,
                },
            );
        }
        if wanted.is_empty() {
            return None;
        }
        let by_id = wanted.values().all(|asked| asked.topic_id != Uuid::ZERO);
        let version = if by_id { version } else { version.min(LAST_VERSION_BY_NAME) };
        let mut request = self.fetch_request();
        let with_session = version >= FIRST_VERSION_WITH_SESSIONS;
        if with_session {
            self.sessions.entry(broker).or_default().fill(&mut request, wanted);
        } else {
            Session::fill_without(&mut request, &wanted);
        }
        self.fetching.insert(broker, Fetching { with_session, asked });
        Some((request, version))
    }

    /// The broker's answer to a fetch. What it tells of leaders goes into `metadata`.
    pub fn on_fetch(
        &mut self,
        now: Mono,
        broker: BrokerId,
        response: &FetchResponse,
        metadata: &mut Metadata,
    ) {
        let fetching = self.fetching.remove(&broker).expect("an answer follows its question");
        let error = code(response.error_code);
        let session = self.sessions.entry(broker).or_default();
        if !error.is_none() {
            session.refused(error);
            for (key, (generation, ..)) in &fetching.asked {
                self.back_off(now, key, *generation);
            }
            return;
        }
        if fetching.with_session {
            session.answered(response.session_id);
        }
        for node in &response.node_endpoints {
            metadata.apply_endpoint(BrokerId(node.node_id), &node.host, node.port, node.rack.clone());
        }
        for topic in &response.responses {
            for data in &topic.partitions {
                let found = fetching.asked.iter().find(|(key, (_, _, topic_id))| {
                    let same = if topic.topic_id == Uuid::ZERO {
                        *key.topic == *topic.topic
                    } else {
                        *topic_id == topic.topic_id
                    };
                    same && key.partition == data.partition_index
                });
                if let Some((key, &(generation, position, _))) = found {
                    self.on_partition(now, key, generation, position, data, metadata);
                }
            }
        }
    }

    /// A fetch will not be answered.
    pub fn on_fetch_lost(&mut self, now: Mono, broker: BrokerId) {
        let fetching = self.fetching.remove(&broker).expect("an answer follows its question");
        self.sessions.entry(broker).or_default().lost();
        self.refresh = true;
        for (key, (generation, ..)) in &fetching.asked {
            self.back_off(now, key, *generation);
        }
    }

    /// When to call again if nothing happens before; after `now`.
    pub fn deadline(&self, now: Mono) -> Option<Mono> {
        let deadlines = self.assigned.values().map(|assigned| assigned.not_before);
        deadlines.filter(|&deadline| deadline > now).min()
    }

    fn fetch_request(&self) -> FetchRequest {
        let max_wait = self.config.fetch_max_wait.as_millis();
        FetchRequest {
            max_wait_ms: i32::try_from(max_wait).unwrap_or(i32::MAX),
            min_bytes: self.config.fetch_min_bytes,
            max_bytes: self.config.fetch_max_bytes,
            isolation_level: self.config.isolation_level.code(),
            ..Default::default()
        }
    }

    fn on_offset(
        &mut self,
        now: Mono,
        key: &TopicPartition,
        generation: u64,
        answer: Option<&ListOffsetsPartitionResponse>,
    ) {
        let Some(assigned) = self.assigned.get_mut(key).filter(|it| it.generation == generation) else {
            return;
        };
        let error = answer.map_or(ErrorCode::NetworkException, |answer| code(answer.error_code));
        match answer {
            Some(answer) if error.is_none() && answer.offset >= 0 => {
                let epoch = LeaderEpoch::NONE;
                assigned.state = State::At(Position { offset: Offset(answer.offset), epoch });
                assigned.failures = 0;
            }
            // No record is as late as that.
            Some(_) if error.is_none() => assigned.state = State::Unresolved(Start::Latest),
            _ if error.is_retriable() => {
                self.refresh = true;
                self.back_off(now, key, generation);
            }
            _ => self.fail(key, error),
        }
    }

    fn on_partition(
        &mut self,
        now: Mono,
        key: &TopicPartition,
        generation: u64,
        asked: Position,
        data: &PartitionData,
        metadata: &mut Metadata,
    ) {
        let end = self.end_of(data);
        let Some(assigned) = self.assigned.get_mut(key).filter(|it| it.generation == generation) else {
            return;
        };
        // After a change of leaders the old one's answer may come when the new one's was taken already.
        if assigned.state != State::At(asked) || self.fetched.iter().any(|fetched| &fetched.key == key) {
            return;
        }
        let error = code(data.error_code);
        match error {
            ErrorCode::None if data.diverging_epoch.end_offset >= 0 => {
                let epoch = LeaderEpoch(data.diverging_epoch.epoch);
                self.on_truncated(key, Position { offset: Offset(data.diverging_epoch.end_offset), epoch });
            }
            ErrorCode::None => {
                assigned.failures = 0;
                assigned.end = Some(Offset(end));
                self.on_batches(key, generation, asked, data);
            }
            ErrorCode::OffsetOutOfRange => self.on_out_of_range(key, asked.offset),
            ErrorCode::CorruptMessage => {
                let reason = "the broker found the log damaged".to_owned();
                self.back_off(now, key, generation);
                let (partition, offset) = (key.clone(), asked.offset);
                self.failed.push_back(ConsumeError::Corrupt { partition, offset, reason });
            }
            error if error.is_retriable() || error == ErrorCode::UnknownServerError => {
                let leader = &data.current_leader;
                let (leader, epoch) = (BrokerId(leader.leader_id), LeaderEpoch(leader.leader_epoch));
                if !metadata.apply_leader(&key.topic, key.partition, leader, epoch) {
                    self.refresh = true;
                }
                self.back_off(now, key, generation);
            }
            error => self.fail(key, error),
        }
    }

    fn end_of(&self, data: &PartitionData) -> i64 {
        match self.config.isolation_level {
            IsolationLevel::ReadCommitted => data.last_stable_offset,
            IsolationLevel::ReadUncommitted => data.high_watermark,
        }
    }

    fn on_batches(&mut self, key: &TopicPartition, generation: u64, asked: Position, data: &PartitionData) {
        let Some(batches) = data.records.clone().filter(|batches| !batches.is_empty()) else { return };
        let aborted = match self.config.isolation_level {
            IsolationLevel::ReadCommitted => Some(data.aborted_transactions.as_deref().unwrap_or_default()),
            IsolationLevel::ReadUncommitted => None,
        };
        let check_crcs = self.config.check_crcs;
        self.fetched.push_back(Fetched::new(key.clone(), generation, asked, batches, aborted, check_crcs));
    }

    fn on_out_of_range(&mut self, key: &TopicPartition, offset: Offset) {
        let start = match self.config.auto_offset_reset {
            OffsetReset::Earliest => Start::Earliest,
            OffsetReset::Latest => Start::Latest,
            OffsetReset::None => {
                self.stop(key);
                self.failed.push_back(ConsumeError::OffsetOutOfRange { partition: key.clone(), offset });
                return;
            }
        };
        self.assign(key.clone(), start);
    }

    /// The log was cut behind our back (an unclean election): what was delivered from `to` on is gone.
    fn on_truncated(&mut self, key: &TopicPartition, to: Position) {
        if self.config.auto_offset_reset == OffsetReset::None {
            self.stop(key);
            self.failed.push_back(ConsumeError::LogTruncated { partition: key.clone(), offset: to.offset });
            return;
        }
        self.assign(key.clone(), Start::Offset(to.offset));
        self.assigned.get_mut(key).expect("just assigned").state = State::At(to);
    }

    fn fail(&mut self, key: &TopicPartition, error: ErrorCode) {
        self.stop(key);
        self.failed.push_back(ConsumeError::Refused { partition: key.clone(), error });
    }

    fn stop(&mut self, key: &TopicPartition) {
        self.assigned.get_mut(key).expect("what fails is assigned").state = State::Failed;
    }

    fn back_off(&mut self, now: Mono, key: &TopicPartition, generation: u64) {
        if let Some(assigned) = self.assigned.get_mut(key).filter(|it| it.generation == generation) {
            assigned.not_before = now + self.backoff.pause(assigned.failures, &mut self.rng);
            assigned.failures = assigned.failures.saturating_add(1);
        }
    }
}
