"""Produce, Fetch and ListOffsets."""
import time

import batches
from batches import batch, old_message, record
from requests_of import *


def bad_batches():
    """Label and bytes of what a broker should say no to, or not."""
    one = batch()
    big = 1_048_588
    now = int(time.time() * 1000)
    yield "one record", one
    for codec in batches.CODECS:
        yield f"three records, {codec}", batch([(b"a", b"1"), (None, b"2"), (b"c", None)], codec=codec)
    yield "null records", None
    yield "no bytes", b""
    yield "a few bytes", b"abc"
    yield "12 bytes", one[:12]
    yield "60 bytes", one[:60]
    yield "cut by one", one[:-1]
    yield "one byte more", one + b"\0"
    yield "two batches", one + batch([(b"x", b"y")])
    yield "two batches, second cut", one + one[:-3]
    yield "magic 0", old_message(0)
    yield "magic 1", old_message(1)
    yield "magic 3", batch(magic=3)
    yield "magic -1", batch(magic=-1)
    yield "bad crc", batch(crc=12345)
    yield "no records in it", batch([])
    yield "count 0, one there", batch(count=0)
    yield "count 2, one there", batch(count=2, last_delta=1)
    yield "count 1, two there", batch([(b"a", b"b"), (b"c", b"d")], count=1, last_delta=0)
    yield "count -1", batch(count=-1)
    yield "count huge", batch(count=I32, last_delta=I32 - 1)
    yield "last delta 5", batch(last_delta=5)
    yield "last delta -1", batch(last_delta=-1)
    yield "deltas 0, 2", batch([(b"a", b"b"), (b"c", b"d")], deltas=[0, 2])
    yield "deltas 0, 0", batch([(b"a", b"b"), (b"c", b"d")], deltas=[0, 0])
    yield "deltas 1, 2", batch([(b"a", b"b"), (b"c", b"d")], deltas=[1, 2])
    yield "deltas 0, 2, gzip", batch([(b"a", b"b"), (b"c", b"d")], deltas=[0, 2], codec="gzip")
    yield "base offset 77", batch(base_offset=77)
    yield "base offset -5", batch(base_offset=-5)
    yield "leader epoch 9", batch(epoch=9)
    yield "length too short", batch(length=40)
    yield "length too long", batch(length=len(one) + 100)
    yield "length negative", batch(length=-1)
    yield "length 0", batch(length=0)
    for code in (5, 6, 7):
        yield f"codec {code}", batch(attributes=code)
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        yield f"not {codec}", batch(attributes=batches.CODECS[codec])
        yield f"{codec} and one byte", batch(codec=codec, payload=batches.compress(codec, record(0, b"k", b"v")) + b"\0")
        yield f"{codec} of no records", batch([], codec=codec, payload=batches.compress(codec, b""), count=1, last_delta=0)
        yield f"{codec} and a record too many", batch(
            codec=codec, payload=batches.compress(codec, record(0, b"k", b"v") * 2))
    yield "attribute log append time", batch(attributes=8)
    yield "attribute transactional", batch(attributes=16)
    yield "attribute control", batch(attributes=32)
    yield "attribute delete horizon", batch(attributes=64)
    yield "attribute 128", batch(attributes=128)
    yield "attribute 0x4000", batch(attributes=0x4000)
    yield "timestamp of now", batch(timestamp=now)
    yield "timestamp in two hours", batch(timestamp=now + 7_200_000)
    yield "timestamp in two hours, gzip", batch(timestamp=now + 7_200_000, codec="gzip")
    yield "one of two in two hours", batch([(b"a", b"b"), (b"c", b"d")], timestamp=now, step=7_200_000)
    yield "timestamp of 1970", batch(timestamp=1)
    yield "timestamp 0", batch(timestamp=0)
    yield "timestamp -1", batch(timestamp=-1, max_timestamp=-1)
    yield "timestamp -2", batch(timestamp=-2, max_timestamp=-2)
    yield "max timestamp too low", batch([(b"a", b"b"), (b"c", b"d")], max_timestamp=BASE)
    yield "max timestamp too high", batch(max_timestamp=BASE + 50)
    yield "max timestamp -1", batch(max_timestamp=-1)
    yield "too large", batch([(None, b"x" * big)])
    yield "just too large", batch([(None, b"x" * (big - 61 - 9))])
    yield "just not too large", batch([(None, b"x" * (big - 61 - 10))])
    yield "too large, but not compressed", batch([(None, b"x" * (2 * big))], codec="gzip")
    yield "record attributes 5", batch([b"\x0e\x05" + record(0, b"k", b"v")[2:]])
    yield "record length wrong", batch([b"\x20" + record(0, b"k", b"v")[1:]])
    yield "record length negative", batch([b"\x01" + record(0, b"k", b"v")[1:]])
    yield "key length -2", batch([b"\x0c\0\0\0\x03\x02v\0"])
    yield "key length beyond", batch([b"\x0c\0\0\0\x7e\x02v\0"])
    yield "headers", batch([record(0, b"k", b"v", [(b"a", b"b"), (b"", None), (b"a", b"")])])
    yield "header key null", batch([record(0, b"k", b"v", [(None, b"b")])])
    yield "header count -1", batch([b"\x0e\0\0\0\x02k\x02v\x01"])
    yield "header count beyond", batch([b"\x0e\0\0\0\x02k\x02v\x08"])
    yield "header key no utf-8", batch([record(0, b"k", b"v", [(b"\xff\xfe", b"b")])])
    yield "empty key and value", batch([(b"", b"")])
    yield "producer id without sequence", batch(producer=(987654, 0, -1))
    yield "producer id without epoch", batch(producer=(987654, -1, 0))
    yield "sequence without producer id", batch(producer=(-1, -1, 5))
    yield "unknown producer, sequence 0", batch(producer=(987655, 0, 0))
    yield "unknown producer, sequence 5", batch(producer=(987656, 0, 5))
    yield "unknown producer, epoch 3, sequence 0", batch(producer=(987657, 3, 0))
    yield "producer id -7", batch(producer=(-7, 0, 0))


