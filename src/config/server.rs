//! What a server's configuration says: parsed once into types, its contradictions and dangers refused.
//!
//! A refusal names the setting, says what is wrong with it and what to do instead. All of them are told
//! at once. Whatever a request may ask is not refused here: these rules concern our own configuration only.

mod addresses;

use std::path::PathBuf;
use std::time::Duration;

use self::addresses::Addresses;
use super::broker_keys::{Effect, broker_key, later_family};
use super::listeners::{HostPort, Listener, Voter};
use super::value::Value;
use super::{Layers, Texts, topic};
use crate::types::BrokerId;

/// A server's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// The id of this node, as broker and as controller.
    pub node_id: BrokerId,
    /// The rack that it stands in.
    pub rack: Option<String>,
    /// Where brokers and clients are answered.
    pub listeners: Vec<Listener>,
    /// Where the controller is answered.
    pub controller_listeners: Vec<Listener>,
    /// What clients are told, by listener name, where that is not what they dialled.
    pub advertised_listeners: Vec<Listener>,
    /// The name of the listener that brokers use among themselves.
    pub inter_broker_listener: String,
    /// The voters of the quorum.
    pub voters: Vec<Voter>,
    /// Where else the quorum can be found.
    pub bootstrap_servers: Vec<HostPort>,
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
        required(&given, &mut problems);
        unsafe_settings(&given, &mut problems);
        contradictions(&given, &mut problems);
        let addresses = Addresses::parse(&given, &mut problems);
        if !problems.is_empty() {
            return Err(ServerConfigError { problems });
        }
        let warnings = warnings(&given);
        let config = Self::build(&given, addresses);
        // As in Kafka, whoever asks for configs finds the node's id under both of its names.
        for name in ["node.id", "broker.id"] {
            texts.insert(name.to_owned(), config.node_id.to_string());
        }
        Ok((Self { texts, ..config }, warnings))
    }

    fn build(given: &Given<'_>, addresses: Addresses) -> Self {
        let log_dirs = given.log_dirs();
        let metadata_log_dir = given.get("metadata.log.dir").map(|value| PathBuf::from(value.text()));
        let positive = |name| Some(given.number(name)).filter(|&number| number > 0);
        Self {
            node_id: given.node_id().expect("required() has refused a configuration without it"),
            rack: given.get("broker.rack").map(|value| value.text().to_owned()),
            listeners: addresses.listeners,
            controller_listeners: addresses.controller_listeners,
            advertised_listeners: addresses.advertised_listeners,
            inter_broker_listener: addresses.inter_broker_listener,
            voters: addresses.voters,
            bootstrap_servers: addresses.bootstrap_servers,
            metadata_log_dir: metadata_log_dir.unwrap_or_else(|| log_dirs[0].clone()),
            log_dirs,
            metadata_segment_bytes: given.count("metadata.log.segment.bytes"),
            metadata_segment_age: given.duration("metadata.log.segment.ms"),
            num_partitions: i32::try_from(given.number("num.partitions")).expect("it is an Int"),
            default_replication_factor: i16::try_from(given.number("default.replication.factor"))
                .expect("its rule keeps it in 16 bits"),
            auto_create_topics: given.boolean("auto.create.topics.enable"),
            delete_topics: given.boolean("delete.topic.enable"),
            socket_request_max_bytes: given.size("socket.request.max.bytes"),
            queued_max_request_bytes: positive("queued.max.request.bytes").map(i64::unsigned_abs),
            connections_max_idle: Some(given.number("connections.max.idle.ms"))
                .filter(|&number| number >= 0)
                .map(|number| Duration::from_millis(number.unsigned_abs())),
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

    /// The static layer of topic and broker configs, with no dynamic ones above it.
    pub fn layers(&self) -> Layers<'_> {
        Layers::only_server(&self.texts)
    }

    /// The value of `min.insync.replicas` that formatting writes down for the cluster.
    pub fn min_insync_replicas(&self) -> i64 {
        Given { texts: &self.texts }.number("min.insync.replicas")
    }
}

