//! The consumer's driver: feeds the core while it is polled, owns the connections.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::core::ConsumerCore;
use super::{ConsumeError, ConsumerConfig, ConsumerRecord, Start, TopicPartition};
use crate::client::cluster::{Choice, Cluster};
use crate::client::config::ConfigError;
use crate::client::connection::{CallError, Connection};
use crate::client::futures::{Either, FutureSet, race};
use crate::client::metadata::{Metadata, code};
use crate::env::{Clock, Env, Purpose};
use crate::error_code::ErrorCode;
use crate::types::{BrokerId, LeaderEpoch, Mono, Offset, WallMs};
use crate::wire::messages::fetch::{FetchRequest, FetchResponse};
use crate::wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};

/// Reads assigned partitions. Dropping it closes its connections.
pub struct Consumer<E: Env> {
    env: E,
    config: ConsumerConfig,
    core: ConsumerCore,
    cluster: Cluster<E>,
    events: FutureSet<Event>,
}

/// Why a consumer's operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsumerError {
    /// The options do not work together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `bootstrap.servers` cannot be read.
    #[error("{0}")]
    Bootstrap(String),
    /// The topic is not there, or may not be seen.
    #[error("topic {topic}: {error}")]
    Topic {
        /// Its name.
        topic: String,
        /// Why.
        error: ErrorCode,
    },
    /// A partition's offset cannot be told.
    #[error("{partition}: {error}")]
    Partition {
        /// Which.
        partition: TopicPartition,
        /// Why.
        error: ErrorCode,
    },
    /// No answer within the time given; what went wrong last.
    #[error("{0}")]
    TimedOut(String),
}

/// An offset found by timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundOffset {
    /// The offset.
    pub offset: Offset,
    /// The timestamp of the record there, or -1 if it was not looked at.
    pub timestamp: WallMs,
    /// The epoch of the leader that appended it, if known.
    pub leader_epoch: LeaderEpoch,
}

enum Event {
    Listed(BrokerId, Result<ListOffsetsResponse, CallError>),
    Fetched(BrokerId, Result<FetchResponse, CallError>),
}

impl<E: Env> Consumer<E> {
    /// A consumer with these options. `instance` tells several consumers of one node apart: it keys their
    /// randomness.
    ///
    /// # Errors
    ///
    /// Options that do not work. The brokers need not be there.
    pub fn new(env: &E, config: ConsumerConfig, instance: u64) -> Result<Self, ConsumerError> {
        config.validate()?;
        let auto_create = config.allow_auto_create_topics;
        let cluster = Cluster::new(env, &config.client, auto_create, "client.consumer", instance)
            .map_err(ConsumerError::Bootstrap)?;
        let rng = env.rng(Purpose { subsystem: "client.consumer", what: "core", instance });
        let core = ConsumerCore::new(config.clone(), rng);
        Ok(Self { env: env.clone(), config, core, cluster, events: FutureSet::new() })
    }

    /// Consumes a partition from `start` on; for one that is assigned already, this is a seek.
    pub fn assign(&mut self, partition: TopicPartition, start: Start) {
        self.cluster.refresh.add_topic(&partition.topic);
        self.core.assign(partition, start);
    }

    /// Consumes a partition no longer.
    pub fn unassign(&mut self, partition: &TopicPartition) {
        self.core.unassign(partition);
        let topics = self.core.assignment().map(|partition| partition.topic.to_string());
        self.cluster.refresh.set_topics(topics.collect());
    }

    /// The offset of the next record that [`Consumer::poll`] returns, once it is known.
    pub fn position(&self, partition: &TopicPartition) -> Option<Offset> {
        self.core.position(partition)
    }

    /// The end of the partition as the broker told it last; see [`ConsumerCore::end`].
    pub fn end(&self, partition: &TopicPartition) -> Option<Offset> {
        self.core.end(partition)
    }

    /// The next records, at most `max.poll.records`, waiting up to `timeout` for the first. Cancel-safe: a
    /// dropped poll has delivered nothing.
    ///
    /// # Errors
    ///
    /// See [`ConsumerCore::take`]. Brokers that cannot be reached are none: see [`Consumer::trouble`].
    pub async fn poll(&mut self, timeout: Duration) -> Result<Vec<ConsumerRecord>, ConsumeError> {
        let deadline = self.env.clock().now() + timeout;
        loop {
            let records = self.core.take()?;
            let now = self.env.clock().now();
            self.step(now);
            if !records.is_empty() || now >= deadline {
                return Ok(records);
            }
            if self.core.has_fetched() {
                continue;
            }
            let deadlines = [self.core.deadline(now), self.cluster.deadline(now), Some(deadline)];
            let wake = deadlines.into_iter().flatten().min().expect("there is one at least");
            self.wait(wake).await;
        }
    }