def produce_cases(schemas):
    api = "Produce"
    for version in versions(schemas, PRODUCE):
        topic = f"produce-{version}"
        yield create(topic)
        case = lambda label, *arguments, **options: Case(
            api, label, version, PRODUCE, produce_to(version, topic, *arguments, **options))
        chosen = [(label, data) for label, data in bad_batches() if version in (3, 6, 8, 9, 13)
                  or label in ("one record", "three records, zstd", "bad crc", "magic 1")]
        # One partition each: what is accepted does not move the offsets of the next.
        yield create(f"{topic}-bad", len(chosen))
        for partition, (label, data) in enumerate(chosen):
            yield Case(api, label, version, PRODUCE, produce_to(version, f"{topic}-bad", data, partition=partition))
            yield Case(api, f"{label}, what was kept", 12, FETCH,
                       fetch(12, f"{topic}-bad", 0, partition=partition, max_wait=0, partition_max=1 << 26, max_bytes=1 << 26),
                       effect=True)
        for acks in (1, 0, 2, -2, 127):
            label = f"acks {acks}"
            case_ = case(label, batch(), acks=acks)
            case_.answered = acks != 0
            yield case_
        yield case("timeout 0", batch(), timeout=0)
        yield case("timeout -1", batch(), timeout=-1)
        yield case("acks 2 to an unknown partition", batch(), acks=2, partition=99)
        for partition in (1, 2, -1, I32):
            yield case(f"partition {partition}", batch(), partition=partition)
        yield Case(api, "unknown topic", version, PRODUCE, produce_to(version, "none", batch()))
        yield Case(api, "unknown topic, bad batch", version, PRODUCE, produce_to(version, "none", batch(crc=1)))
        yield Case(api, "unknown id", version, PRODUCE, produce_to(version, "none", batch(), topic_id=UNKNOWN_ID))
        yield Case(api, "bad name", version, PRODUCE, produce_to(version, "a/b", batch()))
        yield Case(api, "no topics", version, PRODUCE, {"Acks": -1, "TimeoutMs": 1000, "TopicData": []})
        yield Case(api, "no partitions", version, PRODUCE,
                   lambda side, v=version, t=topic: {"Acks": -1, "TimeoutMs": 1000, "TopicData": [
                       {**named(side, v, t), "PartitionData": []}]})
        yield create(f"{topic}-twice")
        yield Case(api, "a partition twice", version, PRODUCE,
                   lambda side, v=version, t=f"{topic}-twice": {"Acks": -1, "TimeoutMs": 1000, "TopicData": [
                       {**named(side, v, t), "PartitionData": [{"Index": 1, "Records": batch()}] * 2}]})
        yield Case(api, "a good and a bad one", version, PRODUCE,
                   lambda side, v=version, t=topic: {"Acks": -1, "TimeoutMs": 1000, "TopicData": [
                       {**named(side, v, t), "PartitionData": [{"Index": 0, "Records": batch()},
                                                               {"Index": 1, "Records": batch(crc=1)},
                                                               {"Index": 7, "Records": batch()}]}]})
        yield from producer_cases(version, topic)
    yield from configured_topics()


