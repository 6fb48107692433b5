"""One suite, three Python clients: librdkafka (confluent-kafka), kafka-python and aiokafka.

usage: suite.py confluent|kafka-python|aiokafka BOOTSTRAP
Each case prints one line; the last line is `N passed, N failed`.
"""
import asyncio
import sys
import time
import traceback

RECORDS = 300
BASE_TIMESTAMP_MS = 1_700_000_000_000
STEP_MS = 1_000
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def record(codec, index):
    """The record number `index` that every case writes: key, value, headers, timestamp."""
    key = None if index % 10 == 9 else f"key-{index}".encode()
    value = f"{codec}-{index}-".encode() + b"x" * (index % 97)
    headers = [("index", str(index).encode()), ("empty", b""), ("codec", codec.encode())]
    return key, value, headers, BASE_TIMESTAMP_MS + index * STEP_MS


class Confluent:
    def __init__(self, bootstrap):
        import confluent_kafka
        from confluent_kafka.admin import AdminClient
        self.lib = confluent_kafka
        self.bootstrap = bootstrap
        self.admin = AdminClient({"bootstrap.servers": bootstrap})

    def create(self, topic, partitions):
        from confluent_kafka.admin import NewTopic
        for future in self.admin.create_topics([NewTopic(topic, partitions, 1)]).values():
            future.result(20)

    def delete(self, topic):
        for future in self.admin.delete_topics([topic]).values():
            future.result(20)

    def topics(self):
        return set(self.admin.list_topics(timeout=20).topics)

    def produce(self, topic, codec, **extra):
        failures = []
        producer = self.lib.Producer({
            "bootstrap.servers": self.bootstrap, "compression.type": codec, "linger.ms": 5, **extra})
        offsets = {}

        def delivered(index):
            def callback(error, message):
                if error:
                    failures.append(error)
                else:
                    offsets[index] = message.offset()
            return callback

        for index in range(RECORDS):
            key, value, headers, timestamp = record(codec, index)
            producer.produce(topic, value, key, 0, on_delivery=delivered(index), timestamp=timestamp, headers=headers)
        assert producer.flush(30) == 0, "flush timed out"
        assert not failures, failures[:3]
        return [offsets[index] for index in range(RECORDS)]

    def _consumer(self):
        return self.lib.Consumer({
            "bootstrap.servers": self.bootstrap, "group.id": "unused", "enable.auto.commit": False,
            "enable.partition.eof": True, "check.crcs": True})

    def consume(self, topic, offset, isolation=None):
        consumer = self._consumer()
        start = self.lib.OFFSET_BEGINNING if offset is None else offset
        consumer.assign([self.lib.TopicPartition(topic, 0, start)])
        found, deadline = [], time.time() + 30
        while time.time() < deadline:
            message = consumer.poll(1)
            if message is None:
                continue
            if message.error():
                if message.error().code() == self.lib.KafkaError._PARTITION_EOF:
                    break
                raise Exception(message.error())
            found.append((message.offset(), message.key(), message.value(),
                          [(k, v) for k, v in message.headers() or []], message.timestamp()[1]))
        else:
            raise Exception("no end of partition within 30 s")
        consumer.close()
        return found

    def offset_at(self, topic, timestamp):
        consumer = self._consumer()
        found = consumer.offsets_for_times([self.lib.TopicPartition(topic, 0, timestamp)], 20)[0].offset
        consumer.close()
        return found

    def watermarks(self, topic):
        consumer = self._consumer()
        found = consumer.get_watermark_offsets(self.lib.TopicPartition(topic, 0), 20, False)
        consumer.close()
        return found

    def configs(self, topic):
        from confluent_kafka.admin import ConfigResource
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        entries = self.admin.describe_configs([resource])[resource].result(20)
        return {name: entry.value for name, entry in entries.items()}

    def set_config(self, topic, name, value):
        from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource
        entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
        self.admin.incremental_alter_configs([resource])[resource].result(20)

    def grow(self, topic, partitions):
        from confluent_kafka.admin import NewPartitions
        self.admin.create_partitions([NewPartitions(topic, partitions)])[topic].result(20)

    def partitions(self, topic):
        return len(self.admin.list_topics(topic, timeout=20).topics[topic].partitions)

    def delete_records(self, topic, before):
        partition = self.lib.TopicPartition(topic, 0, before)
        return self.admin.delete_records([partition])[partition].result(20).low_watermark


