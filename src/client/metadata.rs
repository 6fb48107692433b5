//! What a client knows of the cluster: brokers, topics, leaders; pure.
//!
//! A leader epoch never goes back while the topic's id stays the same: an answer from a broker that lags
//! behind must not send the client back to a deposed leader. A topic that was deleted and created again has
//! another id, and its epochs begin anew (KAFKA-12257).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;

use super::backoff::Backoff;
use crate::error_code::ErrorCode;
use crate::types::{BrokerId, LeaderEpoch, Mono, Uuid};
use crate::wire::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseTopic,
};

/// The cluster as last heard of.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    /// The cluster's id, once known.
    pub cluster_id: Option<String>,
    /// The broker to ask for what only the controller does; under KRaft, any broker.
    pub controller: Option<BrokerId>,
    brokers: BTreeMap<BrokerId, Endpoint>,
    topics: BTreeMap<String, Topic>,
}

/// Where a broker listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The rack it says it stands in.
    pub rack: Option<String>,
}

/// One topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its id, or [`Uuid::ZERO`] from brokers that know none.
    pub id: Uuid,
    /// Whether it is one of the cluster's own.
    pub internal: bool,
    /// Why nothing is known of it, if so.
    pub error: ErrorCode,
    /// Its partitions by index.
    pub partitions: BTreeMap<i32, Partition>,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Who leads it, if anyone.
    pub leader: Option<BrokerId>,
    /// In which epoch, or [`LeaderEpoch::NONE`] from brokers that do not say.
    pub leader_epoch: LeaderEpoch,
    /// All its replicas, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// Those in sync.
    pub isr: Vec<BrokerId>,
    /// Those on brokers or directories that are offline.
    pub offline: Vec<BrokerId>,
    /// Why there is no leader, if so.
    pub error: ErrorCode,
}

impl Metadata {
    /// Takes in an answer about the topics it names. Entries of topics that it does not name stay.
    pub fn apply(&mut self, response: &MetadataResponse) {
        if response.cluster_id.is_some() {
            self.cluster_id.clone_from(&response.cluster_id);
        }
        self.controller = (response.controller_id >= 0).then_some(BrokerId(response.controller_id));
        if !response.brokers.is_empty() {
            self.brokers = response
                .brokers
                .iter()
                .filter_map(|broker| {
                    let endpoint = endpoint(&broker.host, broker.port, broker.rack.clone())?;
                    Some((BrokerId(broker.node_id), endpoint))
                })
                .collect();
        }
        for topic in &response.topics {
            self.apply_topic(topic);
        }
    }

    /// Takes in a hint about a partition's leader, as Produce and Fetch answers carry them (KIP-951). Says
    /// whether it was news.
    pub fn apply_leader(
        &mut self,
        topic: &str,
        partition: i32,
        leader: BrokerId,
        leader_epoch: LeaderEpoch,
    ) -> bool {
        let Some(known) = self.topics.get_mut(topic).and_then(|topic| topic.partitions.get_mut(&partition))
        else {
            return false;
        };
        if leader == BrokerId::NONE
            || leader_epoch <= known.leader_epoch
            || !self.brokers.contains_key(&leader)
        {
            return false;
        }
        known.leader = Some(leader);
        known.leader_epoch = leader_epoch;
        known.error = ErrorCode::None;
        true
    }

    /// Takes in where a broker listens.
    pub fn apply_endpoint(&mut self, broker: BrokerId, host: &str, port: i32, rack: Option<String>) {
        if let Some(endpoint) = endpoint(host, port, rack) {
            self.brokers.insert(broker, endpoint);
        }
    }

    /// Forgets a topic: it was deleted, or nobody asks for it any more.
    pub fn forget(&mut self, topic: &str) {
        self.topics.remove(topic);
    }

    /// All brokers known.
    pub fn brokers(&self) -> &BTreeMap<BrokerId, Endpoint> {
        &self.brokers
    }

    /// A topic, if it was ever asked for.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    /// All topics known, by name.
    pub fn topics(&self) -> &BTreeMap<String, Topic> {
        &self.topics
    }

    /// A topic's name by its id.
    pub fn topic_name(&self, id: Uuid) -> Option<&str> {
        if id == Uuid::ZERO {
            return None;
        }
        self.topics.iter().find(|(_, topic)| topic.id == id).map(|(name, _)| name.as_str())
    }

    /// A topic's id, or [`Uuid::ZERO`].
    pub fn topic_id(&self, name: &str) -> Uuid {
        self.topics.get(name).map_or(Uuid::ZERO, |topic| topic.id)
    }