def producer_cases(version, topic):
    memory = f"producer of {version}"
    yield init_producer(memory, memory)

    def sent(label, sequence, epoch=0, records=((b"k", b"v"),), partition=0):
        def data(side):
            producer_id = side.memory[memory][0]
            return batch(records, producer=(producer_id, side.memory[memory][1] + epoch, sequence))
        return Case("Produce", f"idempotent: {label}", version, PRODUCE,
                    produce_to(version, topic, data, partition=partition))
    yield sent("first", 0)
    yield sent("again", 0)
    yield sent("next", 1)
    yield sent("a gap", 5)
    yield sent("three records", 2, records=((b"a", b"a"), (b"b", b"b"), (b"c", b"c")))
    yield sent("the first of the three again", 2)
    yield sent("a part of the three again", 3)
    yield sent("the three again", 2, records=((b"a", b"a"), (b"b", b"b"), (b"c", b"c")))
    for sequence in range(5, 11):
        yield sent("five more", sequence)
    yield sent("an old one again", 0)
    yield sent("one of the last five again", 6)
    yield sent("one older than the last five again", 5)
    yield sent("a gap in the next epoch", 7, epoch=1)
    yield sent("next epoch", 0, epoch=1)
    yield sent("the epoch before", 11, epoch=0)
    yield sent("the epoch before, sequence 0", 0, epoch=0)
    yield sent("the greatest sequence on another partition", I32, partition=1)
    yield sent("wrapped around", 0, partition=1)
    yield sent("sequence -1", -1, partition=1)
    yield sent("sequence -2", -2, partition=1)


def configured_topics():
    topics = {
        "compacted": [("cleanup.policy", "compact")],
        "append-time": [("message.timestamp.type", "LogAppendTime")],
        "small": [("max.message.bytes", "100")],
        "min-isr-2": [("min.insync.replicas", "2")],
        "past": [("message.timestamp.before.max.ms", "1000")],
        "future": [("message.timestamp.after.max.ms", "1000")],
        **{f"compressed-{codec}": [("compression.type", codec)]
           for codec in ("gzip", "snappy", "lz4", "zstd", "uncompressed")},
    }
    now = int(time.time() * 1000)
    kinds = {
        "keyed": batch(), "keyless": batch([(None, b"v")]), "keyed and keyless": batch([(b"a", b"v"), (None, b"v")] * 2),
        "keyless, gzip": batch([(b"a", b"v"), (None, b"v")], codec="gzip"), "now": batch(timestamp=now),
        "now and later": batch([(b"a", b"v")] * 3, timestamp=now, step=50_000_000),
        "old and keyless": batch([(None, b"v"), (b"a", b"v")], timestamp=BASE),
        "larger": batch([(b"k", b"x" * 60)] * 3), "larger, gzip": batch([(b"k", b"x" * 60)] * 3, codec="gzip"),
        "zstd": batch([(b"k", b"v")] * 2, codec="zstd"), "gzip of rubbish": batch(attributes=1),
        "deltas 0, 2": batch([(b"a", b"b"), (b"c", b"d")], deltas=[0, 2]),
    }
    for name, configs in topics.items():
        topic = f"configured-{name}"
        yield create(topic, 4 * len(kinds), configs)
        partition = 0
        for version in (6, 7, 8, 13):
            for label, data in kinds.items():
                yield Case("Produce", f"{label} to {name}", version, PRODUCE,
                           produce_to(version, topic, data, partition=partition))
                yield Case("Produce", f"{label} to {name}, what was kept", 12, FETCH,
                           fetch(12, topic, 0, partition=partition, max_wait=0), effect=True)
                partition += 1
        yield Case("Produce", f"acks 1 to {name}", 9, PRODUCE, produce_to(9, topic, batch(), acks=1))


