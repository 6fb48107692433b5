//! The broker configs: Kafka's keys, what each does here, and which may be altered while a broker runs.
//!
//! A key is *in force*, *without effect* (accepted: the text says why it means nothing here) or *later*
//! (accepted, so that a Kafka `server.properties` starts; what it controls is not built yet). Keys that are
//! neither here nor under [`LATER_PREFIXES`] are unknown, and a start says so.

use super::Layers;
use super::value::{self, Kind, Rule, Value, ValueError};

/// A broker config.
#[derive(Debug, Clone, Copy)]
pub struct BrokerKey {
    /// Its name.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// The default, if there is one; it obeys type and rule.
    pub default: Option<&'static str>,
    /// What a value must obey.
    pub rule: Rule,
    /// Whether, and for whom, it can be altered while a broker runs.
    pub update: Update,
    /// Whether it does anything here.
    pub effect: Effect,
    /// One line for DescribeConfigs: what it does, or why not.
    pub doc: &'static str,
}

/// How a broker config can be altered while a broker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// Not at all.
    ReadOnly,
    /// For one broker.
    PerBroker,
    /// For one broker, or for all at once.
    ClusterWide,
}

/// Whether a broker config does anything here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does what it says.
    InForce,
    /// There is nothing here that it could change.
    None,
    /// What it controls is not built yet.
    Later,
}

impl BrokerKey {
    /// Reads a value of this config.
    pub fn parse(&self, text: &str) -> Result<Value, ValueError> {
        value::parse(self.name, text, self.kind, self.rule)
    }

    /// The default, if there is one.
    pub fn default_value(&self) -> Option<Value> {
        self.default
            .map(|text| self.parse(text).expect("the table's defaults obey its rules: a test reads it"))
    }

    /// Whether it is shown only where it is set, as in Kafka.
    pub fn is_hidden(&self) -> bool {
        self.name == "unclean.leader.election.interval.ms" || ONLY_DYNAMIC.contains(&self.name)
    }
}

/// Configs that are set while a cluster runs, never in a file.
pub const ONLY_DYNAMIC: [&str; 2] =
    ["follower.replication.throttled.rate", "leader.replication.throttled.rate"];

/// The broker config with this name.
pub fn broker_key(name: &str) -> Option<&'static BrokerKey> {
    let index = BROKER_KEYS.binary_search_by(|key| key.name.cmp(name)).ok()?;
    Some(&BROKER_KEYS[index])
}

/// The value in force of a broker config, dynamic configuration included; `None` if it has none.
///
/// # Errors
/// A stored text that is no value of the config: nothing that passed validation.
pub fn effective(name: &str, layers: Layers<'_>) -> Result<Option<Value>, ValueError> {
    let key = broker_key(name).expect("the code names configs of the table");
    match layers.get(name) {
        Some((text, _)) => key.parse(text).map(Some),
        None => Ok(key.default_value()),
    }
}

/// The configs that DescribeConfigs shows as standing in for one another, strongest first: `name` among them.
pub fn broker_synonyms(name: &'static str) -> Vec<&'static str> {
    const GROUPS: &[&[&str]] = &[
        &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
        &["log.roll.ms", "log.roll.hours"],
        &["log.roll.jitter.ms", "log.roll.jitter.hours"],
    ];
    if name == "log.flush.interval.ms" {
        return vec![name, "log.flush.scheduler.interval.ms"];
    }
    GROUPS.iter().find(|group| group.contains(&name)).map_or_else(|| vec![name], |group| group.to_vec())
}

/// Families of Kafka's keys that are accepted and not looked at, and what they belong to.
pub const LATER_PREFIXES: &[(&str, &str)] = &[
    ("alter.log.dirs.", "quotas are not built yet"),
    ("config.providers", "configuration providers are not built"),
    ("delegation.token.", "delegation tokens are not built"),
    ("follower.fetch.", "tiered storage is not built yet"),
    ("group.consumer.", "consumer groups are not built yet"),
    ("group.coordinator.", "consumer groups are not built yet"),
    ("group.share.", "share groups are not built yet"),
    ("group.streams.", "Streams groups are not built yet"),
    ("kafka.metrics.", "JVM metrics reporters do not apply"),
    (
        "leader.imbalance.per.broker.percentage",
        "Kafka has dropped it: every partition goes back to its preferred leader, however few there are",
    ),
    ("listener.name.", "per-listener settings are not built yet"),
    ("metric.reporters", "JVM metrics reporters do not apply"),
    ("metrics.", "JVM metrics do not apply"),
    ("remote.", "tiered storage is not built yet"),
    ("rlmm.config.", "tiered storage is not built yet"),
    ("rsm.config.", "tiered storage is not built yet"),
    ("sasl.", "SASL is not built yet"),
    ("share.", "share groups are not built yet"),
    ("ssl.", "TLS is not built yet"),
    ("telemetry.", "client telemetry is not built"),
];

/// The reason why a key is accepted and not looked at, if it belongs to one of the families.
pub fn later_family(name: &str) -> Option<&'static str> {
    LATER_PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix)).map(|&(_, reason)| reason)
}

