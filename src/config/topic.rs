//! One topic's configuration: its overrides, over dynamic, over static configuration, over the defaults.
//!
//! # Durability
//!
//! Whether a topic counts a record only when it is synced ([`Durability::Synced`]) is fixed when the topic is
//! created. Therefore `flush.messages` and `flush.ms` are the only configs that never fall back on the
//! broker's: at creation the broker's are consulted once, and where they matter they become overrides of
//! the topic ([`pin_durability`]). Without an override a topic syncs, whatever a `server.properties` says
//! later.
//!
//! `flush.messages=1` syncs, whatever `flush.ms` says. Any larger `flush.messages`, and a `flush.ms` without
//! `flush.messages`, mean the page cache.

use std::collections::BTreeSet;

use super::topic_keys::{TOPIC_KEYS, TopicKey, topic_key};
use super::value::{Value, ValueError};
use super::{Layers, Source, Texts};
use crate::types::BrokerId;

/// What a broker needs of one topic's configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    /// The size at which a segment is full, in bytes.
    pub segment_bytes: u64,
    /// The age at which a segment is full, in milliseconds.
    pub segment_ms: u64,
    /// The most that is taken off `segment_ms` at random, in milliseconds.
    pub segment_jitter_ms: u64,
    /// The size at which an index is full, in bytes.
    pub segment_index_bytes: u64,
    /// Bytes of log between two index entries.
    pub index_interval_bytes: u64,
    /// The age from which a segment is deleted, in milliseconds; `None`: no limit.
    pub retention_ms: Option<u64>,
    /// The size from which old segments are deleted, in bytes; `None`: no limit.
    pub retention_bytes: Option<u64>,
    /// Whether retention deletes segments (`cleanup.policy` has `delete`).
    pub delete: bool,
    /// Whether the log is compacted (`cleanup.policy` has `compact`).
    pub compact: bool,
    /// The largest record batch that is taken, in bytes.
    pub max_message_bytes: u64,
    /// The codec in which batches are stored.
    pub compression: TopicCompression,
    /// Whose clock a record's timestamp shows.
    pub message_timestamp_type: MessageTimestampType,
    /// How far a timestamp may lie behind the broker's clock, in milliseconds.
    pub message_timestamp_before_max_ms: u64,
    /// How far a timestamp may lie ahead of the broker's clock, in milliseconds.
    pub message_timestamp_after_max_ms: u64,
    /// When a replica counts a record.
    pub durability: Durability,
    /// How long a removed segment's files stay, in milliseconds.
    pub file_delete_delay_ms: u64,
    /// The replicas that must be in sync, before the cap by the replication factor.
    pub min_insync_replicas: u32,
    /// Whether a replica that may lack acknowledged records can lead.
    pub unclean_leader_election: bool,
    /// The replicas that are throttled where they are fetched from.
    pub leader_throttled: ThrottledReplicas,
    /// The replicas that are throttled where they fetch.
    pub follower_throttled: ThrottledReplicas,
}

/// A topic's throttled replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ThrottledReplicas {
    /// All of them.
    All,
    /// These partitions, each on this broker.
    Only(BTreeSet<(i32, BrokerId)>),
}

impl ThrottledReplicas {
    fn new(value: &Value) -> Self {
        if value.list() == ["*"] {
            return Self::All;
        }
        let replica = |item: &String| {
            let (partition, broker) = item.split_once(':')?;
            // Nothing has a number that is too large.
            Some((partition.parse().ok()?, BrokerId(broker.parse().ok()?)))
        };
        Self::Only(value.list().iter().filter_map(replica).collect())
    }

    /// Whether the replica of a partition on this broker is one of them.
    pub fn contains(&self, partition: i32, broker: BrokerId) -> bool {
        match self {
            Self::All => true,
            Self::Only(replicas) => replicas.contains(&(partition, broker)),
        }
    }
}

/// When a replica counts a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Once it is synced.
    Synced,
    /// Once it is in the page cache.
    PageCache,
}