def fetch_cases(schemas):
    topic = "fetch"
    yield create(topic, 3)
    yield from fill(topic)
    for version in versions(schemas, FETCH):
        case = lambda label, *arguments, **options: Case(
            "Fetch", label, version, FETCH, fetch(version, topic, *arguments, **options))
        for offset in (0, 2, 3, 5, 9, 10, 15, 21, 22, 23, 1000, -1, -2, I64):
            yield case(f"offset {offset}", offset)
            yield case(f"offset {offset}, committed", offset, isolation=1)
        yield case("isolation 2", 3, isolation=2)
        yield case("isolation -1", 3, isolation=-1)
        yield case("isolation 2, no such offset", 100, isolation=2)
        for limit in (0, 1, 61, 500, 1173, -1):
            yield case(f"partition limit {limit}", 3, partition_max=limit)
            yield case(f"limit {limit}", 3, max_bytes=limit)
        yield case("nothing there, waiting", 22, max_wait=100, min_bytes=1)
        yield case("less than wanted", 3, max_wait=100, min_bytes=1 << 19)
        yield case("negative wait", 22, max_wait=-1, min_bytes=1)
        yield case("negative minimum", 22, min_bytes=-5)
        for partition in (1, 3, -1, I32):
            yield case(f"partition {partition}", 0, partition=partition)
        yield case("a partition twice", 3, more=[{"Partition": 0, "FetchOffset": 10, "PartitionMaxBytes": 1 << 20}])
        yield case("two partitions", 3, more=[{"Partition": 1, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20}])
        yield case("two partitions, one unknown", 3,
                   more=[{"Partition": 9, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20}])
        yield case("two partitions, one out of range", 3,
                   more=[{"Partition": 1, "FetchOffset": 5, "PartitionMaxBytes": 1 << 20}], max_wait=20000, min_bytes=1 << 20)
        yield Case("Fetch", "unknown topic", version, FETCH, fetch(version, "none", 0))
        yield Case("Fetch", "unknown id", version, FETCH, fetch(version, "none", 0, topic_id=UNKNOWN_ID))
        yield Case("Fetch", "bad name", version, FETCH, fetch(version, "a/b", 0))
        yield Case("Fetch", "no topics", version, FETCH, fetch(version, None, 0))
        for current in (-2, -1, 0, 1, 7):
            yield case(f"current epoch {current}", 3, current=current)
            yield case(f"current epoch {current}, unknown partition", 3, current=current, partition=9)
        for last in (-2, -1, 0, 1, 7):
            yield case(f"last epoch {last}", 5, last_epoch=last)
            yield case(f"last epoch {last} at the end", 22, last_epoch=last)
            yield case(f"last epoch {last} beyond the end", 40, last_epoch=last)
            yield case(f"last epoch {last} below the start", 0, last_epoch=last)
        yield case("a log start", 3, log_start=7)
        for replica in (0, 1, 5, -2, -3):
            yield case(f"replica {replica}", 3, replica=replica)
        if version >= 7:
            yield from session_cases(version, topic)


def session_cases(version, topic):
    memory = f"session of {version}"

    def keep(side, answer):
        side.memory[memory] = answer["SessionId"]

    def case(label, name, offset, epoch, then=None, **options):
        return Case("Fetch", f"session: {label}", version, FETCH,
                    fetch(version, name, offset, session=lambda side: side.memory.get(memory, 0), epoch=epoch, **options),
                    then=then)
    for epoch in (0, -1, 1, 2, -2, I32):
        yield Case("Fetch", f"session 0, epoch {epoch}", version, FETCH, fetch(version, topic, 3, session=0, epoch=epoch))
        yield Case("Fetch", f"session 12345, epoch {epoch}", version, FETCH,
                   fetch(version, topic, 3, session=12345, epoch=epoch))
        yield Case("Fetch", f"session -1, epoch {epoch}", version, FETCH,
                   fetch(version, topic, 3, session=-1, epoch=epoch))
    yield Case("Fetch", "session: open", version, FETCH, fetch(version, topic, 3, epoch=0, partition_max=500), then=keep)
    yield case("nothing new", None, 0, 1)
    yield case("further on", topic, 22, 2)
    yield case("nothing new at the end", None, 0, 3)
    yield case("wrong epoch", None, 0, 9)
    yield case("the same epoch", None, 0, 3)
    yield case("another partition", topic, 0, 4, partition=1)
    yield case("an unknown partition", topic, 0, 5, partition=9)
    yield case("an unknown topic", "none", 0, 6)
    yield case("nothing new, twice", None, 0, 7)
    yield case("forget", None, 0, 8, forgotten=[(topic, [1, 9]), ("none", [0])])
    yield case("forget what is not there", None, 0, 9, forgotten=[(topic, [1, 2]), ("none", [0])])
    yield case("out of range", topic, 500, 10)
    yield case("out of range, nothing new", None, 0, 11)
    yield case("forget and add", topic, 3, 12, forgotten=[(topic, [0])])
    yield case("close", None, 0, -1)
    yield case("after the close", None, 0, 13)
    yield Case("Fetch", "session: open again", version, FETCH, fetch(version, topic, 22, epoch=0), then=keep)
    yield case("replace", topic, 3, 0, then=keep)
    yield case("of the replaced", None, 0, 1)
    yield case("other version", None, 0, 2)
    yield Case("Fetch", "session: open empty", version, FETCH, fetch(version, None, 0, epoch=0), then=keep)


