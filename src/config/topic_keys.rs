//! Every topic config of Kafka 4.3: name, type, default, limits, the broker configs it falls back on.

use super::value::{self, Kind, Rule, Value, ValueError};

/// A topic config.
#[derive(Debug, Clone, Copy)]
pub struct TopicKey {
    /// Its name.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// The default, if there is one; it obeys type and rule.
    pub default: Option<&'static str>,
    /// What a value must obey.
    pub rule: Rule,
    /// The broker configs that stand in for it where a topic has no override, strongest first.
    pub synonyms: &'static [Synonym],
    /// Whether this version does what the config says. What is not in force is checked and stored.
    pub in_force: bool,
    /// One line for DescribeConfigs.
    pub doc: &'static str,
}

/// A broker config that stands in for a topic config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synonym {
    /// The broker config's name.
    pub name: &'static str,
    /// What its value counts.
    pub unit: Unit,
}

/// What a synonym's value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// The same as the topic config.
    Same,
    /// Minutes, where the topic config counts milliseconds.
    Minutes,
    /// Hours, where the topic config counts milliseconds.
    Hours,
}

impl Unit {
    /// A value of the broker config as a value of the topic config.
    pub fn convert(self, value: Value) -> Value {
        let milliseconds = match self {
            Self::Same => return value,
            Self::Minutes => 60_000,
            Self::Hours => 3_600_000,
        };
        Value::Number(value.number().saturating_mul(milliseconds))
    }
}

impl TopicKey {
    /// Reads a value of this config.
    pub fn parse(&self, text: &str) -> Result<Value, ValueError> {
        value::parse(self.name, text, self.kind, self.rule)
    }

    /// The default, if there is one.
    pub fn default_value(&self) -> Option<Value> {
        self.default
            .map(|text| self.parse(text).expect("the table's defaults obey its rules: a test reads it"))
    }

    /// Whether it is for tests only: shown only where it is set, as in Kafka.
    pub fn is_internal(&self) -> bool {
        self.name.starts_with("internal.")
    }
}

/// The topic config with this name.
pub fn topic_key(name: &str) -> Option<&'static TopicKey> {
    let index = TOPIC_KEYS.binary_search_by(|key| key.name.cmp(name)).ok()?;
    Some(&TOPIC_KEYS[index])
}

const MAX_LONG: &str = "9223372036854775807";

macro_rules! synonyms {
    ($($name:literal $($unit:ident)?),*) => {
        &[$(Synonym { name: $name, unit: synonyms!(@unit $($unit)?) }),*]
    };
    (@unit) => { Unit::Same };
    (@unit $unit:ident) => { Unit::$unit };
}

macro_rules! table {
    ($($name:literal $kind:ident $default:expr, $rule:expr, [$($synonyms:tt)*], $in_force:ident,
        $doc:literal;)*) => {
        &[$(TopicKey {
            name: $name,
            kind: Kind::$kind,
            default: $default,
            rule: $rule,
            synonyms: synonyms!($($synonyms)*),
            in_force: table!(@ $in_force),
            doc: $doc,
        }),*]
    };
    (@ in_force) => { true };
    (@ stored) => { false };
}

use Rule::*;