/// The codec in which a topic's batches are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicCompression {
    /// As the producer compressed them.
    Producer,
    /// Not compressed.
    Uncompressed,
    /// With gzip, at this level (-1: its own default).
    Gzip(i32),
    /// With snappy.
    Snappy,
    /// With lz4.
    Lz4,
    /// With zstd, at this level.
    Zstd(i32),
}

/// Whose clock a record's timestamp shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageTimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, at append.
    LogAppendTime,
}

/// Why a topic cannot be configured like that: INVALID_CONFIG.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicConfigError {
    /// No topic config has this name.
    #[error("Unknown topic config name: {0}")]
    Unknown(String),
    /// A value breaks its type or rule.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// Two values contradict each other.
    #[error("min.compaction.lag.ms ({min}) must not be greater than max.compaction.lag.ms ({max})")]
    CompactionLag {
        /// The value of `min.compaction.lag.ms`.
        min: i64,
        /// The value of `max.compaction.lag.ms`.
        max: i64,
    },
    /// Tiered storage was asked for.
    #[error("remote.storage.enable=true is not possible: this cluster has no tiered storage")]
    NoTieredStorage,
    /// The durability of an existing topic would change.
    #[error(
        "flush.messages and flush.ms cannot take a topic from {from} to {to}: whether records are synced \
         before they are acknowledged is fixed when the topic is created. Create a topic with \
         the setting instead"
    )]
    DurabilityFixed {
        /// What the topic does.
        from: Durability,
        /// What it would do.
        to: Durability,
    },
}

impl std::fmt::Display for Durability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Synced => "syncing (flush.messages=1)",
            Self::PageCache => "the page cache",
        })
    }
}

impl TopicConfig {
    /// The configuration of a topic with these overrides.
    ///
    /// # Errors
    /// The first text that is no value of its config. Texts that passed [`validate`] and the server's own
    /// checks never are.
    pub fn resolve(overrides: &Texts, layers: Layers<'_>) -> Result<Self, ValueError> {
        let get = |name: &str| {
            let key = topic_key(name).expect("the names below are in the table");
            resolve(key, overrides, layers).map(|resolved| resolved.value)
        };
        let number = |name: &str| Ok::<i64, ValueError>(present(get(name)?).number());
        // What a rule keeps from being negative.
        let count = |name: &str| Ok::<u64, ValueError>(unsigned(number(name)?));
        let limit = |name: &str| Ok::<Option<u64>, ValueError>(u64::try_from(number(name)?).ok());
        let policy = present(get("cleanup.policy")?);
        let has = |item: &str| policy.list().iter().any(|known| known == item);
        let segment_bytes = match get("internal.segment.bytes")? {
            Some(value) => unsigned(value.number().max(1)),
            None => count("segment.bytes")?,
        };
        Ok(Self {
            segment_bytes,
            segment_ms: count("segment.ms")?,
            segment_jitter_ms: count("segment.jitter.ms")?,
            segment_index_bytes: count("segment.index.bytes")?,
            index_interval_bytes: count("index.interval.bytes")?,
            retention_ms: limit("retention.ms")?,
            retention_bytes: limit("retention.bytes")?,
            delete: has("delete"),
            compact: has("compact"),
            max_message_bytes: count("max.message.bytes")?,
            compression: compression(
                present(get("compression.type")?).text(),
                number("compression.gzip.level")?,
                number("compression.zstd.level")?,
            ),
            message_timestamp_type: match present(get("message.timestamp.type")?).text() {
                "LogAppendTime" => MessageTimestampType::LogAppendTime,
                _ => MessageTimestampType::CreateTime,
            },
            message_timestamp_before_max_ms: count("message.timestamp.before.max.ms")?,
            message_timestamp_after_max_ms: count("message.timestamp.after.max.ms")?,
            durability: durability(overrides)?,
            file_delete_delay_ms: count("file.delete.delay.ms")?,
            min_insync_replicas: u32::try_from(number("min.insync.replicas")?)
                .expect("min.insync.replicas is an Int and at least 1"),
            unclean_leader_election: present(get("unclean.leader.election.enable")?).boolean(),
            leader_throttled: ThrottledReplicas::new(&present(get("leader.replication.throttled.replicas")?)),
            follower_throttled: ThrottledReplicas::new(&present(get(
                "follower.replication.throttled.replicas",
            )?)),
        })
    }
}

