//! The cluster's metadata at one offset of the metadata log: immutable once published, cheap to copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::shared::{Part, SharedMap};
use crate::config::{Layers, Texts};
use crate::types::{BrokerEpoch, BrokerId, LeaderEpoch, Offset, PartitionEpoch, ProducerId, Uuid};

/// The feature that says which metadata records there are.
pub const METADATA_VERSION: &str = "metadata.version";
/// The feature of eligible leader replicas (KIP-966).
pub const ELR_VERSION: &str = "eligible.leader.replicas.version";

/// Kafka's directory id in records from before KIP-858: not known, but surely somewhere.
pub const MIGRATING_DIR: Uuid = Uuid(0);
/// Kafka's directory id of a replica whose broker has not said yet where it put it.
pub const UNASSIGNED_DIR: Uuid = Uuid(1);
/// Kafka's directory id of a replica whose directory failed before its broker had said which one it was.
pub const LOST_DIR: Uuid = Uuid(2);

/// The metadata of a cluster. Images at equal offsets of one log are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub(super) offset: Offset,
    pub(super) epoch: LeaderEpoch,
    pub(super) brokers: Arc<BTreeMap<BrokerId, Arc<BrokerRegistration>>>,
    pub(super) controllers: Arc<BTreeMap<BrokerId, Arc<ControllerRegistration>>>,
    pub(super) topics: SharedMap<Uuid, Arc<TopicImage>>,
    pub(super) topic_ids: SharedMap<Arc<str>, Uuid>,
    /// The names of topics by their unified form, where they have a `.` or a `_` (see `names`).
    pub(super) colliding_names: SharedMap<Arc<str>, Vec<Arc<str>>>,
    pub(super) configs: Arc<BTreeMap<(ResourceType, String), Arc<Texts>>>,
    pub(super) features: Arc<BTreeMap<String, i16>>,
    pub(super) next_producer_id: ProducerId,
}

impl Image {
    /// The metadata before the first record.
    pub fn empty() -> Self {
        Self {
            offset: Offset(-1),
            epoch: LeaderEpoch(0),
            brokers: Arc::default(),
            controllers: Arc::default(),
            topics: SharedMap::default(),
            topic_ids: SharedMap::default(),
            colliding_names: SharedMap::default(),
            configs: Arc::default(),
            features: Arc::default(),
            next_producer_id: ProducerId(0),
        }
    }

    /// The offset of the last record that it contains; -1 before the first.
    pub fn offset(&self) -> Offset {
        self.offset
    }

    /// The quorum's leader epoch in which that record was written.
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// The registered brokers, fenced ones included, by id.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<BrokerRegistration>> {
        self.brokers.values()
    }

    /// A broker's registration.
    pub fn broker(&self, id: BrokerId) -> Option<&Arc<BrokerRegistration>> {
        self.brokers.get(&id)
    }

    /// Whether a broker is registered, not fenced and not shutting down: may lead and be in sync.
    pub fn is_active(&self, id: BrokerId) -> bool {
        self.broker(id).is_some_and(|broker| broker.is_active())
    }

    /// Whether a broker has this directory in use; one whose id is not known yet counts as such, a lost one
    /// does not.
    pub fn has_online_dir(&self, id: BrokerId, dir: Uuid) -> bool {
        match dir {
            UNASSIGNED_DIR | MIGRATING_DIR => self.broker(id).is_some(),
            LOST_DIR => false,
            dir => self.broker(id).is_some_and(|broker| broker.log_dirs.contains(&dir)),
        }
    }

    /// The registered controllers, by id.
    pub fn controllers(&self) -> impl Iterator<Item = &Arc<ControllerRegistration>> {
        self.controllers.values()
    }

    /// All topics, in an order that depends on their ids alone.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicImage>> {
        self.topics.iter().map(|(_, topic)| topic)
    }

    /// How many topics there are.
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// A topic by its id.
    pub fn topic(&self, id: Uuid) -> Option<&Arc<TopicImage>> {
        self.topics.get(&id)
    }

    /// A topic by its name.
    pub fn topic_named(&self, name: &str) -> Option<&Arc<TopicImage>> {
        self.topics.get(self.topic_ids.get(name)?)
    }

    /// A partition.
    pub fn partition(&self, topic: Uuid, index: i32) -> Option<&Arc<PartitionRegistration>> {
        self.topic(topic)?.partitions.get(&index)
    }

    /// The dynamic configuration of a resource other than a topic. The broker resource with the empty name
    /// is that of all brokers.
    pub fn config(&self, kind: ResourceType, name: &str) -> &Texts {
        static NONE: Texts = Texts::new();
        self.configs.get(&(kind, name.to_owned())).map_or(&NONE, |texts| texts)
    }

    /// What stands below a topic's own configuration on a node, whose static configuration is `server`.
    pub fn layers<'a>(&'a self, node: BrokerId, server: &'a Texts) -> Layers<'a> {
        let broker = self.config(ResourceType::Broker, &node.to_string());
        Layers { broker, cluster: self.config(ResourceType::Broker, ""), server }
    }

    /// The level at which a feature is finalized; 0 if it is off.
    pub fn feature(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// The finalized features and their levels.
    pub fn features(&self) -> impl Iterator<Item = (&str, i16)> {
        self.features.iter().map(|(name, &level)| (name.as_str(), level))
    }

    /// Whether eligible leader replicas are kept (KIP-966): only then may an ISR be empty.
    pub fn elr_enabled(&self) -> bool {
        self.feature(ELR_VERSION) >= 1
    }

    /// The first producer id that no broker was given.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicImage {
    /// Its id, for ever its own.
    pub id: Uuid,
    /// Its name, which a later topic may have again.
    pub name: Arc<str>,
    /// Its overrides.
    pub configs: Arc<Texts>,
    /// Its partitions, by index.
    pub partitions: BTreeMap<i32, Arc<PartitionRegistration>>,
}

