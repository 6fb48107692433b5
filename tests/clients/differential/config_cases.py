"""DescribeConfigs and IncrementalAlterConfigs."""
from requests_of import *

TOPIC, BROKER, LOGGER, CLIENT_METRICS, GROUP = 2, 4, 8, 16, 32

# Names and values, good and bad.
CONFIGS = [
    ("retention.ms", "1000"), ("retention.ms", "-1"), ("retention.ms", "-2"), ("retention.ms", "x"), ("retention.ms", ""),
    ("retention.ms", " 1000 "), ("retention.ms", None), ("retention.ms", "9223372036854775808"), ("retention.ms", "1e3"),
    ("retention.ms", "+5"), ("retention.bytes", "-1"), ("retention.bytes", "0"),
    ("segment.bytes", "1048576"), ("segment.bytes", "1048575"), ("segment.bytes", "2147483648"), ("segment.ms", "0"),
    ("segment.ms", "1"), ("segment.index.bytes", "3"), ("segment.index.bytes", "4"), ("segment.jitter.ms", "-1"),
    ("cleanup.policy", "compact"), ("cleanup.policy", "compact,delete"), ("cleanup.policy", "delete,delete"),
    ("cleanup.policy", "nothing"), ("cleanup.policy", ""), ("cleanup.policy", "compact, delete"), ("cleanup.policy", "DELETE"),
    ("compression.type", "gzip"), ("compression.type", "producer"), ("compression.type", "brotli"),
    ("compression.type", "GZIP"), ("compression.gzip.level", "9"), ("compression.gzip.level", "10"),
    ("compression.gzip.level", "0"), ("compression.gzip.level", "-1"), ("compression.lz4.level", "17"),
    ("compression.lz4.level", "18"), ("compression.lz4.level", "0"), ("compression.zstd.level", "22"),
    ("compression.zstd.level", "23"), ("compression.zstd.level", "-131072"), ("compression.zstd.level", "-131073"),
    ("max.message.bytes", "0"), ("max.message.bytes", "-1"), ("max.message.bytes", "2147483647"),
    ("min.insync.replicas", "0"), ("min.insync.replicas", "5"), ("message.timestamp.type", "LogAppendTime"),
    ("message.timestamp.type", "logappendtime"), ("message.timestamp.before.max.ms", "0"),
    ("message.timestamp.before.max.ms", "-1"), ("message.timestamp.after.max.ms", "0"),
    ("message.timestamp.difference.max.ms", "5"), ("message.format.version", "3.0"),
    ("message.downconversion.enable", "true"), ("preallocate", "true"), ("preallocate", "TRUE"), ("preallocate", "yes"),
    ("unclean.leader.election.enable", "true"), ("min.cleanable.dirty.ratio", "0.5"), ("min.cleanable.dirty.ratio", "1.5"),
    ("min.cleanable.dirty.ratio", "-0.1"), ("min.compaction.lag.ms", "-1"), ("max.compaction.lag.ms", "0"),
    ("max.compaction.lag.ms", "1"), ("min.compaction.lag.ms", "100"), ("delete.retention.ms", "-1"),
    ("file.delete.delay.ms", "-1"), ("index.interval.bytes", "-1"), ("index.interval.bytes", "0"),
    ("leader.replication.throttled.replicas", "*"), ("leader.replication.throttled.replicas", "0:1,1:1"),
    ("leader.replication.throttled.replicas", "a:b"), ("leader.replication.throttled.replicas", ""),
    ("follower.replication.throttled.replicas", "x"), ("remote.storage.enable", "true"), ("remote.storage.enable", "false"),
    ("remote.log.copy.disable", "true"), ("remote.log.delete.on.disable", "true"), ("local.retention.ms", "-2"),
    ("local.retention.ms", "-3"), ("local.retention.ms", "1000"), ("local.retention.bytes", "-2"),
    ("flush.messages", "1"), ("flush.messages", "0"), ("flush.ms", "-1"), ("flush.ms", "9223372036854775807"),
    ("no.such.config", "1"), ("", "1"), ("log.retention.ms", "1"), ("RETENTION.MS", "1"),
    ("internal.segment.bytes", "100"),
]