/// The value of a topic config, and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The value, if the config has one.
    pub value: Option<Value>,
    /// Where it comes from.
    pub source: Source,
}

/// The value of one topic config: the topic's override, else the strongest synonym that is set, else the
/// default. A synonym of a stronger layer goes before any synonym of a weaker one.
pub fn resolve(key: &TopicKey, overrides: &Texts, layers: Layers<'_>) -> Result<Resolved, ValueError> {
    if let Some(text) = overrides.get(key.name) {
        return Ok(Resolved { value: Some(key.parse(text)?), source: Source::Topic });
    }
    if !fixes_durability(key) {
        let sources = [
            (layers.broker, Source::DynamicBroker),
            (layers.cluster, Source::DynamicCluster),
            (layers.server, Source::Server),
        ];
        for (texts, source) in sources {
            if let Some(value) = from_synonyms(key, texts)? {
                return Ok(Resolved { value: Some(value), source });
            }
        }
    }
    Ok(Resolved { value: key.default_value(), source: Source::Default })
}

/// The durability of a topic with these overrides.
pub fn durability(overrides: &Texts) -> Result<Durability, ValueError> {
    let get = |name: &str| {
        let key = topic_key(name).expect("both flush configs are in the table");
        overrides.get(name).map(|text| Ok::<_, ValueError>(key.parse(text)?.number())).transpose()
    };
    Ok(match (get("flush.messages")?, get("flush.ms")?) {
        (Some(1), _) => Durability::Synced,
        (Some(_), _) => Durability::PageCache,
        (None, Some(interval)) if interval < i64::MAX => Durability::PageCache,
        (None, _) => Durability::Synced,
    })
}

/// Adds to the overrides of a new topic what the cluster's flush configs say, where that matters, so that the
/// topic's durability no longer depends on them.
pub fn pin_durability(overrides: &mut Texts, layers: Layers<'_>) -> Result<(), ValueError> {
    let mut pinned = overrides.clone();
    for name in ["flush.messages", "flush.ms"] {
        let key = topic_key(name).expect("both flush configs are in the table");
        if !pinned.contains_key(name) {
            for texts in [layers.broker, layers.cluster, layers.server] {
                if let Some(value) = from_synonyms(key, texts)? {
                    pinned.insert(name.to_owned(), value.to_string());
                    break;
                }
            }
        }
    }
    if durability(&pinned)? != durability(overrides)? {
        *overrides = pinned;
    }
    Ok(())
}

/// A topic that syncs goes on doing so when it is given a `flush.ms`, as it would in Kafka: `flush.messages=1`,
/// in force already, is written down beside it, since `flush.ms` alone means the page cache.
pub fn keep_syncing(existing: &Texts, altered: &mut Texts) -> Result<(), ValueError> {
    let silent = !altered.contains_key("flush.messages");
    if silent && durability(existing)? == Durability::Synced && durability(altered)? == Durability::PageCache
    {
        altered.insert("flush.messages".to_owned(), "1".to_owned());
    }
    Ok(())
}

/// Checks the overrides of a topic: `existing` are those it has, or `None` for a topic that is being created.
pub fn validate(
    existing: Option<&Texts>,
    overrides: &Texts,
    layers: Layers<'_>,
) -> Result<TopicConfig, TopicConfigError> {
    if let Some(unknown) = overrides.keys().find(|name| topic_key(name).is_none()) {
        return Err(TopicConfigError::Unknown(unknown.clone()));
    }
    for key in TOPIC_KEYS {
        resolve(key, overrides, layers)?;
    }
    let number = |name: &str| {
        let key = topic_key(name).expect("the names below are in the table");
        Ok::<_, ValueError>(present(resolve(key, overrides, layers)?.value).number())
    };
    let (min, max) = (number("min.compaction.lag.ms")?, number("max.compaction.lag.ms")?);
    if min > max {
        return Err(TopicConfigError::CompactionLag { min, max });
    }
    if overrides.get("remote.storage.enable").is_some_and(|text| text.trim().eq_ignore_ascii_case("true")) {
        return Err(TopicConfigError::NoTieredStorage);
    }
    if let Some(existing) = existing {
        let (from, to) = (durability(existing)?, durability(overrides)?);
        if from != to {
            return Err(TopicConfigError::DurabilityFixed { from, to });
        }
    }
    Ok(TopicConfig::resolve(overrides, layers)?)
}

