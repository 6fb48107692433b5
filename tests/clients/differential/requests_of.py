"""What all cases are made of: requests, and topics to send them to."""
import time
import uuid

from batches import batch

UNKNOWN_ID = uuid.UUID(int=0x1234567890ABCDEF1234567890ABCDEF)
NO_ID = uuid.UUID(int=0)
PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS = 0, 1, 2, 3, 18
CREATE_TOPICS, DELETE_TOPICS, DELETE_RECORDS, INIT_PRODUCER_ID = 19, 20, 21, 22
DESCRIBE_CONFIGS, CREATE_PARTITIONS, ALTER_CONFIGS, DESCRIBE_CLUSTER, DESCRIBE_PARTITIONS = 32, 37, 44, 60, 75
BASE = 1_700_000_000_000
BAD_NAMES = ["", ".", "..", "a/b", "a b", "ä", "x" * 249, "x" * 250, "__cluster_metadata", "__consumer_offsets"]
I32, I64 = 2**31 - 1, 2**63 - 1


class Case:
    def __init__(self, api, label, version, key=None, values=None, answered=True, then=None, raw=None,
                 effect=False):
        self.api, self.label, self.version, self.key, self.values = api, label, version, key, values
        self.answered, self.then, self.raw = answered, then, raw
        # Whether it only shows what the case before has done: not compared where that one differed already.
        self.effect = effect


def versions(schemas, key):
    return range(schemas["request"][key].valid.low, schemas["request"][key].valid.high + 1)


def create(name, partitions=2, configs=(), version=7):
    values = {"Topics": [{"Name": name, "NumPartitions": partitions, "ReplicationFactor": 1,
                          "Configs": [{"Name": key, "Value": value} for key, value in configs]}], "TimeoutMs": 20000}
    return Case("setup", f"create {name}", version, CREATE_TOPICS, values,
                then=lambda side, answer: wait_until_led(side, answer, name, partitions))


def wait_until_led(side, answer, name, partitions):
    """Kafka answers before the partitions are there. What a new topic is told of its configs DescribeConfigs shows."""
    asked = {"ReplicaId": -1, "Topics": [{"Name": name, "Partitions": [
        {"PartitionIndex": index, "Timestamp": -1} for index in range(partitions)]}]}
    for topic in answer["Topics"]:
        topic.pop("Configs", None)
    for _ in range(200):
        found = side.connection.request(LIST_OFFSETS, 1, asked)["Topics"][0]["Partitions"]
        if all(partition["ErrorCode"] == 0 for partition in found):
            return
        time.sleep(0.05)
    raise AssertionError(f"{name} has no leaders after 10 s")


def named(side, version, topic, since=13):
    """How a request of this version says which topic."""
    if version < since:
        return {"Name": topic}
    return {"TopicId": side.id_of(topic)}


def produce_to(version, topic, records, *, partition=0, acks=-1, timeout=5000, transactional=None, topic_id=None):
    def values(side):
        data = records(side) if callable(records) else records
        which = named(side, version, topic)
        if topic_id is not None and version >= 13:
            which = {"TopicId": topic_id}
        return {"Acks": acks, "TimeoutMs": timeout, "TransactionalId": transactional,
                "TopicData": [{**which, "PartitionData": [{"Index": partition, "Records": data}]}]}
    return values


def init_producer(label, memory, version=4):
    asked = {"TransactionalId": None, "TransactionTimeoutMs": 60000}

    def then(side, answer):
        # Kafka has to load its coordinator first.
        while answer["ErrorCode"] == 14:
            time.sleep(0.1)
            answer.update(side.connection.request(INIT_PRODUCER_ID, version, asked))
        side.memory[memory] = (answer["ProducerId"], answer["ProducerEpoch"])
    return Case("setup", label, version, INIT_PRODUCER_ID, asked, then=then)


def fetch(version, topic, offset, *, partition=0, replica=-1, max_wait=50, min_bytes=0, max_bytes=1 << 20, isolation=0,
          session=0, epoch=-1, current=-1, last_epoch=-1, log_start=-1, partition_max=1 << 20, forgotten=(), topic_id=None,
          more=()):
    def values(side):
        which = {"Topic": topic} if version < 13 else {"TopicId": topic_id or id_or_unknown(side, topic)}
        asked = {"Partition": partition, "FetchOffset": offset, "PartitionMaxBytes": partition_max,
                 "CurrentLeaderEpoch": current, "LastFetchedEpoch": last_epoch, "LogStartOffset": log_start}
        session_id = session(side) if callable(session) else session
        request = {"MaxWaitMs": max_wait, "MinBytes": min_bytes, "MaxBytes": max_bytes, "IsolationLevel": isolation,
                   "SessionId": session_id, "SessionEpoch": epoch,
                   "Topics": [] if topic is None else [{**which, "Partitions": [asked, *more]}],
                   "ForgottenTopicsData": [{("Topic" if version < 13 else "TopicId"):
                                            name if version < 13 else id_or_unknown(side, name), "Partitions": list(gone)}
                                           for name, gone in forgotten]}
        if version <= 14:
            request["ReplicaId"] = replica
        elif replica != -1:
            request["ReplicaState"] = {"ReplicaId": replica, "ReplicaEpoch": 0}
        return request
    return values


def id_or_unknown(side, topic):
    return side.ids.get(topic, UNKNOWN_ID)


def fill(topic):
    """Offsets 0-9 in one batch, 10-19 in gzip, 20 and 21 single, log start at 3."""
    ten = [(b"k", b"v" * 100)] * 10
    for data in (batch(ten), batch(ten, codec="gzip", timestamp=BASE + 100), batch(timestamp=BASE + 300),
                 batch(timestamp=BASE + 200)):
        yield Case("setup", f"fill {topic}", 9, PRODUCE, produce_to(9, topic, data))
    yield Case("setup", f"cut {topic}", 2, DELETE_RECORDS, {"TimeoutMs": 5000, "Topics": [
        {"Name": topic, "Partitions": [{"PartitionIndex": 0, "Offset": 3}]}]})
