"""Metadata, and whatever changes topics."""
import time

from config_cases import CONFIGS
from requests_of import *


def metadata_cases(schemas):
    topic = "metadata"
    yield create(topic, 3)
    for version in versions(schemas, METADATA):
        def case(label, topics, auto=False, **more):
            def values(side):
                found = topics(side) if callable(topics) else topics
                return {"Topics": found, "AllowAutoTopicCreation": auto if version >= 4 else True, **more}
            return Case("Metadata", label, version, METADATA, values)
        # Below version 4 a client cannot say that no topic is to be created.
        ghost = f"metadata-ghost-{version}"
        yield case("one", [{"Name": topic}])
        yield case("twice", [{"Name": topic}, {"Name": topic}])
        yield case("unknown and known", [{"Name": ghost}, {"Name": topic}])
        yield case("bad names", [{"Name": name} for name in BAD_NAMES[:7]])
        yield case("too long", [{"Name": BAD_NAMES[7]}])
        # Below version 4 the unknown ones are being created.
        yield Case("setup", "wait", 12, METADATA, {"Topics": []}, then=lambda side, answer: time.sleep(0.3))
        yield case("none", [])
        if version >= 1:
            yield case("all by null", None)
        yield case("created", [{"Name": f"metadata_auto_{version}"}], auto=True)
        yield Case("setup", "wait", 12, METADATA, {"Topics": []}, then=lambda side, answer: time.sleep(0.3))
        yield case("created before", [{"Name": f"metadata_auto_{version}"}], auto=True)
        yield case("internal, not created", [{"Name": "__cluster_metadata"}], auto=True)
        yield case("colliding", [{"Name": f"metadata.auto.{version}"}], auto=True)
        if version >= 8:
            for cluster, topics in ((True, False), (False, True), (True, True)):
                more = {"IncludeTopicAuthorizedOperations": topics}
                if version <= 10:
                    more["IncludeClusterAuthorizedOperations"] = cluster
                yield case(f"operations {cluster} {topics}", [{"Name": topic}, {"Name": "nothing-there"}], **more)
        if version >= 10:
            yield case("by id", lambda side: [{"TopicId": side.id_of(topic), "Name": None}])
            yield case("by id and name", lambda side: [{"TopicId": side.id_of(topic), "Name": topic}])
            yield case("by id and wrong name", lambda side: [{"TopicId": side.id_of(topic), "Name": "wrong"}])
            yield case("by unknown id", [{"TopicId": UNKNOWN_ID, "Name": None}])
            yield case("neither id nor name", [{"TopicId": NO_ID, "Name": None}])
            yield case("by id and by name", lambda side: [{"TopicId": side.id_of(topic), "Name": None}, {"Name": topic}])
            yield case("ids, known and unknown",
                       lambda side: [{"TopicId": side.id_of(topic), "Name": None}, {"TopicId": UNKNOWN_ID, "Name": None}])
            yield case("an id twice", lambda side: [{"TopicId": side.id_of(topic), "Name": None}] * 2)


def assignment(*partitions):
    return [{"PartitionIndex": index, "BrokerIds": list(brokers)} for index, brokers in partitions]


def topic_requests(prefix):
    """Label and topics of CreateTopics requests."""
    def topic(name, partitions=2, replication=1, configs=(), assignments=()):
        return {"Name": name, "NumPartitions": partitions, "ReplicationFactor": replication,
                "Configs": [{"Name": key, "Value": value} for key, value in configs], "Assignments": list(assignments)}
    new = (f"{prefix}-{number}" for number in range(10_000))
    name = lambda: next(new)
    first = name()
    yield "new", [topic(first)]
    yield "there already", [topic(first)]
    yield "there already, otherwise bad", [topic(first, partitions=0)]
    yield "twice", [topic(prefix + "-twice"), topic(prefix + "-twice", 3)]
    yield "twice, and another", [topic(prefix + "-double"), topic(prefix + "-double", 3), topic(name())]
    for bad in BAD_NAMES[:6] + BAD_NAMES[7:9]:
        yield f"name {bad[:20]!r}", [topic(bad)]
    yield "colliding", [topic(prefix.replace("-", ".") + ".a")]
    yield "colliding with it", [topic(prefix.replace("-", "_") + "_a")]
    yield "colliding with each other", [topic(f"{prefix}.b"), topic(f"{prefix}_b")]
    for partitions in (0, -1, -2, 10_001):
        yield f"{partitions} partitions", [topic(name(), partitions)]
    for replication in (0, -1, -2, 2, 32767):
        yield f"replication factor {replication}", [topic(name(), 1, replication)]
    yield "defaults", [topic(name(), -1, -1)]
    yield "bad partitions and replication", [topic(name(), 0, 5)]
    yield "assigned", [topic(name(), -1, -1, assignments=assignment((0, [1]), (1, [1])))]
    yield "assigned and counted", [topic(name(), 2, -1, assignments=assignment((0, [1])))]
    yield "assigned and replicated", [topic(name(), -1, 1, assignments=assignment((0, [1])))]
    yield "assigned to an unknown broker", [topic(name(), -1, -1, assignments=assignment((0, [7])))]
    yield "assigned to a negative broker", [topic(name(), -1, -1, assignments=assignment((0, [-1])))]
    yield "assigned twice to one", [topic(name(), -1, -1, assignments=assignment((0, [1, 1])))]
    yield "assigned to none", [topic(name(), -1, -1, assignments=assignment((0, [])))]
    yield "assigned, a partition twice", [topic(name(), -1, -1, assignments=assignment((0, [1]), (0, [1])))]
    yield "assigned with a gap", [topic(name(), -1, -1, assignments=assignment((0, [1]), (2, [1])))]
    yield "assigned from 1", [topic(name(), -1, -1, assignments=assignment((1, [1])))]
    yield "assigned from -1", [topic(name(), -1, -1, assignments=assignment((-1, [1]), (0, [1])))]
    yield "assigned unevenly", [topic(name(), -1, -1, assignments=assignment((0, [1]), (1, [1, 2])))]
    for key, value in CONFIGS:
        if not key.startswith("flush"):
            yield f"config {key}={value}", [topic(name(), configs=[(key, value)])]
    yield "a config twice", [topic(name(), configs=[("retention.ms", "5"), ("retention.ms", "6")])]
    yield "min.insync.replicas 1", [topic(name(), configs=[("min.insync.replicas", "1")])]
    yield "one good, one bad", [topic(name()), topic("a/b")]


