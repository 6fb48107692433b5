//! What a server's configuration says: parsed once into types, its contradictions and dangers refused.
//!
//! A refusal names the setting, says what is wrong with it and what to do instead. All of them are told
//! at once. Whatever a request may ask is not refused here: these rules concern our own configuration only.

mod addresses;
mod dev;
mod rules;
mod settings;

pub use self::dev::{DevPorts, DevPortsError, several_brokers, single_broker};
pub use self::settings::{
    ElectionSettings, LifecycleSettings, QuorumSettings, ReplicationSettings, Roles, SnapshotSettings,
};

use std::path::PathBuf;
use std::time::Duration;

use self::addresses::Addresses;
use super::broker_keys::{ONLY_DYNAMIC, broker_key};
use super::listeners::{HostPort, Listener, Voter};
use super::value::Value;
use super::{Layers, Texts};
use crate::types::BrokerId;

/// A server's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// The id of this node, as broker and as controller.
    pub node_id: BrokerId,
    /// Whether it is a broker, a controller or both.
    pub roles: Roles,
    /// The rack that it stands in.
    pub rack: Option<String>,
    /// Where brokers and clients are answered. Empty without the role of a broker.
    pub listeners: Vec<Listener>,
    /// Where the controller is answered. Empty without the role of a controller.
    pub controller_listeners: Vec<Listener>,
    /// The names of the controllers' listeners, here and on other nodes; at least one.
    pub controller_listener_names: Vec<String>,
    /// What others are told, by listener name, where that is not what they dialled: each is one of `listeners`
    /// or `controller_listeners`.
    pub advertised_listeners: Vec<Listener>,
    /// The name of the listener that brokers use among themselves.
    pub inter_broker_listener: String,
    /// The voters of a static quorum; empty where the quorum's voters can change (KIP-853).
    pub voters: Vec<Voter>,
    /// Where the quorum can be found, if not by `voters`.
    pub bootstrap_servers: Vec<HostPort>,
    /// How the metadata quorum waits, and how much it moves at once.
    pub quorum: QuorumSettings,
    /// When the metadata log is made into snapshots, and how much of both is kept.
    pub snapshots: SnapshotSettings,
    /// How a broker lives among the others.
    pub lifecycle: LifecycleSettings,
    /// Which elections the controller calls by itself.
    pub elections: ElectionSettings,
    /// How followers fetch.
    pub replication: ReplicationSettings,
    /// Where the data lie; at least one.
    pub log_dirs: Vec<PathBuf>,
    /// Where the metadata log lies: one of `log_dirs`, or a directory of its own.
    pub metadata_log_dir: PathBuf,
    /// The segment size of the metadata log, in bytes.
    pub metadata_segment_bytes: u64,
    /// The segment age of the metadata log.
    pub metadata_segment_age: Duration,
    /// The partitions of a topic whose creation does not say.
    pub num_partitions: i32,
    /// The replicas of a partition where a topic's creation does not say.
    pub default_replication_factor: i16,
    /// Whether asking for a missing topic's metadata may create it.
    pub auto_create_topics: bool,
    /// Whether topics can be deleted.
    pub delete_topics: bool,
    /// The largest request that is read, in bytes.
    pub socket_request_max_bytes: usize,
    /// How many bytes of requests may wait in memory; `None`: our own budget.
    pub queued_max_request_bytes: Option<u64>,
    /// After how long a connection without requests is closed; `None`: never.
    pub connections_max_idle: Option<Duration>,
    /// How many connections there may be at once.
    pub max_connections: usize,
    /// The most bytes that one fetch returns, save its first batch.
    pub fetch_max_bytes: usize,
    /// How many fetch sessions are kept.
    pub fetch_session_slots: usize,
    /// How many partitions one DescribeTopicPartitions answers.
    pub max_request_partitions: usize,
    /// How often retention looks for old segments.
    pub retention_check_interval: Duration,
    /// How often the high watermarks are written down.
    pub high_watermark_checkpoint_interval: Duration,
    /// How often the recovery points are written down.
    pub recovery_point_checkpoint_interval: Duration,
    /// How often the log start offsets are written down.
    pub log_start_checkpoint_interval: Duration,
    /// After how long without records a producer id is forgotten.
    pub producer_id_expiration: Duration,
    /// Everything that was set, as it came: the static layer of topic and broker configs.
    pub texts: Texts,
}

/// Why a server does not start with this configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join("\n"))]
pub struct ServerConfigError {
    /// One sentence each.
    pub problems: Vec<String>,
}