    /// Who leads a partition, and in which epoch.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<(BrokerId, LeaderEpoch)> {
        let partition = self.topics.get(topic)?.partitions.get(&partition)?;
        let leader = partition.leader?;
        self.brokers.contains_key(&leader).then_some((leader, partition.leader_epoch))
    }

    fn apply_topic(&mut self, response: &MetadataResponseTopic) {
        let Some(name) = response.name.clone() else { return };
        let error = code(response.error_code);
        let known = self.topics.remove(&name);
        if !error.is_none() {
            // A topic with an error keeps its partitions: the leader may still be there while one broker
            // has not yet heard of the topic. Whoever needs it asks again.
            let mut topic = known.unwrap_or_else(Topic::unknown);
            topic.error = error;
            self.topics.insert(name, topic);
            return;
        }
        let same = known
            .filter(|known| known.id == response.topic_id || response.topic_id == Uuid::ZERO)
            .map(|known| known.partitions)
            .unwrap_or_default();
        let partitions = response.partitions.iter().map(|partition| {
            let fresh = Partition {
                leader: (partition.leader_id >= 0).then_some(BrokerId(partition.leader_id)),
                leader_epoch: LeaderEpoch(partition.leader_epoch),
                replicas: ids(&partition.replica_nodes),
                isr: ids(&partition.isr_nodes),
                offline: ids(&partition.offline_replicas),
                error: code(partition.error_code),
            };
            let index = partition.partition_index;
            match same.get(&index) {
                Some(known)
                    if fresh.leader_epoch != LeaderEpoch::NONE && known.leader_epoch > fresh.leader_epoch =>
                {
                    (index, known.clone())
                }
                _ => (index, fresh),
            }
        });
        let topic = Topic {
            id: response.topic_id,
            internal: response.is_internal,
            error,
            partitions: partitions.collect(),
        };
        self.topics.insert(name, topic);
    }
}

impl Topic {
    fn unknown() -> Self {
        Self { id: Uuid::ZERO, internal: false, error: ErrorCode::None, partitions: BTreeMap::new() }
    }

    /// The partitions that have a leader.
    pub fn available(&self) -> Vec<i32> {
        let led = self.partitions.iter().filter(|(_, partition)| partition.leader.is_some());
        led.map(|(&index, _)| index).collect()
    }
}

/// When to ask for metadata, and about which topics.
#[derive(Debug)]
pub struct Refresh {
    topics: BTreeSet<String>,
    auto_create: bool,
    max_age: Duration,
    backoff: Backoff,
    rng: ChaCha8Rng,
    needed: bool,
    in_flight: bool,
    failures: u32,
    not_before: Mono,
    expires: Mono,
}

impl Refresh {
    /// Asks again after `max_age` even if nothing calls for it (`metadata.max.age.ms`).
    pub fn new(auto_create: bool, max_age: Duration, backoff: Backoff, rng: ChaCha8Rng) -> Self {
        Self {
            topics: BTreeSet::new(),
            auto_create,
            max_age,
            backoff,
            rng,
            needed: true,
            in_flight: false,
            failures: 0,
            not_before: Mono::default(),
            expires: Mono::default(),
        }
    }

    /// Adds a topic to ask about.
    pub fn add_topic(&mut self, topic: &str) {
        if !self.topics.contains(topic) {
            self.topics.insert(topic.to_owned());
            self.needed = true;
        }
    }

    /// Asks about these topics from now on.
    pub fn set_topics(&mut self, topics: BTreeSet<String>) {
        self.needed |= !topics.is_subset(&self.topics);
        self.topics = topics;
    }

    /// What is known is known to be wrong, or too little.
    pub fn request(&mut self) {
        self.needed = true;
    }

    /// Whether to ask now.
    pub fn is_due(&self, now: Mono) -> bool {
        !self.in_flight && now >= self.not_before && (self.needed || now >= self.expires)
    }

    /// Whether what is known is known to be wrong, or too little.
    pub fn is_needed(&self) -> bool {
        self.needed
    }

    /// When to look again, if not now.
    pub fn deadline(&self) -> Option<Mono> {
        if self.in_flight {
            return None;
        }
        Some(if self.needed { self.not_before } else { self.expires.max(self.not_before) })
    }

    /// The request to send now; it must end in [`Refresh::succeeded`] or [`Refresh::failed`].
    pub fn start(&mut self) -> MetadataRequest {
        assert!(!self.in_flight, "one metadata request at a time");
        self.in_flight = true;
        self.needed = false;
        let topics = self.topics.iter();
        let topics =
            topics.map(|name| MetadataRequestTopic { name: Some(name.clone()), ..Default::default() });
        MetadataRequest {
            topics: Some(topics.collect()),
            allow_auto_topic_creation: self.auto_create,
            ..Default::default()
        }
    }

    /// The answer came. Even so the next request waits a little: a cluster in the middle of an election
    /// answers at once, and with nothing new.
    pub fn succeeded(&mut self, now: Mono) {
        self.in_flight = false;
        self.failures = 0;
        self.not_before = now + self.backoff.pause(0, &mut self.rng);
        self.expires = now + self.max_age;
    }