def create_topics_cases(schemas):
    for version in versions(schemas, CREATE_TOPICS):
        for only in (False, True):
            for label, topics in topic_requests(f"create-{version}-{int(only)}"):
                what = ", checked only" if only else ""
                # What a new topic is told of its configs is checked by DescribeConfigs; their defaults differ.
                yield Case("CreateTopics", label + what, version, CREATE_TOPICS,
                           {"Topics": topics, "TimeoutMs": 20000, "ValidateOnly": only})
        yield Case("CreateTopics", "no topics", version, CREATE_TOPICS, {"Topics": [], "TimeoutMs": 1000})
    yield Case("setup", "", 12, METADATA, {"Topics": []})


def delete_topics_cases(schemas):
    for version in versions(schemas, DELETE_TOPICS):
        names = [f"delete-{version}-{number}" for number in range(6)]
        for name in names:
            yield create(name)
        ask = lambda label, values: Case("DeleteTopics", label, version, DELETE_TOPICS,
                                         lambda side: {"TimeoutMs": 5000, **(values(side) if callable(values) else values)})
        if version < 6:
            yield ask("one", {"TopicNames": [names[0]]})
            yield ask("again", {"TopicNames": [names[0]]})
            yield ask("twice", {"TopicNames": [names[1], names[1]]})
            yield ask("twice and another", {"TopicNames": [names[1], names[1], names[2]]})
            yield ask("unknown twice", {"TopicNames": ["none", "none"]})
            yield ask("bad names", {"TopicNames": BAD_NAMES})
            yield ask("none", {"TopicNames": []})
            yield ask("one and unknown", {"TopicNames": [names[4], "none"]})
        else:
            yield ask("one", {"Topics": [{"Name": names[0]}]})
            yield ask("again", {"Topics": [{"Name": names[0]}]})
            yield ask("by id", lambda side: {"Topics": [{"Name": None, "TopicId": side.id_of(names[1])}]})
            yield ask("by id again", lambda side: {"Topics": [{"Name": None, "TopicId": side.id_of(names[1])}]})
            yield ask("by unknown id", {"Topics": [{"Name": None, "TopicId": UNKNOWN_ID}]})
            yield ask("by both", lambda side: {"Topics": [{"Name": names[2], "TopicId": side.id_of(names[2])}]})
            yield ask("by neither", {"Topics": [{"Name": None}]})
            yield ask("by neither twice", {"Topics": [{"Name": None}, {"Name": None}]})
            yield ask("twice", {"Topics": [{"Name": names[3]}, {"Name": names[3]}]})
            yield ask("twice, by name and id",
                      lambda side: {"Topics": [{"Name": names[3]}, {"Name": None, "TopicId": side.id_of(names[3])}]})
            yield ask("an id twice", lambda side: {"Topics": [{"Name": None, "TopicId": side.id_of(names[3])}] * 2})
            yield ask("bad names", {"Topics": [{"Name": name} for name in BAD_NAMES]})
            yield ask("none", {"Topics": []})
            yield ask("id and name of one, and unknown",
                      lambda side: {"Topics": [{"Name": names[4]}, {"Name": "none"}]})
            yield ask("unknown twice", {"Topics": [{"Name": "none"}, {"Name": "none"}]})
        yield Case("DeleteTopics", "timeout 0", version, DELETE_TOPICS,
                   {"TimeoutMs": 0, "TopicNames": [], "Topics": []} if version > 5 else {"TimeoutMs": 0, "TopicNames": []})