/// What one broker alone needs to say, for `dev` and for tests: one replica is all there can be, so one is
/// what the defaults ask for.
pub fn single_broker(listen: &str, controller_port: u16, log_dir: &str) -> Texts {
    let voter = format!("1@localhost:{controller_port}");
    let listeners = format!("PLAINTEXT://{listen},CONTROLLER://localhost:{controller_port}");
    [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.quorum.voters", &voter),
        ("controller.listener.names", "CONTROLLER"),
        ("listeners", &listeners),
        ("log.dirs", log_dir),
        ("default.replication.factor", "1"),
        ("min.insync.replicas", "1"),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
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

fn required(given: &Given<'_>, problems: &mut Vec<String>) {
    match given.node_id() {
        None => problems.push("node.id is not set: give this node a number of its own, node.id=1".to_owned()),
        Some(id) if id.0 < 0 => problems.push(format!("node.id is {id}: it must be 0 or more")),
        Some(_) => {}
    }
    if given.is_set("node.id")
        && given.is_set("broker.id")
        && given.number("broker.id") != given.number("node.id")
    {
        problems.push("broker.id and node.id differ: keep node.id only".to_owned());
    }
    if given.list("process.roles").len() != 2 {
        problems.push(
            "process.roles must be broker,controller: this version runs both in one process".to_owned(),
        );
    }
    if !given.is_set("log.dirs") && !given.is_set("log.dir") {
        problems.push(
            "log.dirs is not set: name the directory for the data (Kafka's default lies under /tmp, which \
             systems empty)"
                .to_owned(),
        );
    }
}

fn unsafe_settings(given: &Given<'_>, problems: &mut Vec<String>) {
    if given.boolean("unclean.leader.election.enable") {
        problems.push(
            "unclean.leader.election.enable=true lets every topic lose acknowledged records: set it on the \
             topics that may, and remove it here"
                .to_owned(),
        );
    }
    if !given.get("authorizer.class.name").expect("it has a default").text().is_empty() {
        problems.push(
            "authorizer.class.name asks for access control, which this version does not have: remove it, and \
             let only trusted clients reach the listeners"
                .to_owned(),
        );
    }
    let tiered = given.texts.get("remote.log.storage.system.enable");
    if tiered.is_some_and(|text| text.trim().eq_ignore_ascii_case("true")) {
        problems.push(
            "remote.log.storage.system.enable=true asks for tiered storage, which this version does not \
             have: remove it"
                .to_owned(),
        );
    }
}

fn contradictions(given: &Given<'_>, problems: &mut Vec<String>) {
    let (replicas, minimum) =
        (given.number("default.replication.factor"), given.number("min.insync.replicas"));
    if given.is_set("min.insync.replicas") && minimum > replicas {
        problems.push(format!(
            "min.insync.replicas={minimum} asks for more replicas than default.replication.factor={replicas} \
             makes: lower the one or raise the other"
        ));
    }
    let (queued, largest) =
        (given.number("queued.max.request.bytes"), given.number("socket.request.max.bytes"));
    if queued > 0 && queued < largest {
        problems.push(format!(
            "queued.max.request.bytes={queued} has no room for one request of \
             socket.request.max.bytes={largest}: raise the one or lower the other"
        ));
    }
    let wait = given.number("replica.fetch.wait.max.ms");
    for limit in ["replica.lag.time.max.ms", "replica.socket.timeout.ms"] {
        if wait > given.number(limit) {
            problems
                .push(format!("replica.fetch.wait.max.ms={wait} must not be more than {limit}: lower it"));
        }
    }
    if let Err(error) = topic::validate(None, &Texts::new(), Layers::only_server(given.texts)) {
        problems.push(format!("no topic could have these defaults: {error}"));
    }
    let retention = ["log.retention.ms", "log.retention.minutes", "log.retention.hours"];
    if let Some(name) = retention.into_iter().find(|name| given.is_set(name))
        && given.number(name) == 0
    {
        problems.push(format!("{name}=0 would delete records at once: set -1 for no limit, or 1 and more"));
    }
}

/// What was set and does nothing, or does what one may not expect.
fn warnings(given: &Given<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    for name in given.texts.keys() {
        match broker_key(name) {
            Some(key) if key.effect == Effect::InForce => {}
            Some(key) => warnings.push(format!("{name} has no effect: {}", key.doc)),
            None => match later_family(name) {
                Some(reason) => warnings.push(format!("{name} has no effect: {reason}")),
                None => warnings.push(format!("{name} is not a configuration that is known: it is ignored")),
            },
        }
    }
    let mut flush = Texts::new();
    let pinned = topic::pin_durability(&mut flush, Layers::only_server(given.texts));
    if pinned.is_ok() && !flush.is_empty() {
        warnings.push(
            "log.flush.* lets new topics acknowledge records that are only in the page cache: a loss of \
             power on min.insync.replicas machines can lose them"
                .to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> Texts {
        let mut texts = single_broker("localhost:9092", 9093, "/data");
        texts.extend(pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())));
        texts
    }

    fn problems(pairs: &[(&str, &str)], without: &[&str]) -> Vec<String> {
        let mut texts = texts(pairs);
        texts.retain(|name, _| !without.contains(&name.as_str()));
        ServerConfig::parse(texts).expect_err("it is refused").problems
    }

    #[test]
    fn one_broker_alone_is_a_configuration() {
        let (config, warnings) = ServerConfig::parse(texts(&[("broker.rack", "a")])).expect("it is complete");
        assert_eq!((config.node_id, config.rack.as_deref()), (BrokerId(1), Some("a")));
        assert_eq!((config.texts["node.id"].as_str(), config.texts["broker.id"].as_str()), ("1", "1"));
        assert_eq!((config.default_replication_factor, config.min_insync_replicas()), (1, 1));
        assert_eq!(config.listeners.len(), 1);
        assert_eq!(config.controller_listeners[0].port, 9093);
        assert_eq!(config.inter_broker_listener, "PLAINTEXT");
        assert_eq!(config.metadata_log_dir, PathBuf::from("/data"));
        assert_eq!(config.connections_max_idle, Some(Duration::from_secs(600)));
        assert_eq!(config.queued_max_request_bytes, None);
        assert!(warnings.iter().all(|warning| warning.contains("not built yet")), "{warnings:?}");
    }

    #[test]
    fn a_servers_defaults_are_three_replicas_and_two_in_sync() {
        let mut texts = texts(&[]);
        texts.retain(|name, _| name != "default.replication.factor" && name != "min.insync.replicas");
        let (config, _) = ServerConfig::parse(texts).expect("it is complete");
        assert_eq!((config.default_replication_factor, config.min_insync_replicas()), (3, 2));
    }

    #[test]
    fn kafkas_own_example_file_starts() {
        let file = "process.roles=broker,controller\nnode.id=1\n\
            controller.quorum.bootstrap.servers=localhost:9093\n\
            listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
            advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
            controller.listener.names=CONTROLLER\n\
            listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL\n\
            num.network.threads=3\nnum.io.threads=8\nsocket.send.buffer.bytes=102400\n\
            log.dirs=/tmp/kraft-combined-logs\nnum.partitions=1\noffsets.topic.replication.factor=1\n\
            log.retention.hours=168\nlog.segment.bytes=1073741824\nlog.retention.check.interval.ms=300000\n";
        let texts = super::super::properties::parse(file).expect("it is of the syntax");
        let (config, _) = ServerConfig::parse(texts).expect("Kafka starts with it");
        assert_eq!(config.bootstrap_servers.len(), 1);
        assert_eq!(config.advertised_listeners.len(), 2);
    }

    #[test]
    fn refusals_name_the_setting_and_the_way_out() {
        for (pairs, without, expected) in [
            (&[][..], &["node.id"][..], "node.id is not set"),
            (&[("broker.id", "2")], &[], "broker.id and node.id differ"),
            (&[("process.roles", "broker")], &[], "process.roles must be broker,controller"),
            (&[], &["log.dirs"], "log.dirs is not set"),
            (&[("unclean.leader.election.enable", "true")], &[], "set it on the topics that may"),
            (&[("authorizer.class.name", "a.B")], &[], "authorizer.class.name asks for access control"),
            (&[("remote.log.storage.system.enable", "true")], &[], "asks for tiered storage"),
            (&[("min.insync.replicas", "2")], &[], "min.insync.replicas=2 asks for more replicas"),
            (&[("queued.max.request.bytes", "5")], &[], "has no room for one request"),
            (&[("replica.fetch.wait.max.ms", "30001")], &[], "must not be more than replica.lag.time.max.ms"),
            (
                &[("log.cleaner.min.compaction.lag.ms", "9"), ("log.cleaner.max.compaction.lag.ms", "8")],
                &[],
                "no topic could have these defaults",
            ),
            (&[("log.retention.minutes", "0")], &[], "log.retention.minutes=0 would delete records at once"),
            (
                &[("listeners", "PLAINTEXT://:1,CONTROLLER:2")],
                &[],
                "listeners: CONTROLLER:2 is not of the form",
            ),
            (
                &[("listeners", "PLAINTEXT://:1,PLAINTEXT://:2,CONTROLLER://:3")],
                &[],
                "listeners has PLAINTEXT twice",
            ),
            (&[("listeners", "PLAINTEXT://:1,CONTROLLER://:1")], &[], "listeners has :1 twice"),
            (&[("listeners", "SSL://:1,CONTROLLER://:2")], &[], "listener SSL asks for TLS or SASL"),
            (&[("listeners", "X://:1,CONTROLLER://:2")], &[], "listener X has no security protocol"),
            (&[("listeners", "PLAINTEXT://:1")], &[], "controller.listener.names has CONTROLLER"),
            (&[("listeners", "CONTROLLER://:1")], &[], "no listener is left for clients"),
            (&[], &["controller.listener.names"], "controller.listener.names is not set"),
            (&[("listener.security.protocol.map", "A")], &[], "listener.security.protocol.map: A is not"),
            (&[("advertised.listeners", "PLAINTEXT://0.0.0.0:1")], &[], "an address nobody can connect to"),
            (&[("advertised.listeners", "SSL://h:1")], &[], "advertised.listeners has SSL"),
            (&[("inter.broker.listener.name", "SSL")], &[], "the brokers' own listener SSL"),
            (
                &[
                    ("inter.broker.listener.name", "PLAINTEXT"),
                    ("security.inter.broker.protocol", "PLAINTEXT"),
                ],
                &[],
                "say the same twice",
            ),
            (&[("controller.quorum.voters", "1@h:1,2@h:2")], &[], "this version runs a quorum of one"),
            (&[("controller.quorum.voters", "h:1")], &[], "controller.quorum.voters: h:1 is not of the form"),
            (
                &[("controller.quorum.bootstrap.servers", "h")],
                &[],
                "controller.quorum.bootstrap.servers: h is not",
            ),
            (&[], &["controller.quorum.voters"], "nothing says where the quorum is"),
            (
                &[("num.partitions", "0")],
                &[],
                "Invalid value 0 for configuration num.partitions: Value must be at least 1",
            ),
        ] {
            let problems = problems(pairs, without);
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}: {problems:?}");
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        assert_eq!(problems(&[("num.partitions", "x"), ("node.id", "-1")], &[]).len(), 2);
        assert!(problems(&[], &["node.id", "log.dirs", "process.roles"]).len() >= 3);
    }

    #[test]
    fn what_does_nothing_is_named() {
        let pairs = [
            ("num.network.threads", "9"),
            ("ssl.key.password", "x"),
            ("no.such", "1"),
            ("log.flush.interval.messages", "5"),
        ];
        let (_, warnings) = ServerConfig::parse(texts(&pairs)).expect("none of them is refused");
        for expected in [
            "num.network.threads has no effect: Threads follow",
            "ssl.key.password has no effect: TLS",
            "no.such is not a configuration that is known",
            "log.flush.* lets new topics",
        ] {
            assert!(warnings.iter().any(|warning| warning.contains(expected)), "{expected}: {warnings:?}");
        }
    }
}