class KafkaPython:
    def __init__(self, bootstrap):
        import kafka
        from kafka.admin import KafkaAdminClient
        self.lib = kafka
        self.bootstrap = bootstrap
        self.admin = KafkaAdminClient(bootstrap_servers=bootstrap)

    def create(self, topic, partitions):
        from kafka.admin import NewTopic
        self.admin.create_topics([NewTopic(topic, partitions, 1)])

    def delete(self, topic):
        self.admin.delete_topics([topic])

    def topics(self):
        return set(self.admin.list_topics())

    def produce(self, topic, codec, **extra):
        producer = self.lib.KafkaProducer(
            bootstrap_servers=self.bootstrap, compression_type=None if codec == "none" else codec,
            linger_ms=5, acks="all", **extra)
        futures = []
        for index in range(RECORDS):
            key, value, headers, timestamp = record(codec, index)
            futures.append(producer.send(topic, value=value, key=key, headers=headers, partition=0,
                                         timestamp_ms=timestamp))
        producer.flush(30)
        offsets = [future.get(30).offset for future in futures]
        producer.close()
        return offsets

    def _consumer(self):
        return self.lib.KafkaConsumer(
            bootstrap_servers=self.bootstrap, enable_auto_commit=False, consumer_timeout_ms=30_000)

    def consume(self, topic, offset):
        consumer = self._consumer()
        partition = self.lib.TopicPartition(topic, 0)
        consumer.assign([partition])
        end = consumer.end_offsets([partition])[partition]
        if offset is None:
            consumer.seek_to_beginning(partition)
        else:
            consumer.seek(partition, offset)
        found = []
        while consumer.position(partition) < end:
            for message in consumer.poll(1000).get(partition, []):
                found.append((message.offset, message.key, message.value,
                              [(k, v) for k, v in message.headers], message.timestamp))
        consumer.close()
        return found

    def offset_at(self, topic, timestamp):
        consumer = self._consumer()
        partition = self.lib.TopicPartition(topic, 0)
        found = consumer.offsets_for_times({partition: timestamp})[partition].offset
        consumer.close()
        return found

    def watermarks(self, topic):
        consumer = self._consumer()
        partition = self.lib.TopicPartition(topic, 0)
        found = consumer.beginning_offsets([partition])[partition], consumer.end_offsets([partition])[partition]
        consumer.close()
        return found

    def _resource(self, topic, configs=None):
        from kafka.admin import ConfigResource, ConfigResourceType
        return ConfigResource(ConfigResourceType.TOPIC, topic, configs)

    def configs(self, topic):
        described = self.admin.describe_configs([self._resource(topic)], config_filter="all")
        return {name: entry["value"] for name, entry in described["topic"][topic].items()}

    def set_config(self, topic, name, value):
        outcome = self.admin.alter_configs([self._resource(topic, {name: value})])["topic"][topic]
        if outcome != "OK":
            raise Exception(outcome)

    def grow(self, topic, partitions):
        from kafka.admin import NewPartitions
        self.admin.create_partitions({topic: NewPartitions(partitions)})

    def partitions(self, topic):
        return len(self.admin.describe_topics([topic])[0]["partitions"])

    def delete_records(self, topic, before):
        partition = self.lib.TopicPartition(topic, 0)
        return self.admin.delete_records({partition: before})[partition]["low_watermark"]


class AioKafka:
    def __init__(self, bootstrap):
        import aiokafka
        import aiokafka.admin
        self.lib = aiokafka
        self.bootstrap = bootstrap
        self.loop = asyncio.new_event_loop()

        async def connected():
            admin = aiokafka.admin.AIOKafkaAdminClient(bootstrap_servers=bootstrap)
            await admin.start()
            return admin
        self.admin = self._run(connected())

    def _run(self, work):
        return self.loop.run_until_complete(asyncio.wait_for(work, 60))

    def close(self):
        self._run(self.admin.close())

    async def _with_consumer(self, topic, work):
        consumer = self.lib.AIOKafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            partition = self.lib.TopicPartition(topic, 0)
            consumer.assign([partition])
            return await work(consumer, partition)
        finally:
            await consumer.stop()

    def create(self, topic, partitions):
        self._run(self.admin.create_topics([self.lib.admin.NewTopic(topic, partitions, 1)]))

    def delete(self, topic):
        self._run(self.admin.delete_topics([topic]))

    def topics(self):
        return set(self._run(self.admin.list_topics()))

    def produce(self, topic, codec, **extra):
        async def work():
            producer = self.lib.AIOKafkaProducer(
                bootstrap_servers=self.bootstrap, compression_type=None if codec == "none" else codec,
                linger_ms=5, **extra)
            await producer.start()
            try:
                futures = []
                for index in range(RECORDS):
                    key, value, headers, timestamp = record(codec, index)
                    futures.append(await producer.send(topic, value=value, key=key, headers=headers, partition=0,
                                                       timestamp_ms=timestamp))
                return [(await future).offset for future in futures]
            finally:
                await producer.stop()
        return self._run(work())

    def consume(self, topic, offset):
        async def work(consumer, partition):
            end = (await consumer.end_offsets([partition]))[partition]
            first = (await consumer.beginning_offsets([partition]))[partition]
            # Not seek_to_beginning: it races with the reset to the end that an assignment begins.
            consumer.seek(partition, first if offset is None else offset)
            found = []
            while await consumer.position(partition) < end:
                for message in (await consumer.getmany(timeout_ms=1000)).get(partition, []):
                    found.append((message.offset, message.key, message.value, list(message.headers),
                                  message.timestamp))
            return found
        return self._run(self._with_consumer(topic, work))

    def offset_at(self, topic, timestamp):
        async def work(consumer, partition):
            return (await consumer.offsets_for_times({partition: timestamp}))[partition].offset
        return self._run(self._with_consumer(topic, work))

    def watermarks(self, topic):
        async def work(consumer, partition):
            return ((await consumer.beginning_offsets([partition]))[partition],
                    (await consumer.end_offsets([partition]))[partition])
        return self._run(self._with_consumer(topic, work))