def list_offsets_cases(schemas):
    topic = "offsets"
    yield create(topic, 3)
    yield from fill(topic)
    def values(name, partitions, replica=-1, isolation=0):
        return {"ReplicaId": replica, "IsolationLevel": isolation, "TimeoutMs": 1000,
                "Topics": [{"Name": name, "Partitions": [
                    {"PartitionIndex": index, "Timestamp": timestamp, "CurrentLeaderEpoch": epoch}
                    for index, timestamp, epoch in partitions]}]}
    for version in versions(schemas, LIST_OFFSETS):
        case = lambda label, *arguments, **options: Case(
            "ListOffsets", label, version, LIST_OFFSETS, values(*arguments, **options))
        times = [*range(-8, 2), BASE - 1, BASE, BASE + 1, BASE + 2, BASE + 3, BASE + 5, BASE + 9, BASE + 10, BASE + 99,
                 BASE + 100, BASE + 105, BASE + 109, BASE + 110, BASE + 200, BASE + 201, BASE + 300, BASE + 301, I64, -I64 - 1]
        for timestamp in times:
            where = timestamp - BASE if timestamp > 2 else timestamp
            yield case(f"timestamp {where}", topic, [(0, timestamp, -1)])
            yield case(f"timestamp {where}, empty", topic, [(1, timestamp, -1)])
            yield case(f"timestamp {where}, committed", topic, [(0, timestamp, -1)], isolation=1)
            yield case(f"timestamp {where}, isolation 2", topic, [(0, timestamp, -1)], isolation=2)
            yield case(f"timestamp {where}, unknown", topic, [(9, timestamp, -1)])
            for replica in (0, 1, -2, -3, 5):
                yield case(f"timestamp {where}, replica {replica}", topic, [(0, timestamp, -1)], replica=replica)
            for epoch in (0, 1, 9, -2):
                yield case(f"timestamp {where}, epoch {epoch}", topic, [(0, timestamp, epoch)])
        for partition in (-1, 3, I32):
            yield case(f"partition {partition}", topic, [(partition, -1, -1)])
        yield case("twice", topic, [(0, -1, -1), (0, -1, -1)])
        yield case("twice, and another", topic, [(0, -1, -1), (0, -2, -1), (1, -1, -1)])
        yield case("unknown topic", "none", [(0, -1, -1)])
        yield case("bad name", "a/b", [(0, -1, -1)])
        yield case("no partitions", topic, [])
        yield Case("ListOffsets", "no topics", version, LIST_OFFSETS, {"ReplicaId": -1, "Topics": []})
        yield Case("ListOffsets", "a topic twice", version, LIST_OFFSETS, {"ReplicaId": -1, "Topics": [
            {"Name": topic, "Partitions": [{"PartitionIndex": index, "Timestamp": -1, "CurrentLeaderEpoch": -1}]}
            for index in (0, 0)]})
        yield Case("ListOffsets", "a topic twice, other partitions", version, LIST_OFFSETS, {"ReplicaId": -1, "Topics": [
            {"Name": topic, "Partitions": [{"PartitionIndex": index, "Timestamp": -1, "CurrentLeaderEpoch": -1}]}
            for index in (0, 1)]})