/// Whether a config decides the durability, and therefore never falls back on the broker's configs.
fn fixes_durability(key: &TopicKey) -> bool {
    matches!(key.name, "flush.messages" | "flush.ms")
}

/// The value that the strongest synonym set in `texts` gives.
fn from_synonyms(key: &TopicKey, texts: &Texts) -> Result<Option<Value>, ValueError> {
    for synonym in key.synonyms {
        if let Some(text) = texts.get(synonym.name) {
            let broker = super::broker_keys::broker_key(synonym.name).expect("a synonym is a broker config");
            let value = synonym.unit.convert(broker.parse(text)?);
            // Kafka's broker configs take any negative retention time for "no limit"; the topic's only -1.
            return Ok(Some(match (key.name, value) {
                ("retention.ms", Value::Number(number)) if number < 0 => Value::Number(-1),
                (_, value) => value,
            }));
        }
    }
    Ok(None)
}

fn compression(codec: &str, gzip: i64, zstd: i64) -> TopicCompression {
    let level = |level: i64| i32::try_from(level).expect("the levels are of type Int");
    match codec {
        "uncompressed" => TopicCompression::Uncompressed,
        "gzip" => TopicCompression::Gzip(level(gzip)),
        "snappy" => TopicCompression::Snappy,
        "lz4" => TopicCompression::Lz4,
        "zstd" => TopicCompression::Zstd(level(zstd)),
        _ => TopicCompression::Producer,
    }
}

fn present(value: Option<Value>) -> Value {
    value.expect("every topic config but internal.segment.bytes has a default")
}