def expect(found, codec, offsets, first):
    wanted = []
    for index in range(first, RECORDS):
        key, value, headers, timestamp = record(codec, index)
        wanted.append((offsets[index], key, value, headers, timestamp))
    assert len(found) == len(wanted), f"{len(found)} records, expected {len(wanted)}"
    for got, want in zip(found, wanted):
        assert got == want, f"got {got}, expected {want}"


def round_trip(client, topic, codec, **extra):
    offsets = client.produce(topic, codec, **extra)
    assert offsets == list(range(offsets[0], offsets[0] + RECORDS)), "offsets are not consecutive"
    expect(client.consume(topic, None), codec, offsets, 0)
    expect(client.consume(topic, offsets[117]), codec, offsets, 117)
    at = client.offset_at(topic, BASE_TIMESTAMP_MS + 41 * STEP_MS - 1)
    assert at == offsets[41], f"timestamp lookup found {at}, expected {offsets[41]}"
    expect(client.consume(topic, at), codec, offsets, 41)
    assert client.watermarks(topic) == (offsets[0], offsets[-1] + 1)


def administration(client, topic):
    client.set_config(topic, "retention.ms", "123456789")
    assert client.configs(topic)["retention.ms"] == "123456789"
    try:
        client.set_config(topic, "segment.bytes", "-5")
    except Exception as error:
        assert "segment.bytes" in str(error), error
    else:
        raise AssertionError("a bad value was accepted")
    client.grow(topic, 4)
    deadline = time.time() + 10
    while client.partitions(topic) != 4:
        assert time.time() < deadline, "partitions did not appear"
        time.sleep(0.1)
    assert client.delete_records(topic, 100) == 100
    assert client.watermarks(topic)[0] == 100


def wait_gone(client, topic):
    deadline = time.time() + 10
    while topic in client.topics():
        assert time.time() < deadline, f"{topic} is still listed"
        time.sleep(0.2)


def main():
    name, bootstrap = sys.argv[1:3]
    client = {"confluent": Confluent, "kafka-python": KafkaPython, "aiokafka": AioKafka}[name](bootstrap)
    passed = failed = 0

    def case(label, run):
        nonlocal passed, failed
        try:
            run()
            passed += 1
            print(f"ok    {name}: {label}")
        except Exception:
            failed += 1
            print(f"FAIL  {name}: {label}")
            traceback.print_exc()

    for codec in CODECS:
        topic = f"{name}-{codec}"
        case(f"create {topic}", lambda: client.create(topic, 2))
        case(f"round trip {codec}", lambda: round_trip(client, topic, codec))
    idempotence = {"confluent": "enable.idempotence", "kafka-python": "enable_idempotence",
                   "aiokafka": "enable_idempotence"}[name]
    topic_idempotent = f"{name}-idempotent"
    case("idempotent, topic auto-created",
         lambda: round_trip(client, topic_idempotent, "lz4", **{idempotence: True}))
    if name == "confluent":
        for acks in ["0", "1"]:
            topic = f"{name}-acks-{acks}"
            case(f"create {topic}", lambda: client.create(topic, 1))
            case(f"acks={acks}", lambda: client.produce(topic, "none", acks=acks) and None)
    if name != "aiokafka":
        case("configs, partitions, delete records", lambda: administration(client, topic_idempotent))
    doomed = f"{name}-doomed"
    case(f"create {doomed}", lambda: client.create(doomed, 3))
    case(f"delete {doomed}", lambda: client.delete(doomed))
    case(f"{doomed} is gone", lambda: wait_gone(client, doomed))
    if name == "aiokafka":
        client.close()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