    /// No answer came.
    pub fn failed(&mut self, now: Mono) {
        self.in_flight = false;
        self.needed = true;
        self.not_before = now + self.backoff.pause(self.failures, &mut self.rng);
        self.failures = self.failures.saturating_add(1);
    }
}

fn endpoint(host: &str, port: i32, rack: Option<String>) -> Option<Endpoint> {
    let port = u16::try_from(port).ok().filter(|&port| port != 0)?;
    (!host.is_empty()).then(|| Endpoint { host: host.to_owned(), port, rack })
}

fn ids(raw: &[i32]) -> Vec<BrokerId> {
    raw.iter().copied().map(BrokerId).collect()
}

/// The error of a number on the wire; one that we do not know is a server error.
pub(crate) fn code(raw: i16) -> ErrorCode {
    ErrorCode::from_code(raw).unwrap_or(ErrorCode::UnknownServerError)
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::wire::messages::metadata::{MetadataResponseBroker, MetadataResponsePartition};

    fn answer(topic_id: u128, leader_id: i32, leader_epoch: i32, error: ErrorCode) -> MetadataResponse {
        let broker = |node_id| MetadataResponseBroker { node_id, host: "b".into(), port: 1, rack: None };
        let partition = MetadataResponsePartition { leader_id, leader_epoch, ..Default::default() };
        let topic = MetadataResponseTopic {
            error_code: error.code(),
            name: Some("t".into()),
            topic_id: Uuid(topic_id),
            partitions: if error.is_none() { vec![partition] } else { Vec::new() },
            ..Default::default()
        };
        MetadataResponse { brokers: vec![broker(1), broker(2)], topics: vec![topic], ..Default::default() }
    }

    fn leader(metadata: &Metadata) -> Option<(i32, i32)> {
        metadata.leader("t", 0).map(|(leader, epoch)| (leader.0, epoch.0))
    }

    #[test]
    fn an_epoch_never_goes_back_unless_the_topic_is_another_one() {
        let mut metadata = Metadata::default();
        metadata.apply(&answer(7, 1, 5, ErrorCode::None));
        metadata.apply(&answer(7, 2, 4, ErrorCode::None));
        assert_eq!(leader(&metadata), Some((1, 5)), "a broker that lags behind");
        metadata.apply(&answer(7, 2, 6, ErrorCode::None));
        assert_eq!(leader(&metadata), Some((2, 6)));
        metadata.apply(&answer(8, 1, 0, ErrorCode::None));
        assert_eq!(leader(&metadata), Some((1, 0)), "deleted and created again");
    }

    #[test]
    fn an_error_keeps_what_was_known_and_no_leader_is_none() {
        let mut metadata = Metadata::default();
        metadata.apply(&answer(7, 1, 5, ErrorCode::None));
        metadata.apply(&answer(0, 0, 0, ErrorCode::UnknownTopicOrPartition));
        assert_eq!(leader(&metadata), Some((1, 5)));
        assert_eq!(metadata.topic("t").unwrap().error, ErrorCode::UnknownTopicOrPartition);
        metadata.apply(&answer(7, -1, 6, ErrorCode::None));
        assert_eq!(leader(&metadata), None);
    }

    #[test]
    fn a_hint_counts_if_it_is_newer_and_its_broker_known() {
        let mut metadata = Metadata::default();
        metadata.apply(&answer(7, 1, 5, ErrorCode::None));
        assert!(!metadata.apply_leader("t", 0, BrokerId(2), LeaderEpoch(5)));
        assert!(!metadata.apply_leader("t", 0, BrokerId(9), LeaderEpoch(6)));
        assert!(metadata.apply_leader("t", 0, BrokerId(2), LeaderEpoch(6)));
        assert_eq!(leader(&metadata), Some((2, 6)));
    }

    #[test]
    fn refreshes_wait_their_turn() {
        let backoff = Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(1) };
        let rng = ChaCha8Rng::seed_from_u64(1);
        let mut refresh = Refresh::new(false, Duration::from_secs(300), backoff, rng);
        let at = |millis: u64| Mono(millis * 1_000_000);
        assert!(refresh.is_due(at(0)), "nothing is known yet");
        refresh.start();
        assert!(!refresh.is_due(at(500)), "one at a time");
        refresh.failed(at(500));
        assert!(!refresh.is_due(at(501)) && refresh.is_due(at(700)));
        refresh.start();
        refresh.succeeded(at(700));
        assert!(!refresh.is_due(at(10_000)));
        refresh.request();
        assert!(refresh.is_due(at(10_000)));
        refresh.start();
        refresh.succeeded(at(10_000));
        assert!(refresh.is_due(at(320_000)), "metadata.max.age.ms");
    }
}
