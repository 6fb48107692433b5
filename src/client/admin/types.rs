//! What the admin client is asked, and what it answers.

use std::collections::BTreeMap;

use crate::error_code::ErrorCode;
use crate::types::{BrokerId, Uuid};

/// Why an operation, or its part for one topic, failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// The cluster refuses.
    #[error("{}", .message.as_deref().map_or_else(|| .error.to_string(), |text| format!("{error}: {text}")))]
    Refused {
        /// Why.
        error: ErrorCode,
        /// In the broker's words.
        message: Option<String>,
    },
    /// The change was asked for, and no answer came: it may have been made.
    #[error("unknown whether carried out: {0}")]
    Unknown(String),
    /// Nothing was asked: no broker can be reached.
    #[error("{0}")]
    Unreachable(String),
    /// The broker has no such API, or not in a version that we speak.
    #[error("{0}")]
    Unsupported(String),
    /// `bootstrap.servers` cannot be read.
    #[error("{0}")]
    Bootstrap(String),
}

impl AdminError {
    /// The cluster's error code, if it refused.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { error, .. } => Some(*error),
            _ => None,
        }
    }
}

/// A topic to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None`: the cluster's default.
    pub partitions: Option<i32>,
    /// How many replicas of each; `None`: the cluster's default.
    pub replication_factor: Option<i16>,
    /// The brokers of each partition's replicas by index, instead of the two above.
    pub assignments: BTreeMap<i32, Vec<BrokerId>>,
    /// Configuration other than the default.
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with this many partitions and replicas, and nothing else of its own.
    pub fn new(name: &str, partitions: i32, replication_factor: i16) -> Self {
        Self {
            name: name.to_owned(),
            partitions: Some(partitions),
            replication_factor: Some(replication_factor),
            assignments: BTreeMap::new(),
            configs: BTreeMap::new(),
        }
    }
}

/// A topic that was created. Brokers before Kafka 2.4 tell nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id, or [`Uuid::ZERO`].
    pub id: Uuid,
    /// How many partitions, or -1.
    pub partitions: i32,
    /// How many replicas of each, or -1.
    pub replication_factor: i16,
}

/// What has a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic.
    Topic(String),
    /// A broker; `None`: the default of all.
    Broker(Option<BrokerId>),
}

impl ConfigResource {
    pub(crate) fn code(&self) -> i8 {
        match self {
            Self::Topic(_) => 2,
            Self::Broker(_) => 4,
        }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Topic(name) => name.clone(),
            Self::Broker(id) => id.map(|id| id.to_string()).unwrap_or_default(),
        }
    }

    pub(crate) fn from_wire(code: i8, name: &str) -> Option<Self> {
        match code {
            2 => Some(Self::Topic(name.to_owned())),
            4 if name.is_empty() => Some(Self::Broker(None)),
            4 => Some(Self::Broker(Some(BrokerId(name.parse().ok()?)))),
            _ => None,
        }
    }
}

/// One entry of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value; `None` if there is none, or it is secret.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it can be changed.
    pub read_only: bool,
    /// Whether its value is kept secret.
    pub sensitive: bool,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set for the topic.
    Topic,
    /// Set for the broker while it runs.
    DynamicBroker,
    /// Set for all brokers while they run.
    DynamicDefaultBroker,
    /// From the broker's file.
    StaticBroker,
    /// Kafka's default.
    Default,
    /// Of another kind, by Kafka's number.
    Other(i8),
}

impl ConfigSource {
    pub(crate) fn from_wire(code: i8) -> Self {
        match code {
            1 => Self::Topic,
            2 => Self::DynamicBroker,
            3 => Self::DynamicDefaultBroker,
            4 => Self::StaticBroker,
            5 => Self::Default,
            other => Self::Other(other),
        }
    }
}

/// A change of one configuration entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AlterConfig {
    /// Sets it.
    Set(String),
    /// Goes back to the default.
    Delete,
    /// Adds to a list.
    Append(String),
    /// Takes from a list.
    Subtract(String),
}

/// What the brokers of a cluster are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    /// The cluster's id.
    pub cluster_id: String,
    /// The broker to ask for what only the controller does, if known.
    pub controller: Option<BrokerId>,
    /// Its brokers.
    pub brokers: Vec<BrokerDescription>,
}

/// A broker of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerDescription {
    /// Its id.
    pub id: BrokerId,
    /// Where it listens.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The rack it says it stands in.
    pub rack: Option<String>,
    /// Whether it is kept from leading and from the ISR: it does not answer the controller, or not yet.
    pub fenced: bool,
}

/// An outcome for each topic asked for.
pub type PerTopic<T> = Vec<(String, Result<T, AdminError>)>;