/// A partition, as it is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRegistration {
    /// Who has a replica, the preferred leader first.
    pub replicas: Vec<BrokerId>,
    /// The id of the directory in which each replica lies, in the order of `replicas`.
    pub directories: Vec<Uuid>,
    /// The in-sync replicas.
    pub isr: Vec<BrokerId>,
    /// The eligible leader replicas (KIP-966).
    pub elr: Vec<BrokerId>,
    /// The last known ELR (KIP-966).
    pub last_known_elr: Vec<BrokerId>,
    /// Replicas that a reassignment is removing.
    pub removing: Vec<BrokerId>,
    /// Replicas that a reassignment is adding.
    pub adding: Vec<BrokerId>,
    /// The leader, or [`BrokerId::NONE`].
    pub leader: BrokerId,
    /// Raised whenever a leader is named, be it the same (R2).
    pub leader_epoch: LeaderEpoch,
    /// Raised at every change (R2).
    pub partition_epoch: PartitionEpoch,
    /// Whether the leader was elected cleanly.
    pub leader_recovery: LeaderRecoveryState,
}

impl PartitionRegistration {
    /// Whether it is on its way to other replicas.
    pub fn is_reassigning(&self) -> bool {
        !self.removing.is_empty() || !self.adding.is_empty()
    }

    /// Where a broker's replica lies; `None` if it has none.
    pub fn directory(&self, id: BrokerId) -> Option<Uuid> {
        let position = self.replicas.iter().position(|&replica| replica == id)?;
        Some(self.directories[position])
    }

    /// Whether it is led by the first of its replicas.
    pub fn has_preferred_leader(&self) -> bool {
        self.replicas.first() == Some(&self.leader)
    }
}

/// Whether a partition's leader was elected cleanly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum LeaderRecoveryState {
    /// It was, or has recovered.
    Recovered = 0,
    /// It was elected from outside ISR and ELR and has not recovered.
    Recovering = 1,
}

impl LeaderRecoveryState {
    /// The state with Kafka's number.
    pub fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Recovered),
            1 => Some(Self::Recovering),
            _ => None,
        }
    }
}

/// A broker, as it is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerRegistration {
    /// Its id.
    pub id: BrokerId,
    /// This registration's epoch: the offset of the record that first made it.
    pub epoch: BrokerEpoch,
    /// The id of this run of the broker.
    pub incarnation: Uuid,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// The levels of each feature that it supports.
    pub features: BTreeMap<String, FeatureRange>,
    /// Its rack.
    pub rack: Option<String>,
    /// Whether it is kept from leading and from the ISR.
    pub fenced: bool,
    /// Whether it is about to stop.
    pub in_controlled_shutdown: bool,
    /// The ids of its online directories.
    pub log_dirs: Vec<Uuid>,
    /// The directories that get no new replicas; `None` until the broker says.
    pub cordoned_log_dirs: Option<Vec<Uuid>>,
}

impl BrokerRegistration {
    /// Whether it is neither fenced nor shutting down.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    /// The directories that may get new replicas (KIP-1066).
    pub fn open_dirs(&self) -> impl Iterator<Item = Uuid> {
        let cordoned = self.cordoned_log_dirs.as_deref().unwrap_or_default();
        self.log_dirs.iter().copied().filter(|dir| !cordoned.contains(dir))
    }

    /// Whether it may get new replicas: some directory of it is not cordoned. A registration from before
    /// KIP-858 names none, and counts as having one.
    pub fn takes_replicas(&self) -> bool {
        self.log_dirs.is_empty() || self.open_dirs().next().is_some()
    }
}

/// A controller, as it is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControllerRegistration {
    /// Its id.
    pub id: BrokerId,
    /// The id of this run of the controller.
    pub incarnation: Uuid,
    /// Where it listens.
    pub endpoints: Vec<Endpoint>,
    /// The levels of each feature that it supports.
    pub features: BTreeMap<String, FeatureRange>,
}

/// Where a node listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The listener's name.
    pub name: String,
    /// The host to connect to.
    pub host: String,
    /// The port to connect to.
    pub port: u16,
    /// The security protocol, by Kafka's number.
    pub security_protocol: i16,
}

/// The levels of a feature that a node supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureRange {
    /// The lowest.
    pub min: i16,
    /// The highest.
    pub max: i16,
}

/// What a configuration belongs to; the numbers are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub enum ResourceType {
    /// A topic, by name.
    Topic = 2,
    /// A broker, by id, or all of them.
    Broker = 4,
    /// A subscription of client metrics.
    ClientMetrics = 16,
    /// A group, by id.
    Group = 32,
}

impl ResourceType {
    /// The type with this number.
    pub fn from_code(code: i8) -> Option<Self> {
        match code {
            2 => Some(Self::Topic),
            4 => Some(Self::Broker),
            16 => Some(Self::ClientMetrics),
            32 => Some(Self::Group),
            _ => None,
        }
    }
}

impl Part for Uuid {
    fn part(&self) -> u64 {
        // The low half of a random id is random but for its two highest bits.
        self.0 as u64
    }
}

impl Part for Arc<str> {
    fn part(&self) -> u64 {
        str::part(self)
    }
}

impl Part for str {
    fn part(&self) -> u64 {
        // FNV-1a.
        self.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }
}
