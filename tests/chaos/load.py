"""The load: a producer and a consumer, each a process of its own with librdkafka inside, watched through shared memory.

A record says its key and its number in the key's sequence. All records of a key go to one partition, in order.
"""
import functools
import multiprocessing
import time

KEYS_PER_PARTITION = 4
PADDING = b"." * 80
# The producer sends what is due this often.
TICK = 0.005

CLIENT = {
    # By default librdkafka waits up to 10 s between two attempts to connect, and 30 s for one.
    "reconnect.backoff.max.ms": 500,
    "socket.connection.setup.timeout.ms": 3000,
    # What a paused broker has not answered by then is sent to the next leader.
    "socket.timeout.ms": 5000,
    # Connections are lost all the time here; the client tells of each.
    "log_level": 0,
}


def value(key, number):
    return b"%d:%d:" % (key, number) + PADDING


class Shared:
    """What both processes and their watcher see."""

    def __init__(self, partitions):
        self.partitions = partitions
        self.sent = multiprocessing.RawValue("q")
        self.acknowledged = multiprocessing.RawValue("q")
        self.failed = multiprocessing.RawValue("q")
        self.consumed = multiprocessing.RawValue("q")
        self.stop = multiprocessing.Event()
        # Of records sent since then the first acknowledgement counts; when it came, per partition (0: not yet).
        self.fault_at = multiprocessing.RawValue("d")
        self.first_after = multiprocessing.RawArray("d", partitions)
        # How long the slowest record so far took to be acknowledged.
        self.slowest = multiprocessing.RawValue("d")

    def forget_first(self):
        """No acknowledgement counts until `count_from_now`."""
        self.fault_at.value = float("inf")
        for partition in range(self.partitions):
            self.first_after[partition] = 0

    def count_from_now(self):
        """The first acknowledgement of each partition counts, if its record was sent after this."""
        self.fault_at.value = time.monotonic()


class Worker:
    """A process that runs a function until it is stopped, and then gives its result."""

    def __init__(self, function, *arguments):
        # Forked before any thread of librdkafka runs here.
        context = multiprocessing.get_context("fork")
        self.receiver, sender = context.Pipe(duplex=False)
        self.process = context.Process(target=_run, args=(sender, function, *arguments), daemon=True)
        self.process.start()
        sender.close()

    def check_alive(self):
        if not self.process.is_alive() and not self.receiver.poll():
            raise RuntimeError(f"a client ended with code {self.process.exitcode}")

    def result(self, seconds):
        if not self.receiver.poll(seconds):
            raise RuntimeError(f"a client was not done within {seconds} s")
        failure, result = self.receiver.recv()
        self.process.join()
        if failure:
            raise RuntimeError(failure)
        return result


def _run(sender, function, *arguments):
    try:
        sender.send((None, function(*arguments)))
    except KeyboardInterrupt:
        pass
    except Exception as error:
        sender.send((f"{function.__name__}: {error!r}", None))


# Acknowledged, but the broker no longer knew where the record is: it was sent twice, and its batch is an old one.
SOMEWHERE = -1


class Sent:
    """What became of each record: per key its offsets, None where it is not acknowledged; the errors of those failed."""

    def __init__(self, keys):
        self.offsets = [[] for _ in range(keys)]
        self.errors = {}
        self.unanswered = 0


def produce(bootstrap, topic, rate, shared, drain_seconds):
    """Sends `rate` records a second with acks=all until `shared.stop`, then waits for what is owed."""
    import confluent_kafka
    producer = confluent_kafka.Producer({
        **CLIENT, "bootstrap.servers": bootstrap, "client.id": "chaos-producer", "acks": "all",
        "enable.idempotence": True, "linger.ms": 5, "request.timeout.ms": 5000,
        # Longer than any fault: a record that fails has failed for good reason.
        "message.timeout.ms": 600_000, "queue.buffering.max.messages": 2_000_000,
        "queue.buffering.max.kbytes": 1_000_000})
    keys = shared.partitions * KEYS_PER_PARTITION
    sent = Sent(keys)

    def told(key, number, partition, at, error, message):
        now = time.monotonic()
        if error is not None:
            sent.errors[key, number] = str(error)
            shared.failed.value += 1
            return
        offset = message.offset()
        sent.offsets[key][number] = SOMEWHERE if offset is None else offset
        shared.acknowledged.value += 1
        shared.slowest.value = max(shared.slowest.value, now - at)
        if at >= shared.fault_at.value and not shared.first_after[partition]:
            shared.first_after[partition] = now

    begun, count = time.monotonic(), 0
    while not shared.stop.is_set():
        due = int((time.monotonic() - begun) * rate)
        while count < due:
            key = count % keys
            partition, number = key % shared.partitions, len(sent.offsets[key])
            sent.offsets[key].append(None)
            producer.produce(topic, value(key, number), b"%d" % key, partition,
                             on_delivery=functools.partial(told, key, number, partition, time.monotonic()))
            count += 1
        shared.sent.value = count
        producer.poll(0)
        time.sleep(TICK)
    sent.unanswered = producer.flush(drain_seconds)
    return sent


class Found:
    """What was read: per partition, in order, (offset, key, number)."""

    def __init__(self, partitions):
        self.records = [[] for _ in range(partitions)]
        self.errors = []


def consume(bootstrap, topic, shared, ends):
    """Reads all partitions from their beginning, up to the ends that `ends` (a queue) gives some time."""
    import confluent_kafka
    consumer = confluent_kafka.Consumer({
        **CLIENT, "bootstrap.servers": bootstrap, "client.id": "chaos-consumer", "group.id": "unused",
        "enable.auto.commit": False, "check.crcs": True,
        # A position that the leader does not have is a record that it lost.
        "auto.offset.reset": "error"})
    found = Found(shared.partitions)
    consumer.assign([confluent_kafka.TopicPartition(topic, partition, 0) for partition in range(shared.partitions)])
    wanted = None
    while wanted is None or any(_end(records) < end for records, end in zip(found.records, wanted)):
        if wanted is None and not ends.empty():
            wanted = ends.get()
        for message in consumer.consume(1000, 0.1):
            error = message.error()
            if error is None:
                key, number = message.value().split(b":", 2)[:2]
                found.records[message.partition()].append((message.offset(), int(key), int(number)))
                shared.consumed.value += 1
            elif not error.retriable() and error.code() not in LOST_CONNECTION:
                found.errors.append(str(error))
                if error.fatal() or error.code() == confluent_kafka.KafkaError._AUTO_OFFSET_RESET:
                    return found
    consumer.close()
    return found


# _ALL_BROKERS_DOWN, _TRANSPORT, _TIMED_OUT, _RESOLVE: told, and gone on from.
LOST_CONNECTION = (-187, -195, -185, -193)


def _end(records):
    return records[-1][0] + 1 if records else 0