impl ServerConfig {
    /// Reads a configuration. The warnings name what was set without effect.
    pub fn parse(mut texts: Texts) -> Result<(Self, Vec<String>), ServerConfigError> {
        let mut problems: Vec<String> = texts
            .iter()
            .filter_map(|(name, text)| broker_key(name)?.parse(text).err())
            .map(|error| error.to_string())
            .collect();
        if !problems.is_empty() {
            return Err(ServerConfigError { problems });
        }
        let given = Given { texts: &texts };
        let roles = Roles::new(&given);
        rules::required(&given, &mut problems);
        rules::unsafe_settings(&given, &mut problems);
        rules::contradictions(&given, roles, &mut problems);
        let addresses = Addresses::parse(&given, roles, &mut problems);
        if !problems.is_empty() {
            return Err(ServerConfigError { problems });
        }
        let warnings = rules::warnings(&given, roles);
        let config = Self::build(&given, roles, addresses);
        // As in Kafka, a file does not set them.
        texts.retain(|name, _| !ONLY_DYNAMIC.contains(&name.as_str()));
        // As in Kafka, whoever asks for configs finds the node's id under both of its names.
        for name in ["node.id", "broker.id"] {
            texts.insert(name.to_owned(), config.node_id.to_string());
        }
        Ok((Self { texts, ..config }, warnings))
    }

    fn build(given: &Given<'_>, roles: Roles, addresses: Addresses) -> Self {
        let log_dirs = given.log_dirs();
        let metadata_log_dir = given.text("metadata.log.dir").map(PathBuf::from);
        let positive = |name| Some(given.number(name)).filter(|&number| number > 0);
        Self {
            node_id: given.node_id().expect("required() has refused a configuration without it"),
            roles,
            rack: given.text("broker.rack"),
            listeners: addresses.listeners,
            controller_listeners: addresses.controller_listeners,
            controller_listener_names: addresses.controller_listener_names,
            advertised_listeners: addresses.advertised_listeners,
            inter_broker_listener: addresses.inter_broker_listener,
            voters: addresses.voters,
            bootstrap_servers: addresses.bootstrap_servers,
            quorum: QuorumSettings::new(given),
            snapshots: SnapshotSettings::new(given),
            lifecycle: LifecycleSettings::new(given),
            elections: ElectionSettings::new(given),
            replication: ReplicationSettings::new(given),
            metadata_log_dir: metadata_log_dir.unwrap_or_else(|| log_dirs[0].clone()),
            log_dirs,
            metadata_segment_bytes: given.count("metadata.log.segment.bytes"),
            metadata_segment_age: given.duration("metadata.log.segment.ms"),
            num_partitions: given.int("num.partitions"),
            default_replication_factor: i16::try_from(given.number("default.replication.factor"))
                .expect("its rule keeps it in 16 bits"),
            auto_create_topics: given.boolean("auto.create.topics.enable"),
            delete_topics: given.boolean("delete.topic.enable"),
            socket_request_max_bytes: given.size("socket.request.max.bytes"),
            queued_max_request_bytes: positive("queued.max.request.bytes").map(i64::unsigned_abs),
            connections_max_idle: given.unless_negative("connections.max.idle.ms").map(Duration::from_millis),
            max_connections: given.size("max.connections"),
            fetch_max_bytes: given.size("fetch.max.bytes"),
            fetch_session_slots: given.size("max.incremental.fetch.session.cache.slots"),
            max_request_partitions: given.size("max.request.partition.size.limit"),
            retention_check_interval: given.duration("log.retention.check.interval.ms"),
            high_watermark_checkpoint_interval: given
                .duration("replica.high.watermark.checkpoint.interval.ms"),
            recovery_point_checkpoint_interval: given.duration("log.flush.offset.checkpoint.interval.ms"),
            log_start_checkpoint_interval: given.duration("log.flush.start.offset.checkpoint.interval.ms"),
            producer_id_expiration: given.duration("producer.id.expiration.ms"),
            texts: Texts::new(),
        }
    }

    /// Whether this node holds replicas and answers clients.
    pub fn is_broker(&self) -> bool {
        self.roles.broker
    }

    /// Whether this node is a controller.
    pub fn is_controller(&self) -> bool {
        self.roles.controller
    }

    /// Whether the configuration names no node but this one.
    pub fn is_alone(&self) -> bool {
        let (voters, bootstrap) = (self.voters.len(), self.bootstrap_servers.len());
        self.is_broker() && self.is_controller() && voters <= 1 && (voters == 1 || bootstrap <= 1)
    }