def create_partitions_cases(schemas):
    for version in versions(schemas, CREATE_PARTITIONS):
        for only in (True, False):
            topic = f"partitions-{version}-{int(only)}"
            yield create(topic)

            def ask(label, *topics):
                return Case("CreatePartitions", label + (", checked only" if only else ""), version, CREATE_PARTITIONS,
                            {"TimeoutMs": 20000, "ValidateOnly": only, "Topics": [
                                {"Name": name, "Count": count, "Assignments": None if assigned is None else [
                                    {"BrokerIds": brokers} for brokers in assigned]}
                                for name, count, assigned in topics]})
            for count in (0, -1, 1, 2):
                yield ask(f"to {count}", (topic, count, None))
            yield ask("assigned to one unknown", (topic, 3, [[9]]))
            yield ask("assigned to none", (topic, 3, [[]]))
            yield ask("assigned too few", (topic, 4, [[1]]))
            yield ask("assigned too many", (topic, 3, [[1], [1]]))
            yield ask("assigned to more replicas", (topic, 3, [[1, 2]]))
            yield ask("assigned twice to one", (topic, 3, [[1, 1]]))
            yield ask("assigned nothing", (topic, 3, []))
            yield ask("assigned", (topic, 4, [[1]]))
            yield ask("assigned well", (topic, 4, [[1], [1]]))
            yield ask("more", (topic, 6, None))
            yield ask("most", (topic, I32, None))
            yield ask("unknown", ("none", 3, None))
            yield ask("bad name", ("a/b", 3, None))
            yield ask("twice", (topic, 7, None), (topic, 8, None))
            yield ask("twice, and another", (topic, 7, None), (topic, 8, None), ("fetch", 3, None))
            yield ask("none")
            yield ask("of the metadata", ("__cluster_metadata", 3, None))
        yield Case("CreatePartitions", "no time", version, CREATE_PARTITIONS, {"TimeoutMs": -1, "Topics": []})


def delete_records_cases(schemas):
    for version in versions(schemas, DELETE_RECORDS):
        topic = f"records-{version}"
        yield create(topic)
        yield from fill(topic)

        def ask(label, *partitions, name=topic, timeout=5000):
            return Case("DeleteRecords", label, version, DELETE_RECORDS, {"TimeoutMs": timeout, "Topics": [
                {"Name": name, "Partitions": [{"PartitionIndex": index, "Offset": offset} for index, offset in partitions]}]})
        for offset in (0, 2, 3, 5, -2, 23, 1000, I64, -I64 - 1, 10, 7):
            yield ask(f"to {offset}", (0, offset))
        yield ask("to the end", (0, -1))
        yield ask("to the end again", (0, -1))
        yield ask("to 22", (0, 22))
        yield ask("empty", (1, 0))
        yield ask("empty, to 1", (1, 1))
        yield ask("unknown partition", (9, 0))
        yield ask("partition -1", (-1, 0))
        yield ask("twice", (1, 0), (1, 0))
        yield ask("good and bad", (1, 0), (9, 0), (0, 99))
        yield ask("unknown topic", (0, 0), name="none")
        yield ask("bad name", (0, 0), name="a/b")
        yield ask("of the metadata", (0, 0), name="__cluster_metadata")
        yield ask("no time", (1, 0), timeout=0)
        yield ask("negative time", (1, 0), timeout=-5)
        yield ask("no partitions")
        yield Case("DeleteRecords", "no topics", version, DELETE_RECORDS, {"TimeoutMs": 1, "Topics": []})
        yield Case("DeleteRecords", "compacted", version, DELETE_RECORDS, {"TimeoutMs": 5000, "Topics": [
            {"Name": "configured-compacted", "Partitions": [{"PartitionIndex": 0, "Offset": 1}]}]})
        yield Case("DeleteRecords", "a topic twice", version, DELETE_RECORDS, {"TimeoutMs": 5000, "Topics": [
            {"Name": topic, "Partitions": [{"PartitionIndex": index, "Offset": 0}]} for index in (0, 1)]})


def init_producer_id_cases(schemas):
    yield init_producer("wait for the coordinator", "waited")
    for version in versions(schemas, INIT_PRODUCER_ID):
        ask = lambda label, **values: Case("InitProducerId", label, version, INIT_PRODUCER_ID,
                                           {"TransactionalId": None, "TransactionTimeoutMs": 60000, **values})
        yield ask("idempotent")
        for timeout in (0, -1, I32):
            yield ask(f"timeout {timeout}", TransactionTimeoutMs=timeout)
        yield ask("empty transactional id", TransactionalId="")
        if version >= 3:
            for producer, epoch in ((5, 0), (5, -1), (-1, 3), (-2, -1), (I64, 32767), (5, 32767), (-5, -5)):
                yield ask(f"producer {producer}, epoch {epoch}", ProducerId=producer, ProducerEpoch=epoch)