def describe_configs_cases(schemas):
    yield create("configs", 1, [("retention.ms", "123"), ("cleanup.policy", "compact")])
    for version in versions(schemas, DESCRIBE_CONFIGS):
        def ask(label, *resources, synonyms=False, documentation=False):
            values = {"IncludeSynonyms": synonyms, "Resources": [
                {"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": keys} for kind, name, keys in resources]}
            if version >= 3:
                values["IncludeDocumentation"] = documentation
            return Case("DescribeConfigs", label, version, DESCRIBE_CONFIGS, values)
        for synonyms in (False, True):
            which = ", with synonyms" if synonyms else ""
            yield ask("topic" + which, (TOPIC, "configs", None), synonyms=synonyms)
            yield ask("broker" + which, (BROKER, "1", ["log.retention.ms", "node.id", "num.partitions", "broker.id",
                                                       "log.retention.hours", "message.max.bytes", "no.such"]),
                      synonyms=synonyms)
            yield ask("cluster" + which, (BROKER, "", None), synonyms=synonyms)
        yield ask("topic, some", (TOPIC, "configs", ["retention.ms", "no.such", "segment.ms"]))
        yield ask("topic, some twice", (TOPIC, "configs", ["retention.ms", "retention.ms"]))
        yield ask("topic, none", (TOPIC, "configs", []))
        yield ask("topic twice", (TOPIC, "configs", ["retention.ms"]), (TOPIC, "configs", ["segment.ms"]))
        yield ask("unknown topic", (TOPIC, "none", None))
        yield ask("bad name", (TOPIC, "a/b", None))
        yield ask("no name", (TOPIC, "", None))
        yield ask("metadata topic", (TOPIC, "__cluster_metadata", None))
        yield ask("another broker", (BROKER, "2", None))
        yield ask("broker no number", (BROKER, "x", None))
        yield ask("broker -1", (BROKER, "-1", None))
        for kind in (0, 1, 3, 5, 64, -1):
            yield ask(f"kind {kind}", (kind, "configs", None))
        yield ask("client metrics", (CLIENT_METRICS, "x", None))
        yield ask("client metrics without name", (CLIENT_METRICS, "", None))
        yield ask("group", (GROUP, "x", None))
        yield ask("group without name", (GROUP, "", None))
        yield ask("nothing")
        yield ask("good and bad", (TOPIC, "configs", ["retention.ms"]), (TOPIC, "none", None))
        if version >= 3:
            yield ask("all broker configs by name", (BROKER, "1", ["log.segment.bytes", "advertised.listeners"]),
                      synonyms=True)