const MAX_INT: &str = "2147483647";
const MAX_LONG: &str = "9223372036854775807";
const CODECS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];

macro_rules! table {
    ($($name:literal $kind:ident $default:expr, $rule:expr, $update:ident, $effect:ident,
        $doc:literal;)*) => {
        &[$(BrokerKey {
            name: $name,
            kind: Kind::$kind,
            default: $default,
            rule: $rule,
            update: Update::$update,
            effect: Effect::$effect,
            doc: $doc,
        }),*]
    };
}

use Rule::*;

/// The broker configs, in the order of their names.
pub static BROKER_KEYS: &[BrokerKey] = table! {
    "add.partitions.to.txn.retry.backoff.max.ms" Int Some("100"), AtLeast(0), ReadOnly, Later,
        "Transactions are not built yet.";
    "add.partitions.to.txn.retry.backoff.ms" Int Some("20"), AtLeast(1), ReadOnly, Later,
        "Transactions are not built yet.";
    "advertised.listeners" List None, NotEmpty, ReadOnly, InForce,
        "The addresses that clients are told, if not those of listeners.";
    "alter.config.policy.class.name" Class None, Any, ReadOnly, None, "Java classes cannot be loaded.";
    "authorizer.class.name" String Some(""), Any, ReadOnly, Later,
        "There is no authorizer yet; a value is refused, since it would promise access control.";
    "auto.create.topics.enable" Boolean Some("true"), Any, ReadOnly, InForce,
        "Whether asking for the metadata of a missing topic may create it.";
    "auto.leader.rebalance.enable" Boolean Some("true"), Any, ReadOnly, InForce,
        "Whether the controller gives partitions back to their preferred leaders by itself.";
    "background.threads" Int Some("10"), AtLeast(1), ClusterWide, None, "Threads follow the machine's cores.";
    "broker.heartbeat.interval.ms" Int Some("2000"), Any, ReadOnly, InForce,
        "How often a broker tells the controller that it lives.";
    "broker.id" Int Some("-1"), Any, ReadOnly, InForce, "An older name of node.id.";
    "broker.rack" String None, Any, ReadOnly, InForce, "The rack that this broker stands in.";
    "broker.session.timeout.ms" Int Some("9000"), Any, ReadOnly, InForce,
        "After how long without a heartbeat the controller fences a broker.";
    "client.quota.callback.class" Class None, Any, ReadOnly, None, "Java classes cannot be loaded.";
    "compression.gzip.level" Int Some("-1"), GzipLevel, ClusterWide, InForce,
        "Default of the topic config of the same name.";
    "compression.lz4.level" Int Some("9"), Between(1, 17), ClusterWide, None, "Ottla's lz4 has one level.";
    "compression.type" String Some("producer"), OneOf(CODECS), ClusterWide, InForce,
        "Default of the topic config of the same name.";
    "compression.zstd.level" Int Some("3"), Between(-131_072, 22), ClusterWide, InForce,
        "Default of the topic config of the same name.";
    "connection.failed.authentication.delay.ms" Int Some("100"), AtLeast(0), ReadOnly, Later,
        "Authentication is not built yet.";
    "connections.max.idle.ms" Long Some("600000"), Any, ReadOnly, InForce,
        "After how long a connection without requests is closed; negative: never.";
    "connections.max.reauth.ms" Long Some("0"), Any, ReadOnly, Later, "Authentication is not built yet.";
    "controlled.shutdown.enable" Boolean Some("true"), Any, ReadOnly, InForce,
        "Whether a broker that stops hands over its leaderships first.";
    "controller.listener.names" List None, NotEmpty, ReadOnly, InForce,
        "Which of the listeners the controller answers on.";
    "controller.quorum.append.linger.ms" Int Some("25"), AtLeast(0), ReadOnly, None,
        "A metadata append is synced at once; concurrent ones share a sync.";
    "controller.quorum.auto.join.enable" Boolean Some("false"), Any, ReadOnly, Later,
        "A controller is made a voter with kafka-metadata-quorum add-controller, not by itself yet.";
    "controller.quorum.bootstrap.servers" List Some(""), ListOf(&[]), ReadOnly, InForce,
        "Where to find the quorum: host:port, ...";
    "controller.quorum.election.backoff.max.ms" Int Some("1000"), AtLeast(0), ReadOnly, InForce,
        "The longest that a voter waits after its leader has resigned, before it stands for election.";
    "controller.quorum.election.timeout.ms" Int Some("1000"), AtLeast(0), ReadOnly, InForce,
        "After how long without a leader a voter stands for election; up to twice that, by chance.";
    "controller.quorum.fetch.max.bytes" Int Some("1048576"), AtLeast(1), ReadOnly, InForce,
        "The most bytes of the metadata log per fetch, save its first batch.";
    "controller.quorum.fetch.snapshot.max.bytes" Int Some("1048576"), AtLeast(1), ReadOnly, InForce,
        "The most bytes of a metadata snapshot per request.";
    "controller.quorum.fetch.timeout.ms" Int Some("2000"), AtLeast(0), ReadOnly, InForce,
        "After how long without its leader a voter stands for election; a leader without followers resigns.";
    "controller.quorum.request.timeout.ms" Int Some("2000"), AtLeast(0), ReadOnly, InForce,
        "How long a request within the quorum may take.";
    "controller.quorum.retry.backoff.ms" Int Some("20"), AtLeast(0), ReadOnly, InForce,
        "The pause after a request within the quorum that has failed.";
    "controller.quorum.voters" List Some(""), ListOf(&[]), ReadOnly, InForce,
        "The voters of a static quorum: id@host:port, ...";
    "controller.quota.window.num" Int Some("11"), AtLeast(1), ReadOnly, Later, "Quotas are not built yet.";
    "controller.quota.window.size.seconds" Int Some("1"), AtLeast(1), ReadOnly, Later,
        "Quotas are not built yet.";
    "controller.socket.timeout.ms" Int Some("30000"), Any, ReadOnly, None,
        "Requests to the controller have a time limit of their own.";
    "cordoned.log.dirs" List Some(""), ListOf(&[]), PerBroker, Later,
        "Log directories that get no new replicas are not built yet.";
    "create.topic.policy.class.name" Class None, Any, ReadOnly, None, "Java classes cannot be loaded.";
    "default.replication.factor" Int Some("3"), Between(1, 32_767), ReadOnly, InForce,
        "The replicas of a partition where a topic's creation does not say.";
    "delete.records.purgatory.purge.interval.requests" Int Some("1"), Any, ReadOnly, None,
        "Waiting requests are released one by one.";
    "delete.topic.enable" Boolean Some("true"), Any, ReadOnly, InForce, "Whether topics can be deleted.";
    "early.start.listeners" List None, ListOf(&[]), ReadOnly, None, "There is no authorizer to wait for.";
    "fetch.max.bytes" Int Some("57671680"), AtLeast(1024), ReadOnly, InForce,
        "The most bytes that one fetch returns, save its first batch.";
    "fetch.purgatory.purge.interval.requests" Int Some("1000"), Any, ReadOnly, None,
        "Waiting requests are released one by one.";
    "follower.replication.throttled.rate" Long Some(MAX_LONG), AtLeast(0), ClusterWide, InForce,
        "The most bytes per second that a broker fetches for throttled replicas.";
    "group.consumer.assignment.interval.ms" Int Some("1000"), AtLeast(0), ClusterWide, Later,
        "Consumer groups are not built yet.";
    "group.consumer.assignors" List Some("uniform,range"), NotEmpty, ReadOnly, Later,
        "Consumer groups are not built yet.";
    "group.consumer.heartbeat.interval.ms" Int Some("5000"), AtLeast(1), ReadOnly, Later,
        "Consumer groups are not built yet.";
    "group.consumer.max.heartbeat.interval.ms" Int Some("15000"), AtLeast(1), ReadOnly, Later,
        "Consumer groups are not built yet.";
    "group.consumer.max.session.timeout.ms" Int Some("60000"), AtLeast(1), ReadOnly, Later,
        "Consumer groups are not built yet.";
    "group.consumer.max.size" Int Some(MAX_INT), AtLeast(1), ReadOnly, Later,
        "Consumer groups are not built yet.";
    "group.consumer.migration.policy" String Some("bidirectional"), Any, ReadOnly, Later,
        "Consumer groups are not built yet.";
    "group.consumer.min.heartbeat.interval.ms" Int Some("5000"), AtLeast(1), ReadOnly, Later,
        "Consumer groups are not built yet.";
    "group.consumer.min.session.timeout.ms" Int Some("45000"), AtLeast(1), ReadOnly, Later,
        "Consumer groups are not built yet.";
    "group.consumer.session.timeout.ms" Int Some("45000"), AtLeast(1), ReadOnly, Later,
        "Consumer groups are not built yet.";
    "group.coordinator.append.linger.ms" Int Some("-1"), AtLeast(-1), ReadOnly, Later,
        "Consumer groups are not built yet.";
    "group.coordinator.rebalance.protocols" List Some("classic,consumer,streams"),
        ListOf(&["consumer", "classic", "share", "streams"]), ReadOnly, Later,
        "Consumer groups are not built yet.";
    "group.coordinator.threads" Int Some("4"), AtLeast(1), ReadOnly, None,
        "Threads follow the machine's cores.";
    "group.initial.rebalance.delay.ms" Int Some("3000"), Any, ReadOnly, Later,
        "Consumer groups are not built yet.";
    "group.max.session.timeout.ms" Int Some("1800000"), Any, ReadOnly, Later,
        "Consumer groups are not built yet.";
    "group.max.size" Int Some(MAX_INT), AtLeast(1), ReadOnly, Later, "Consumer groups are not built yet.";
    "group.min.session.timeout.ms" Int Some("6000"), Any, ReadOnly, Later,
        "Consumer groups are not built yet.";
    "initial.broker.registration.timeout.ms" Int Some("60000"), Any, ReadOnly, InForce,
        "How long a broker that starts tries to register with the controller before it gives up.";
    "inter.broker.listener.name" String None, Any, ReadOnly, InForce,
        "Which of the listeners the brokers use among themselves.";
    "leader.imbalance.check.interval.seconds" Long Some("300"), AtLeast(1), ReadOnly, InForce,
        "How often the controller looks for partitions that their preferred leader does not lead.";
    "leader.replication.throttled.rate" Long Some(MAX_LONG), AtLeast(0), ClusterWide, InForce,
        "The most bytes per second that a broker sends to throttled replicas.";
    "listener.security.protocol.map" String
        Some("PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"), Any, ReadOnly,
        InForce, "The security protocol of each listener name: NAME:PROTOCOL, ...";
    "listeners" List Some("PLAINTEXT://:9092"), NotEmpty, ReadOnly, InForce,
        "The addresses to listen on: NAME://host:port, ...; an empty host is every interface.";
    "log.cleaner.backoff.ms" Long Some("15000"), AtLeast(0), ClusterWide, Later,
        "Compaction is not built yet.";
    "log.cleaner.dedupe.buffer.size" Long Some("134217728"), Any, ClusterWide, Later,
        "Compaction is not built yet.";
    "log.cleaner.delete.retention.ms" Long Some("86400000"), AtLeast(0), ClusterWide, Later,
        "Default of delete.retention.ms. Compaction is not built yet.";
    "log.cleaner.enable" Boolean Some("true"), Any, ReadOnly, Later, "Compaction is not built yet.";
    "log.cleaner.io.buffer.load.factor" Double Some("0.9"), Any, ClusterWide, Later,
        "Compaction is not built yet.";
    "log.cleaner.io.buffer.size" Int Some("524288"), AtLeast(0), ClusterWide, Later,
        "Compaction is not built yet.";
    "log.cleaner.io.max.bytes.per.second" Double Some("1.7976931348623157E308"), Any, ClusterWide, Later,
        "Compaction is not built yet.";
    "log.cleaner.max.compaction.lag.ms" Long Some(MAX_LONG), AtLeast(1), ClusterWide, Later,
        "Default of max.compaction.lag.ms. Compaction is not built yet.";
    "log.cleaner.min.cleanable.ratio" Double Some("0.5"), Ratio, ClusterWide, Later,
        "Default of min.cleanable.dirty.ratio. Compaction is not built yet.";
    "log.cleaner.min.compaction.lag.ms" Long Some("0"), AtLeast(0), ClusterWide, Later,
        "Default of min.compaction.lag.ms. Compaction is not built yet.";
    "log.cleaner.threads" Int Some("1"), AtLeast(0), ClusterWide, Later, "Compaction is not built yet.";
    "log.cleanup.policy" List Some("delete"), ListOf(&["compact", "delete"]), ClusterWide, InForce,
        "Default of cleanup.policy.";
    "log.dir" List Some("/tmp/kafka-logs"), NotEmpty, ReadOnly, InForce,
        "Where the data lie, if log.dirs does not say. A server must name a directory.";
    "log.dir.failure.timeout.ms" Long Some("30000"), AtLeast(1), ReadOnly, Later,
        "How long a broker may take to report a failed directory is not limited yet.";
    "log.dirs" List None, NotEmpty, ReadOnly, InForce, "Where the data lie: directories.";
    "log.flush.interval.messages" Long Some("1"), AtLeast(1), ClusterWide, InForce,
        "Default of flush.messages for topics created from now on.";
    "log.flush.interval.ms" Long None, Any, ClusterWide, InForce,
        "Default of flush.ms for topics created from now on.";
    "log.flush.offset.checkpoint.interval.ms" Int Some("60000"), AtLeast(0), ReadOnly, InForce,
        "How often the recovery points are written down.";
    "log.flush.scheduler.interval.ms" Long Some(MAX_LONG), Any, ReadOnly, InForce,
        "Default of flush.ms where log.flush.interval.ms is not set.";
    "log.flush.start.offset.checkpoint.interval.ms" Int Some("60000"), AtLeast(0), ReadOnly, InForce,
        "How often the log start offsets are written down.";
    "log.index.interval.bytes" Int Some("4096"), AtLeast(0), ClusterWide, InForce,
        "Default of index.interval.bytes.";
    "log.index.size.max.bytes" Int Some("10485760"), AtLeast(4), ClusterWide, InForce,
        "Default of segment.index.bytes.";
    "log.local.retention.bytes" Long Some("-2"), AtLeast(-2), ClusterWide, Later,
        "Tiered storage is not built yet.";
    "log.local.retention.ms" Long Some("-2"), AtLeast(-2), ClusterWide, Later,
        "Tiered storage is not built yet.";
    "log.message.timestamp.after.max.ms" Long Some("3600000"), AtLeast(0), ClusterWide, InForce,
        "Default of message.timestamp.after.max.ms.";
    "log.message.timestamp.before.max.ms" Long Some(MAX_LONG), AtLeast(0), ClusterWide, InForce,
        "Default of message.timestamp.before.max.ms.";
    "log.message.timestamp.type" String Some("CreateTime"), OneOf(&["CreateTime", "LogAppendTime"]),
        ClusterWide, InForce, "Default of message.timestamp.type.";
    "log.preallocate" Boolean Some("false"), Any, ClusterWide, Later,
        "Default of preallocate: not built yet.";
    "log.retention.bytes" Long Some("-1"), Any, ClusterWide, InForce, "Default of retention.bytes.";
    "log.retention.check.interval.ms" Long Some("300000"), AtLeast(1), ReadOnly, InForce,
        "How often retention looks for old segments.";
    "log.retention.hours" Int Some("168"), Any, ReadOnly, InForce,
        "Default of retention.ms, in hours, where neither log.retention.ms nor .minutes is set.";
    "log.retention.minutes" Int None, Any, ReadOnly, InForce,
        "Default of retention.ms, in minutes, where log.retention.ms is not set.";
    "log.retention.ms" Long None, Any, ClusterWide, InForce, "Default of retention.ms.";
    "log.roll.hours" Int Some("168"), AtLeast(1), ReadOnly, InForce,
        "Default of segment.ms, in hours, where log.roll.ms is not set.";
    "log.roll.jitter.hours" Int Some("0"), AtLeast(0), ReadOnly, InForce,
        "Default of segment.jitter.ms, in hours, where log.roll.jitter.ms is not set.";
    "log.roll.jitter.ms" Long None, AtLeast(0), ClusterWide, InForce, "Default of segment.jitter.ms.";
    "log.roll.ms" Long None, AtLeast(1), ClusterWide, InForce, "Default of segment.ms.";
    "log.segment.bytes" Int Some("1073741824"), AtLeast(1 << 20), ClusterWide, InForce,
        "Default of segment.bytes.";
    "log.segment.delete.delay.ms" Long Some("60000"), AtLeast(0), ClusterWide, InForce,
        "Default of file.delete.delay.ms.";
    "max.connection.creation.rate" Int Some(MAX_INT), AtLeast(0), ClusterWide, Later,
        "Connection rates are not limited yet.";
    "max.connections" Int Some(MAX_INT), AtLeast(0), ClusterWide, InForce,
        "How many connections there may be at once.";
    "max.connections.per.ip" Int Some(MAX_INT), AtLeast(0), ClusterWide, Later,
        "Connections are not counted per address yet.";
    "max.connections.per.ip.overrides" String Some(""), Any, ClusterWide, Later,
        "Connections are not counted per address yet.";
    "max.incremental.fetch.session.cache.slots" Int Some("1000"), AtLeast(0), ReadOnly, InForce,
        "How many fetch sessions are kept.";
    "max.request.partition.size.limit" Int Some("2000"), AtLeast(1), ReadOnly, InForce,
        "How many partitions one DescribeTopicPartitions answers.";
    "message.max.bytes" Int Some("1048588"), AtLeast(0), ClusterWide, InForce,
        "Default of max.message.bytes.";
    "metadata.log.dir" String None, Any, ReadOnly, InForce,
        "Where the metadata log lies, if not in the first log directory.";
    "metadata.log.max.record.bytes.between.snapshots" Long Some("20971520"), AtLeast(1), ReadOnly, InForce,
        "After how many bytes of metadata records the next snapshot is due.";
    "metadata.log.max.snapshot.interval.ms" Long Some("3600000"), AtLeast(0), ReadOnly, InForce,
        "After how long the next snapshot is due, if there are new records; 0: never for that.";
    "metadata.log.segment.bytes" Int Some("1073741824"), AtLeast(8 << 20), ReadOnly, InForce,
        "The segment size of the metadata log.";
    "metadata.log.segment.ms" Long Some("604800000"), Any, ReadOnly, InForce,
        "The segment age of the metadata log.";
    "metadata.max.idle.interval.ms" Int Some("500"), AtLeast(0), ReadOnly, None,
        "An idle controller writes nothing: it needs no NoOp records to tell what is committed.";
    "metadata.max.retention.bytes" Long Some("104857600"), Any, ReadOnly, InForce,
        "Above which size of metadata log and snapshots the oldest go; negative: never for that.";
    "metadata.max.retention.ms" Long Some("604800000"), Any, ReadOnly, InForce,
        "At which age a metadata snapshot, and the log before it, goes; negative: never for that.";
    "min.insync.replicas" Int Some("2"), AtLeast(1), ClusterWide, InForce,
        "Default of the topic config of the same name; written down when a cluster is formatted.";
    "node.id" Int None, AtLeast(0), ReadOnly, InForce, "The id of this node, as broker and as controller.";
    "num.io.threads" Int Some("8"), AtLeast(1), ClusterWide, None, "Threads follow the machine's cores.";
    "num.network.threads" Int Some("3"), AtLeast(1), ClusterWide, None, "Threads follow the machine's cores.";
    "num.partitions" Int Some("1"), AtLeast(1), ReadOnly, InForce,
        "The partitions of a topic whose creation does not say.";
    "num.recovery.threads.per.data.dir" Int Some("2"), AtLeast(1), ClusterWide, None,
        "Threads follow the machine's cores.";
    "num.replica.alter.log.dirs.threads" Int None, Any, ReadOnly, Later,
        "Moves between log directories are not built yet.";
    "num.replica.fetchers" Int Some("1"), AtLeast(1), ClusterWide, InForce,
        "Over how many connections a broker fetches from each other broker.";
    "offset.metadata.max.bytes" Int Some("4096"), Any, ReadOnly, Later, "Consumer groups are not built yet.";
    "offsets.commit.timeout.ms" Int Some("5000"), AtLeast(1), ReadOnly, Later,
        "Consumer groups are not built yet.";
    "offsets.load.buffer.size" Int Some("5242880"), AtLeast(1), ReadOnly, Later,
        "Consumer groups are not built yet.";
    "offsets.retention.check.interval.ms" Long Some("600000"), AtLeast(1), ReadOnly, Later,
        "Consumer groups are not built yet.";
    "offsets.retention.minutes" Int Some("10080"), AtLeast(1), ReadOnly, Later,
        "Consumer groups are not built yet.";
    "offsets.topic.compression.codec" Int Some("0"), Any, ReadOnly, Later,
        "Consumer groups are not built yet.";
    "offsets.topic.num.partitions" Int Some("50"), AtLeast(1), ReadOnly, Later,
        "Consumer groups are not built yet.";
    "offsets.topic.replication.factor" Short Some("3"), AtLeast(1), ReadOnly, Later,
        "Consumer groups are not built yet.";
    "offsets.topic.segment.bytes" Int Some("104857600"), AtLeast(1), ReadOnly, Later,
        "Consumer groups are not built yet.";
    "principal.builder.class" Class None, Any, PerBroker, None, "Java classes cannot be loaded.";
    "process.roles" List None, SomeOf(&["broker", "controller"]), ReadOnly, InForce,
        "What this process is: broker, controller, or both.";
    "producer.id.expiration.ms" Int Some("86400000"), AtLeast(1), ClusterWide, InForce,
        "After how long without records a producer id is forgotten.";
    "producer.purgatory.purge.interval.requests" Int Some("1000"), Any, ReadOnly, None,
        "Waiting requests are released one by one.";
    "queued.max.request.bytes" Long Some("-1"), Any, ReadOnly, InForce,
        "How many bytes of requests may wait in memory; not positive: Ottla's own budget.";
    "queued.max.requests" Int Some("500"), AtLeast(1), ReadOnly, None,
        "Requests in memory are bounded by bytes: queued.max.request.bytes.";
    "quota.window.num" Int Some("11"), AtLeast(1), ReadOnly, Later, "Quotas are not built yet.";
    "quota.window.size.seconds" Int Some("1"), AtLeast(1), ReadOnly, Later, "Quotas are not built yet.";
    "replica.fetch.backoff.ms" Int Some("1000"), AtLeast(0), ReadOnly, InForce,
        "The pause after a fetch from a leader that has failed.";
    "replica.fetch.max.bytes" Int Some("1048576"), AtLeast(0), ReadOnly, InForce,
        "The most bytes per partition that a follower fetches at once, save the first batch.";
    "replica.fetch.min.bytes" Int Some("1"), Any, ReadOnly, InForce,
        "For how many bytes a follower's fetch waits.";
    "replica.fetch.response.max.bytes" Int Some("10485760"), AtLeast(0), ReadOnly, InForce,
        "The most bytes that a follower fetches at once, save the first batch.";
    "replica.fetch.wait.max.ms" Int Some("500"), Any, ReadOnly, InForce,
        "How long a follower's fetch waits for records at most.";
    "replica.high.watermark.checkpoint.interval.ms" Long Some("5000"), AtLeast(1), ReadOnly, InForce,
        "How often the high watermarks are written down.";
    "replica.lag.time.max.ms" Long Some("30000"), Any, ReadOnly, InForce,
        "After how long without having caught up a follower leaves the ISR.";
    "replica.selector.class" String None, Any, ReadOnly, InForce,
        "Kafka's RackAwareReplicaSelector has consumers read from a replica in their rack.";
    "replica.socket.receive.buffer.bytes" Int Some("65536"), Any, ReadOnly, None,
        "The system sizes its buffers.";
    "replica.socket.timeout.ms" Int Some("30000"), Any, ReadOnly, InForce,
        "How long a fetch from a leader may take.";
    "replication.quota.window.num" Int Some("11"), AtLeast(1), ReadOnly, InForce,
        "How many windows the rate of throttled replication is taken over.";
    "replication.quota.window.size.seconds" Int Some("1"), AtLeast(1), ReadOnly, InForce,
        "How long each of these windows is.";
    "request.timeout.ms" Int Some("30000"), Any, ReadOnly, None,
        "Requests among nodes have time limits of their own.";
    "security.inter.broker.protocol" String Some("PLAINTEXT"),
        OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), ReadOnly, InForce,
        "The security protocol among brokers, where inter.broker.listener.name is not set.";
    "security.providers" String None, Any, ReadOnly, None, "Java classes cannot be loaded.";
    "socket.connection.setup.timeout.max.ms" Long Some("30000"), Any, ReadOnly, None,
        "Connections among nodes have a time limit of their own.";
    "socket.connection.setup.timeout.ms" Long Some("10000"), Any, ReadOnly, None,
        "Connections among nodes have a time limit of their own.";
    "socket.listen.backlog.size" Int Some("50"), AtLeast(1), ReadOnly, None,
        "The system's own limit applies.";
    "socket.receive.buffer.bytes" Int Some("102400"), Any, ReadOnly, None, "The system sizes its buffers.";
    "socket.request.max.bytes" Int Some("104857600"), AtLeast(1), ReadOnly, InForce,
        "The largest request that is read.";
    "socket.send.buffer.bytes" Int Some("102400"), Any, ReadOnly, None, "The system sizes its buffers.";
    "transaction.abort.timed.out.transaction.cleanup.interval.ms" Int Some("10000"), AtLeast(1), ReadOnly,
        Later, "Transactions are not built yet.";
    "transaction.max.timeout.ms" Int Some("900000"), AtLeast(1), ReadOnly, Later,
        "Transactions are not built yet.";
    "transaction.partition.verification.enable" Boolean Some("true"), Any, ClusterWide, Later,
        "Transactions are not built yet.";
    "transaction.remove.expired.transaction.cleanup.interval.ms" Int Some("3600000"), AtLeast(1), ReadOnly,
        Later, "Transactions are not built yet.";
    "transaction.state.log.load.buffer.size" Int Some("5242880"), AtLeast(1), ReadOnly, Later,
        "Transactions are not built yet.";
    "transaction.state.log.min.isr" Int Some("2"), AtLeast(1), ReadOnly, Later,
        "Transactions are not built yet.";
    "transaction.state.log.num.partitions" Int Some("50"), AtLeast(1), ReadOnly, Later,
        "Transactions are not built yet.";
    "transaction.state.log.replication.factor" Short Some("3"), AtLeast(1), ReadOnly, Later,
        "Transactions are not built yet.";
    "transaction.state.log.segment.bytes" Int Some("104857600"), AtLeast(1), ReadOnly, Later,
        "Transactions are not built yet.";
    "transaction.two.phase.commit.enable" Boolean Some("false"), Any, ReadOnly, Later,
        "Transactions are not built yet.";
    "transactional.id.expiration.ms" Int Some("604800000"), AtLeast(1), ReadOnly, Later,
        "Transactions are not built yet.";
    "unclean.leader.election.enable" Boolean Some("false"), Any, ClusterWide, InForce,
        "Default of the topic config of the same name; a file cannot say true.";
    "unclean.leader.election.interval.ms" Long Some("300000"), AtLeast(1), ReadOnly, InForce,
        "How often the controller looks for leaderless partitions that may elect uncleanly.";
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_its_defaults_obey_their_rules() {
        for pair in BROKER_KEYS.windows(2) {
            assert!(pair[0].name < pair[1].name, "{} before {}", pair[0].name, pair[1].name);
        }
        for key in BROKER_KEYS {
            let _ = key.default_value();
            assert!(broker_key(key.name).is_some());
            assert!(!key.doc.is_empty());
        }
        assert!(broker_key("no.such.key").is_none());
    }

    #[test]
    fn our_own_defaults_are_the_safe_ones() {
        for (name, default) in [
            ("log.flush.interval.messages", "1"),
            ("min.insync.replicas", "2"),
            ("default.replication.factor", "3"),
            ("unclean.leader.election.enable", "false"),
        ] {
            assert_eq!(broker_key(name).expect("it is in the table").default, Some(default));
        }
    }

    #[test]
    fn a_dynamic_value_goes_before_a_static_one_and_that_before_the_default() {
        let texts =
            |value: &str| super::super::Texts::from([("max.connections".to_owned(), value.to_owned())]);
        let (broker, cluster, server) = (texts("1"), texts("2"), texts("3"));
        let none = super::super::Texts::new();
        let value = |broker, cluster, server| {
            let layers = Layers { broker, cluster, server };
            effective("max.connections", layers).expect("it is valid").expect("it has a default").number()
        };
        assert_eq!(value(&broker, &cluster, &server), 1);
        assert_eq!(value(&none, &cluster, &server), 2);
        assert_eq!(value(&none, &none, &server), 3);
        assert_eq!(value(&none, &none, &none), i64::from(i32::MAX));
    }

    #[test]
    fn synonyms_are_kafkas() {
        assert_eq!(broker_synonyms("log.retention.hours")[0], "log.retention.ms");
        assert_eq!(broker_synonyms("log.flush.interval.ms").len(), 2);
        assert_eq!(broker_synonyms("log.flush.scheduler.interval.ms"), ["log.flush.scheduler.interval.ms"]);
        assert_eq!(broker_synonyms("node.id"), ["node.id"]);
    }

    #[test]
    fn families_are_known_by_their_prefix() {
        assert_eq!(later_family("ssl.keystore.location"), Some("TLS is not built yet"));
        assert_eq!(later_family("sslx"), None);
    }
}