/// All topic configs, in the order of their names.
pub static TOPIC_KEYS: &[TopicKey] = table! {
    "cleanup.policy" List Some("delete"), ListOf(&["compact", "delete"]), ["log.cleanup.policy"], in_force,
        "What happens to old segments: delete, compact (stored; not done yet), both, or nothing if empty.";
    "compression.gzip.level" Int Some("-1"), GzipLevel, ["compression.gzip.level"], in_force,
        "The level at which the broker compresses with gzip, if compression.type asks for it.";
    "compression.lz4.level" Int Some("9"), Between(1, 17), ["compression.lz4.level"], stored,
        "The level of lz4. Stored: Ottla's lz4 has one level.";
    "compression.type" String Some("producer"),
        OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), ["compression.type"], in_force,
        "The codec in which batches are stored; producer keeps what the producer chose.";
    "compression.zstd.level" Int Some("3"), Between(-131_072, 22), ["compression.zstd.level"], in_force,
        "The level at which the broker compresses with zstd, if compression.type asks for it.";
    "delete.retention.ms" Long Some("86400000"), AtLeast(0), ["log.cleaner.delete.retention.ms"], stored,
        "How long a compacted topic keeps a tombstone after it could be removed.";
    "file.delete.delay.ms" Long Some("60000"), AtLeast(0), ["log.segment.delete.delay.ms"], in_force,
        "How long a removed segment's files stay on disk.";
    "flush.messages" Long Some("1"), AtLeast(1), ["log.flush.interval.messages"], in_force,
        "1: a replica counts a record only once it is synced. More: the page cache. Fixed at creation.";
    "flush.ms" Long Some(MAX_LONG), AtLeast(0), ["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
        in_force,
        "Set without flush.messages=1, it means the page cache. Fixed at creation.";
    "follower.replication.throttled.replicas" List Some(""), ThrottledReplicas, [], in_force,
        "The replicas whose fetching a reassignment throttles.";
    "index.interval.bytes" Int Some("4096"), AtLeast(0), ["log.index.interval.bytes"], in_force,
        "How many bytes of the log pass between two entries of its offset index.";
    "internal.segment.bytes" Int None, Any, [], in_force,
        "For tests: a segment size below what segment.bytes allows.";
    "leader.replication.throttled.replicas" List Some(""), ThrottledReplicas, [], in_force,
        "The replicas whose serving a reassignment throttles.";
    "local.retention.bytes" Long Some("-2"), AtLeast(-2), ["log.local.retention.bytes"], stored,
        "With tiered storage, the size to keep locally; -2 means retention.bytes.";
    "local.retention.ms" Long Some("-2"), AtLeast(-2), ["log.local.retention.ms"], stored,
        "With tiered storage, the time to keep locally; -2 means retention.ms.";
    "max.compaction.lag.ms" Long Some(MAX_LONG), AtLeast(1), ["log.cleaner.max.compaction.lag.ms"], stored,
        "The longest time a record may stay uncompacted.";
    "max.message.bytes" Int Some("1048588"), AtLeast(0), ["message.max.bytes"], in_force,
        "The largest record batch that is taken, as it arrives (compressed).";
    "message.timestamp.after.max.ms" Long Some("3600000"), AtLeast(0), ["log.message.timestamp.after.max.ms"],
        in_force,
        "How far a record's timestamp may lie ahead of the broker's clock, with CreateTime.";
    "message.timestamp.before.max.ms" Long Some(MAX_LONG), AtLeast(0),
        ["log.message.timestamp.before.max.ms"], in_force,
        "How far a record's timestamp may lie behind the broker's clock, with CreateTime.";
    "message.timestamp.type" String Some("CreateTime"), OneOf(&["CreateTime", "LogAppendTime"]),
        ["log.message.timestamp.type"], in_force,
        "Whose clock a record's timestamp shows: the producer's, or the broker's at append.";
    "min.cleanable.dirty.ratio" Double Some("0.5"), Ratio, ["log.cleaner.min.cleanable.ratio"], stored,
        "The share of uncompacted bytes from which a log is compacted.";
    "min.compaction.lag.ms" Long Some("0"), AtLeast(0), ["log.cleaner.min.compaction.lag.ms"], stored,
        "The shortest time a record stays uncompacted.";
    "min.insync.replicas" Int Some("2"), AtLeast(1), ["min.insync.replicas"], in_force,
        "How many replicas must be in sync for acks=all and for the high watermark to move.";
    "preallocate" Boolean Some("false"), Any, ["log.preallocate"], stored,
        "Whether a segment's blocks are allocated when it is created.";
    "remote.log.copy.disable" Boolean Some("false"), Any, [], stored,
        "With tiered storage, whether copying stops.";
    "remote.log.delete.on.disable" Boolean Some("false"), Any, [], stored,
        "With tiered storage, whether turning it off deletes what was copied.";
    "remote.storage.enable" Boolean Some("false"), Any, [], stored,
        "Tiered storage; there is none yet, so true is refused.";
    "retention.bytes" Long Some("-1"), Any, ["log.retention.bytes"], in_force,
        "The size from which old segments of a partition are deleted; -1: no limit.";
    "retention.ms" Long Some("604800000"), AtLeast(-1),
        ["log.retention.ms", "log.retention.minutes" Minutes, "log.retention.hours" Hours], in_force,
        "The age from which segments are deleted; -1: no limit.";
    "segment.bytes" Int Some("1073741824"), AtLeast(1 << 20), ["log.segment.bytes"], in_force,
        "The size at which a new segment begins.";
    "segment.index.bytes" Int Some("10485760"), AtLeast(4), ["log.index.size.max.bytes"], in_force,
        "The size of an index at which a new segment begins.";
    "segment.jitter.ms" Long Some("0"), AtLeast(0), ["log.roll.jitter.ms", "log.roll.jitter.hours" Hours],
        in_force,
        "The most that is taken off segment.ms at random, so that segments do not all roll at once.";
    "segment.ms" Long Some("604800000"), AtLeast(1), ["log.roll.ms", "log.roll.hours" Hours], in_force,
        "The age at which a new segment begins even if the old one is not full.";
    "unclean.leader.election.enable" Boolean Some("false"), Any, ["unclean.leader.election.enable"], in_force,
        "Whether a replica that may lack acknowledged records can lead as a last resort.";
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::broker_keys::broker_key;

    /// Facts from Kafka 4.3.1's own tables: name, type, default. The three that differ on purpose are marked.
    const KAFKA: &str = "\
cleanup.policy|LIST|delete
compression.gzip.level|INT|-1
compression.lz4.level|INT|9
compression.type|STRING|producer
compression.zstd.level|INT|3
delete.retention.ms|LONG|86400000
file.delete.delay.ms|LONG|60000
flush.messages|LONG|9223372036854775807|ours: 1
flush.ms|LONG|9223372036854775807
follower.replication.throttled.replicas|LIST|
index.interval.bytes|INT|4096
internal.segment.bytes|INT|null
leader.replication.throttled.replicas|LIST|
local.retention.bytes|LONG|-2
local.retention.ms|LONG|-2
max.compaction.lag.ms|LONG|9223372036854775807
max.message.bytes|INT|1048588
message.timestamp.after.max.ms|LONG|3600000
message.timestamp.before.max.ms|LONG|9223372036854775807
message.timestamp.type|STRING|CreateTime
min.cleanable.dirty.ratio|DOUBLE|0.5
min.compaction.lag.ms|LONG|0
min.insync.replicas|INT|1|ours: 2
preallocate|BOOLEAN|false
remote.log.copy.disable|BOOLEAN|false
remote.log.delete.on.disable|BOOLEAN|false
remote.storage.enable|BOOLEAN|false
retention.bytes|LONG|-1
retention.ms|LONG|604800000
segment.bytes|INT|1073741824
segment.index.bytes|INT|10485760
segment.jitter.ms|LONG|0
segment.ms|LONG|604800000
unclean.leader.election.enable|BOOLEAN|false";

    #[test]
    fn the_table_has_every_topic_config_of_kafka_with_its_type_and_default() {
        let names: Vec<&str> = KAFKA.lines().map(|line| line.split('|').next().expect("a name")).collect();
        assert_eq!(TOPIC_KEYS.iter().map(|key| key.name).collect::<Vec<_>>(), names);
        for (line, key) in KAFKA.lines().zip(TOPIC_KEYS) {
            let fields: Vec<&str> = line.split('|').collect();
            assert_eq!(format!("{:?}", key.kind).to_uppercase(), fields[1], "{}", key.name);
            let expected = fields.get(3).and_then(|ours| ours.strip_prefix("ours: ")).unwrap_or(fields[2]);
            assert_eq!(key.default.unwrap_or("null"), expected, "{}", key.name);
        }
    }

    #[test]
    fn defaults_obey_their_own_rules_and_are_in_normal_form() {
        for key in TOPIC_KEYS {
            let value = key.default_value().map(|value| value.to_string());
            assert_eq!(value.as_deref(), key.default, "{}", key.name);
        }
    }

    #[test]
    fn every_synonym_is_a_broker_config_whose_default_is_the_topics() {
        for key in TOPIC_KEYS {
            let defaults: Vec<String> = key
                .synonyms
                .iter()
                .filter_map(|synonym| {
                    let broker = broker_key(synonym.name).expect("a synonym is a broker config");
                    let value = broker.parse(broker.default?).expect("a default obeys its rule");
                    Some(synonym.unit.convert(value).to_string())
                })
                .collect();
            if !key.synonyms.is_empty() {
                assert_eq!(defaults, [key.default.expect("it has one")], "{}", key.name);
            }
        }
    }
}