    /// What keeps the consumer from reaching brokers, if anything does.
    pub fn trouble(&self) -> Option<String> {
        self.cluster.has_trouble().then(|| self.cluster.trouble())
    }

    /// The partitions of a topic.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::Topic`] as soon as a broker says that there is none (asking may create it, see
    /// `allow.auto.create.topics`), [`ConsumerError::TimedOut`].
    pub async fn partitions(&mut self, topic: &str, timeout: Duration) -> Result<Vec<i32>, ConsumerError> {
        let deadline = self.env.clock().now() + timeout;
        self.cluster.metadata.forget(topic);
        self.cluster.refresh.add_topic(topic);
        self.cluster.refresh.request();
        loop {
            if let Some(known) = self.cluster.metadata.topic(topic) {
                let patient = self.config.allow_auto_create_topics && known.error.is_retriable();
                if !known.error.is_none() && !patient {
                    return Err(ConsumerError::Topic { topic: topic.to_owned(), error: known.error });
                }
                if known.error.is_none() && !known.partitions.is_empty() {
                    return Ok(known.partitions.keys().copied().collect());
                }
                self.cluster.refresh.request();
            }
            self.metadata_step(deadline).await?;
        }
    }

    /// The offset where each partition ends: what a consumer of the same isolation level could read up to.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::Partition`] and [`ConsumerError::TimedOut`].
    pub async fn end_offsets(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ConsumerError> {
        self.offsets(partitions, Start::Latest, timeout).await
    }

    /// The offset where each partition begins.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::Partition`] and [`ConsumerError::TimedOut`].
    pub async fn beginning_offsets(
        &mut self,
        partitions: &[TopicPartition],
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ConsumerError> {
        self.offsets(partitions, Start::Earliest, timeout).await
    }

    /// The first record of each partition that is as late as the timestamp; `None` where none is.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::Partition`] and [`ConsumerError::TimedOut`].
    pub async fn offsets_for_time(
        &mut self,
        partitions: &[TopicPartition],
        timestamp: WallMs,
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Option<FoundOffset>>, ConsumerError> {
        self.list(partitions, Start::Timestamp(timestamp), timeout).await
    }

    async fn offsets(
        &mut self,
        partitions: &[TopicPartition],
        start: Start,
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Offset>, ConsumerError> {
        let found = self.list(partitions, start, timeout).await?;
        let offset = |found: Option<FoundOffset>| found.map_or(Offset::ZERO, |found| found.offset);
        Ok(found.into_iter().map(|(partition, found)| (partition, offset(found))).collect())
    }

    /// Asks the leaders, one after the other, until each partition has an answer.
    async fn list(
        &mut self,
        partitions: &[TopicPartition],
        start: Start,
        timeout: Duration,
    ) -> Result<BTreeMap<TopicPartition, Option<FoundOffset>>, ConsumerError> {
        let deadline = self.env.clock().now() + timeout;
        let mut found = BTreeMap::new();
        let mut left: BTreeSet<TopicPartition> = partitions.iter().cloned().collect();
        for partition in partitions {
            self.cluster.refresh.add_topic(&partition.topic);
        }
        while let Some(first) = left.first() {
            let leader = self.cluster.metadata.leader(&first.topic, first.partition);
            let Some((leader, _)) = leader else {
                self.cluster.refresh.request();
                self.metadata_step(deadline).await?;
                continue;
            };
            let request = list_request(&left, leader, start, &self.config, &self.cluster.metadata);
            match self.call_list(leader, &request, deadline).await {
                Ok(response) => take_answers(&response, &mut left, &mut found)?,
                Err(CallError::Unsupported(text)) => return Err(ConsumerError::TimedOut(text)),
                Err(_) => self.cluster.refresh.request(),
            }
            if !left.is_empty() {
                self.cluster.refresh.request();
                self.metadata_step(deadline).await?;
            }
        }
        Ok(found)
    }

    async fn call_list(
        &mut self,
        leader: BrokerId,
        request: &ListOffsetsRequest,
        deadline: Mono,
    ) -> Result<ListOffsetsResponse, CallError> {
        let now = self.env.clock().now();
        let until = deadline.min(now + self.config.client.request_timeout);
        let connection = self.cluster.obtain(Choice::Broker(leader), until).await?;
        let call = connection.start(request, i16::MAX, until)?;
        call.wait().await
    }

    /// Waits for something to happen to what is known of the cluster.
    async fn metadata_step(&mut self, deadline: Mono) -> Result<(), ConsumerError> {
        let now = self.env.clock().now();
        if now >= deadline {
            return Err(ConsumerError::TimedOut(self.cluster.trouble()));
        }
        self.cluster.drive(now);
        let wake = self.cluster.deadline(now).map_or(deadline, |wake| wake.min(deadline));
        let clock = self.env.clock().clone();
        clock.timeout_at(wake, self.cluster.wait()).await;
        Ok(())
    }

    /// Everything that can be done now.
    fn step(&mut self, now: Mono) {
        for broker in self.core.brokers(now, &self.cluster.metadata) {
            if self.cluster.broker(now, broker).is_some() {
                self.ask(now, broker);
            }
        }
        if self.core.take_refresh() {
            self.cluster.refresh.request();
        }
        self.cluster.drive(now);
    }

    fn ask(&mut self, now: Mono, broker: BrokerId) {
        let deadline = now + self.config.client.request_timeout;
        if let Some(request) = self.core.next_list(now, broker, &self.cluster.metadata) {
            let started = self.cluster.broker(now, broker).map(|it| it.start(&request, i16::MAX, deadline));
            match started {
                Some(Ok(call)) => self.events.push(async move { Event::Listed(broker, call.wait().await) }),
                _ => self.core.on_list(now, broker, None),
            }
        }
        let Some(version) = self.cluster.broker(now, broker).and_then(fetch_version) else { return };
        if let Some((request, cap)) = self.core.next_fetch(now, broker, version, &self.cluster.metadata) {
            let started = self.cluster.broker(now, broker).map(|it| it.start(&request, cap, deadline));
            match started {
                Some(Ok(call)) => self.events.push(async move { Event::Fetched(broker, call.wait().await) }),
                _ => self.core.on_fetch_lost(now, broker),
            }
        }
    }

    /// Waits for an answer until `wake`, and takes it in.
    async fn wait(&mut self, wake: Mono) {
        let clock = self.env.clock().clone();
        let others = race(self.cluster.wait(), clock.sleep_until(wake));
        let Either::First(event) = race(self.events.next(), others).await else { return };
        let now = clock.now();
        match event {
            Event::Listed(broker, outcome) => self.core.on_list(now, broker, outcome.ok().as_ref()),
            Event::Fetched(broker, Ok(response)) => {
                self.core.on_fetch(now, broker, &response, &mut self.cluster.metadata);
            }
            Event::Fetched(broker, Err(_)) => self.core.on_fetch_lost(now, broker),
        }
    }
}

fn fetch_version<E: Env>(connection: &Connection<E>) -> Option<i16> {
    connection.versions().choose::<FetchRequest>(i16::MAX).ok()
}

/// A question about those of `left` that `leader` leads.
fn list_request(
    left: &BTreeSet<TopicPartition>,
    leader: BrokerId,
    start: Start,
    config: &ConsumerConfig,
    metadata: &Metadata,
) -> ListOffsetsRequest {
    let mut topics: Vec<ListOffsetsTopic> = Vec::new();
    for key in left {
        let Some((_, epoch)) = metadata.leader(&key.topic, key.partition).filter(|&(id, _)| id == leader)
        else {
            continue;
        };
        let partition = ListOffsetsPartition {
            partition_index: key.partition,
            current_leader_epoch: epoch.0,
            timestamp: start.timestamp(),
        };
        match topics.last_mut() {
            Some(last) if *last.name == *key.topic => last.partitions.push(partition),
            _ => topics.push(ListOffsetsTopic { name: key.topic.to_string(), partitions: vec![partition] }),
        }
    }
    ListOffsetsRequest {
        replica_id: -1,
        isolation_level: config.isolation_level.code(),
        topics,
        timeout_ms: i32::try_from(config.client.request_timeout.as_millis()).unwrap_or(i32::MAX),
    }
}

/// Moves what was answered from `left` to `found`; what can be asked again stays.
fn take_answers(
    response: &ListOffsetsResponse,
    left: &mut BTreeSet<TopicPartition>,
    found: &mut BTreeMap<TopicPartition, Option<FoundOffset>>,
) -> Result<(), ConsumerError> {
    for topic in &response.topics {
        for answer in &topic.partitions {
            let partition = TopicPartition::new(&topic.name, answer.partition_index);
            let error = code(answer.error_code);
            if error.is_none() && left.remove(&partition) {
                let offset = (answer.offset >= 0).then_some(FoundOffset {
                    offset: Offset(answer.offset),
                    timestamp: WallMs(answer.timestamp),
                    leader_epoch: LeaderEpoch(answer.leader_epoch),
                });
                found.insert(partition, offset);
            } else if !error.is_none() && !error.is_retriable() {
                return Err(ConsumerError::Partition { partition, error });
            }
        }
    }
    Ok(())
}