/// A number that is not negative; a negative one in a stored text counts as zero.
fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> Texts {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn none() -> Texts {
        Texts::new()
    }

    #[test]
    fn defaults_are_typed() {
        let config = validate(None, &none(), Layers::only_server(&none())).expect("the defaults are valid");
        assert_eq!(config.segment_bytes, 1 << 30);
        assert_eq!(config.segment_ms, 7 * 24 * 3_600_000);
        assert_eq!(config.retention_ms, Some(7 * 24 * 3_600_000));
        assert_eq!(config.retention_bytes, None);
        assert_eq!((config.delete, config.compact), (true, false));
        assert_eq!(config.compression, TopicCompression::Producer);
        assert_eq!(config.durability, Durability::Synced);
        assert_eq!(config.min_insync_replicas, 2);
        assert_eq!(config.message_timestamp_before_max_ms, i64::MAX as u64);
    }

    #[test]
    fn layers_go_topic_broker_cluster_server_default() {
        let key = topic_key("retention.ms").expect("it is in the table");
        let server = texts(&[("log.retention.hours", "1"), ("log.retention.minutes", "2")]);
        let cluster = texts(&[("log.retention.ms", "3")]);
        let broker = texts(&[("log.retention.ms", "-4")]);
        let (empty, topic) = (none(), texts(&[("retention.ms", "5")]));
        let check = |overrides: &Texts, broker: &Texts, cluster: &Texts, server: &Texts| {
            let resolved =
                resolve(key, overrides, Layers { broker, cluster, server }).expect("all are valid");
            (resolved.value.expect("it has a default").number(), resolved.source)
        };
        assert_eq!(check(&topic, &broker, &cluster, &server), (5, Source::Topic));
        assert_eq!(check(&empty, &broker, &cluster, &server), (-1, Source::DynamicBroker));
        assert_eq!(check(&empty, &empty, &cluster, &server), (3, Source::DynamicCluster));
        assert_eq!(
            check(&empty, &empty, &empty, &server),
            (120_000, Source::Server),
            "minutes go before hours"
        );
        assert_eq!(check(&empty, &empty, &empty, &empty), (604_800_000, Source::Default));
    }

    #[test]
    fn refusals_say_why() {
        for (pairs, expected) in [
            (&[("no.such", "1")][..], "Unknown topic config name: no.such"),
            (
                &[("segment.bytes", "1024")],
                "Invalid value 1024 for configuration segment.bytes: Value must be at least 1048576",
            ),
            (
                &[("cleanup.policy", "purge")],
                "Invalid value purge for configuration cleanup.policy: Each value must be one of: \
                 compact, delete",
            ),
            (
                &[("min.compaction.lag.ms", "2"), ("max.compaction.lag.ms", "1")],
                "min.compaction.lag.ms (2) must not be greater than max.compaction.lag.ms (1)",
            ),
            (
                &[("remote.storage.enable", "TRUE")],
                "remote.storage.enable=true is not possible: this cluster has no tiered storage",
            ),
            (
                &[("min.insync.replicas", "0")],
                "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1",
            ),
        ] {
            let error = validate(None, &texts(pairs), Layers::only_server(&none())).expect_err("refused");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn an_empty_cleanup_policy_is_kafkas_infinite_retention() {
        let overrides = texts(&[("cleanup.policy", "")]);
        let config = validate(None, &overrides, Layers::only_server(&none())).expect("4.3 takes it");
        assert!(!config.delete && !config.compact);
    }

    #[test]
    fn durability_follows_the_overrides_alone() {
        for (pairs, expected) in [
            (&[][..], Durability::Synced),
            (&[("flush.messages", "1")], Durability::Synced),
            (&[("flush.messages", "2")], Durability::PageCache),
            (&[("flush.ms", "1000")], Durability::PageCache),
            (&[("flush.ms", "9223372036854775807")], Durability::Synced),
            (&[("flush.messages", "1"), ("flush.ms", "1000")], Durability::Synced),
        ] {
            assert_eq!(durability(&texts(pairs)), Ok(expected), "{pairs:?}");
        }
        let server = texts(&[("log.flush.interval.messages", "10000")]);
        let config = TopicConfig::resolve(&none(), Layers::only_server(&server)).expect("valid");
        assert_eq!(config.durability, Durability::Synced, "a broker's default concerns new topics only");
    }

    #[test]
    fn creation_pins_what_the_cluster_says() {
        for (topic, server, expected) in [
            (&[][..], &[][..], &[][..]),
            (&[], &[("log.flush.interval.messages", "1")], &[]),
            (&[], &[("log.flush.interval.messages", "9")], &[("flush.messages", "9")]),
            (&[], &[("log.flush.scheduler.interval.ms", "7")], &[("flush.ms", "7")]),
            (
                &[("flush.ms", "5")],
                &[("log.flush.interval.messages", "1")],
                &[("flush.ms", "5"), ("flush.messages", "1")],
            ),
            (&[("flush.messages", "1")], &[("log.flush.interval.messages", "9")], &[("flush.messages", "1")]),
        ] {
            let mut overrides = texts(topic);
            pin_durability(&mut overrides, Layers::only_server(&texts(server))).expect("valid");
            assert_eq!(overrides, texts(expected), "{topic:?} under {server:?}");
        }
    }

    #[test]
    fn an_existing_topic_keeps_its_durability() {
        let (synced, cached) = (none(), texts(&[("flush.messages", "10")]));
        let nothing = none();
        let layers = Layers::only_server(&nothing);
        for (from, to) in [(&synced, &cached), (&cached, &synced)] {
            let error = validate(Some(from), to, layers).expect_err("it would change");
            assert!(matches!(error, TopicConfigError::DurabilityFixed { .. }));
        }
        let other = texts(&[("flush.messages", "11"), ("flush.ms", "1")]);
        assert!(validate(Some(&cached), &other, layers).is_ok(), "both are the page cache");
    }
}