    /// The name of the listener that controllers are called on.
    pub fn controller_listener(&self) -> &str {
        self.controller_listener_names.first().expect("a configuration without it was refused")
    }

    /// Where other nodes reach this controller, by listener, the one they are to use first; empty without the
    /// role. As in Kafka, what is advertised counts, then where it listens; a listener on every interface is
    /// reached where the static voters say, and else has an empty host: what that is, only the machine knows.
    pub fn controller_endpoints(&self) -> Vec<Listener> {
        let own = self.voters.iter().find(|voter| voter.id == self.node_id);
        let endpoint = |(index, name): (usize, &String)| {
            let named = |listeners: &[Listener]| listeners.iter().find(|it| it.name == *name).cloned();
            if let Some(advertised) = named(&self.advertised_listeners) {
                return Some(advertised);
            }
            let listener = named(&self.controller_listeners)?;
            match own.filter(|_| index == 0) {
                _ if !listener.is_on_every_interface() => Some(listener),
                Some(Voter { address: HostPort { host, port }, .. }) => {
                    Some(Listener { host: host.clone(), port: *port, ..listener })
                }
                None => Some(Listener { host: String::new(), ..listener }),
            }
        };
        self.controller_listener_names.iter().enumerate().filter_map(endpoint).collect()
    }

    /// Whether others certainly do not find this controller at an address.
    pub fn controller_is_not_at(&self, address: &HostPort) -> bool {
        addresses::certainly_not_at(&self.controller_listeners, &self.advertised_listeners, address)
    }

    /// All directories of the node: those of its partitions, and that of the metadata log.
    pub fn directories(&self) -> Vec<PathBuf> {
        let mut directories = self.log_dirs.clone();
        if !directories.contains(&self.metadata_log_dir) {
            directories.push(self.metadata_log_dir.clone());
        }
        directories
    }

    /// The static layer of topic and broker configs, with no dynamic ones above it.
    pub fn layers(&self) -> Layers<'_> {
        Layers::only_server(&self.texts)
    }

    /// The value of `min.insync.replicas` that formatting writes down for the cluster.
    pub fn min_insync_replicas(&self) -> i64 {
        Given { texts: &self.texts }.number("min.insync.replicas")
    }
}

/// What was set, over the defaults. Every text has been checked.
struct Given<'a> {
    texts: &'a Texts,
}

impl Given<'_> {
    fn is_set(&self, name: &str) -> bool {
        self.texts.contains_key(name)
    }

    fn get(&self, name: &str) -> Option<Value> {
        let key = broker_key(name).expect("the code names configs of the table");
        match self.texts.get(name) {
            Some(text) => Some(key.parse(text).expect("every text was checked first")),
            None => key.default_value(),
        }
    }

    fn number(&self, name: &str) -> i64 {
        self.get(name).expect("the config has a default").number()
    }

    fn boolean(&self, name: &str) -> bool {
        self.get(name).expect("the config has a default").boolean()
    }

    fn list(&self, name: &str) -> Vec<String> {
        self.get(name).map_or_else(Vec::new, |value| value.list().to_vec())
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| value.text().to_owned())
    }

    fn int(&self, name: &str) -> i32 {
        i32::try_from(self.number(name)).expect("the config is of type Int")
    }

    /// A number that means no limit where it is negative.
    fn unless_negative(&self, name: &str) -> Option<u64> {
        u64::try_from(self.number(name)).ok()
    }

    /// A number that its rule keeps from being negative; a negative one counts as zero.
    fn count(&self, name: &str) -> u64 {
        u64::try_from(self.number(name)).unwrap_or(0)
    }

    fn size(&self, name: &str) -> usize {
        usize::try_from(self.count(name)).unwrap_or(usize::MAX)
    }

    fn duration(&self, name: &str) -> Duration {
        Duration::from_millis(self.count(name))
    }

    fn node_id(&self) -> Option<BrokerId> {
        let set = |name| self.is_set(name).then(|| self.get(name)).flatten();
        let id = set("node.id").or_else(|| set("broker.id"))?.number();
        Some(BrokerId(i32::try_from(id).expect("node.id and broker.id are of type Int")))
    }

    fn log_dirs(&self) -> Vec<PathBuf> {
        let name = if self.is_set("log.dirs") { "log.dirs" } else { "log.dir" };
        self.list(name).into_iter().map(PathBuf::from).collect()
    }
}

#[cfg(test)]
mod tests;