def alter_configs_cases(schemas):
    for version in versions(schemas, ALTER_CONFIGS):
        for only in (True, False):
            topic = f"alter-{version}-{int(only)}"
            yield create(topic, 1, [("segment.ms", "777")])

            def ask(label, *resources):
                return Case("IncrementalAlterConfigs", label + (", checked only" if only else ""), version, ALTER_CONFIGS,
                            {"ValidateOnly": only, "Resources": [
                                {"ResourceType": kind, "ResourceName": name, "Configs": [
                                    {"Name": key, "ConfigOperation": operation, "Value": value}
                                    for key, operation, value in configs]} for kind, name, configs in resources]})
            for key, value in CONFIGS:
                yield ask(f"{key}={value}", (TOPIC, topic, [(key, 0, value)]))
            # Kafka keeps the blank of "compact, delete", and then finds no "delete" to subtract.
            yield ask("plain", (TOPIC, topic, [("cleanup.policy", 0, "compact,delete")]))
            yield ask("delete", (TOPIC, topic, [("segment.ms", 1, None)]))
            yield ask("delete with a value", (TOPIC, topic, [("segment.ms", 1, "5")]))
            yield ask("delete what is not set", (TOPIC, topic, [("retention.bytes", 1, None)]))
            yield ask("delete unknown", (TOPIC, topic, [("no.such", 1, None)]))
            yield ask("append", (TOPIC, topic, [("cleanup.policy", 2, "compact")]))
            yield ask("append again", (TOPIC, topic, [("cleanup.policy", 2, "compact")]))
            yield ask("append two", (TOPIC, topic, [("leader.replication.throttled.replicas", 2, "0:1,1:1")]))
            yield ask("append null", (TOPIC, topic, [("cleanup.policy", 2, None)]))
            yield ask("append to no list", (TOPIC, topic, [("retention.ms", 2, "5")]))
            yield ask("append to unknown", (TOPIC, topic, [("no.such", 2, "5")]))
            yield ask("append bad", (TOPIC, topic, [("cleanup.policy", 2, "nothing")]))
            yield ask("subtract", (TOPIC, topic, [("cleanup.policy", 3, "compact")]))
            yield ask("subtract all", (TOPIC, topic, [("cleanup.policy", 3, "delete")]))
            yield ask("subtract null", (TOPIC, topic, [("cleanup.policy", 3, None)]))
            yield ask("subtract from no list", (TOPIC, topic, [("retention.ms", 3, "5")]))
            yield ask("subtract what is not there", (TOPIC, topic, [("cleanup.policy", 3, "other")]))
            yield ask("operation 4", (TOPIC, topic, [("retention.ms", 4, "5")]))
            yield ask("operation -1", (TOPIC, topic, [("retention.ms", -1, "5")]))
            yield ask("a name twice", (TOPIC, topic, [("retention.ms", 0, "5"), ("retention.ms", 0, "6")]))
            yield ask("a name twice, otherwise", (TOPIC, topic, [("retention.ms", 0, "5"), ("retention.ms", 1, None)]))
            yield ask("good and bad", (TOPIC, topic, [("retention.ms", 0, "50"), ("segment.bytes", 0, "5")]))
            yield ask("a topic twice", (TOPIC, topic, [("retention.ms", 0, "5")]), (TOPIC, topic, [("segment.ms", 0, "6")]))
            yield ask("two topics, one unknown", (TOPIC, topic, [("retention.ms", 0, "5")]), (TOPIC, "none", []))
            yield ask("no configs", (TOPIC, topic, []))
            yield ask("unknown topic", (TOPIC, "none", [("retention.ms", 0, "5")]))
            yield ask("unknown topic, bad value", (TOPIC, "none", [("retention.ms", 0, "x")]))
            yield ask("bad name", (TOPIC, "a/b", [("retention.ms", 0, "5")]))
            yield ask("no name", (TOPIC, "", [("retention.ms", 0, "5")]))
            yield ask("nothing")
            for kind in (0, 1, 3, 5, 64, -1):
                yield ask(f"kind {kind}", (kind, topic, [("retention.ms", 0, "5")]))
            yield ask("broker no number", (BROKER, "x", [("log.retention.ms", 0, "5")]))
            yield ask("another broker", (BROKER, "2", [("log.retention.ms", 0, "5")]))
            yield ask("broker, fixed config", (BROKER, "1", [("node.id", 0, "5")]))
            yield ask("broker, unknown config", (BROKER, "1", [("no.such", 0, "5")]))
            yield ask("broker, bad value", (BROKER, "1", [("log.retention.ms", 0, "x")]))
            yield ask("compaction lags", (TOPIC, topic, [("min.compaction.lag.ms", 0, "10"), ("max.compaction.lag.ms", 0, "5")]))
            yield Case("IncrementalAlterConfigs", "afterwards" + (", checked only" if only else ""), 4, DESCRIBE_CONFIGS,
                       {"IncludeSynonyms": False, "Resources": [{"ResourceType": TOPIC, "ResourceName": topic,
                                                                 "ConfigurationKeys": None}]})
