"""The clients: rdkafka_performance for rates, librdkafka itself where every acknowledgement is looked at, and a few
requests of Kafka's protocol to ask a cluster for its state."""
import collections
import ctypes
import pathlib
import re
import socket
import struct
import subprocess
import threading
import time

NEVER = str(2**63 - 1)


def create_topic(options, servers, topic, partitions, synced):
    subprocess.run([options.ottla, "topics", "create", topic, "--partitions", str(partitions),
                    "--replication-factor", str(servers.replication),
                    "--config", f"min.insync.replicas={(servers.replication + 1) // 2}",
                    "--config", f"flush.messages={1 if synced else NEVER}",
                    "--bootstrap-server", servers.bootstrap],
                   check=True, stdout=subprocess.DEVNULL)


def performance(options, servers, arguments):
    command = [options.rdkafka_performance, "-b", servers.bootstrap, "-X", "broker.address.family=v4", "-q"] + arguments
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process, seconds=300):
    output, _ = process.communicate(timeout=seconds)
    found = re.findall(r"in (\d+)ms: (\d+) msgs/s", output)
    if process.returncode != 0 or not found:
        raise SystemExit(f"rdkafka_performance failed:\n{output[-2000:]}")
    milliseconds, rate = found[-1]
    failed = re.search(r"(\d+) failed", output)
    if failed and int(failed[1]):
        raise SystemExit(f"messages failed:\n{output[-2000:]}")
    return int(rate), int(milliseconds)


def produce(options, servers, topic, partitions, size, count):
    return finish(performance(options, servers, [
        "-P", "-t", topic, "-s", str(size), "-c", str(count), "-a", "-1", "-X", "linger.ms=5",
        "-X", "queue.buffering.max.messages=500000", "-X", "sticky.partitioning.linger.ms=0"]
        + (["-p", "0"] if partitions == 1 else [])))


def consume(options, servers, topic, partitions, count):
    chosen = [text for index in range(partitions) for text in ("-p", str(index))]
    return finish(performance(options, servers, [
        "-C", "-t", topic, "-c", str(count), "-o", "beginning", "-X", "fetch.wait.max.ms=10"] + chosen))


class Message(ctypes.Structure):
    """librdkafka's rd_kafka_message_t."""
    _fields_ = [("error", ctypes.c_int), ("topic", ctypes.c_void_p), ("partition", ctypes.c_int32),
                ("payload", ctypes.c_void_p), ("length", ctypes.c_size_t), ("key", ctypes.c_void_p),
                ("key_length", ctypes.c_size_t), ("offset", ctypes.c_int64), ("private", ctypes.c_void_p)]


DELIVERED = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.POINTER(Message), ctypes.c_void_p)
PRODUCER, UNKNOWN_PARTITION, COPY = 0, -190, 2


class Producer:
    """librdkafka's producer, idempotent, acks=all: calls `acknowledged(partition, number)` for every record, from a
    thread of its own. A record that fails ends the run."""

    def __init__(self, options, servers, topic, acknowledged):
        library = ctypes.CDLL(str(pathlib.Path(options.rdkafka_performance).parents[1] / "src/librdkafka.so.1"))
        for function in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_topic_new"):
            getattr(library, function).restype = ctypes.c_void_p
        self.library, self.acknowledged = library, acknowledged
        error = ctypes.create_string_buffer(512)
        config = ctypes.c_void_p(library.rd_kafka_conf_new())
        for name, value in (("bootstrap.servers", servers.bootstrap), ("enable.idempotence", "true"),
                            ("linger.ms", "0"), ("broker.address.family", "v4"), ("log_level", "0"),
                            # A second of back-off, which is the default's end, would say nothing of the brokers.
                            ("retry.backoff.ms", "50"), ("retry.backoff.max.ms", "50"),
                            ("topic.metadata.refresh.fast.interval.ms", "50")):
            if library.rd_kafka_conf_set(config, name.encode(), value.encode(), error, len(error)) != 0:
                raise SystemExit(error.value.decode())
        # The library calls it as long as the producer lives.
        self.delivered = DELIVERED(self.deliver)
        library.rd_kafka_conf_set_dr_msg_cb(config, self.delivered)
        self.client = ctypes.c_void_p(library.rd_kafka_new(PRODUCER, config, error, len(error)))
        if not self.client:
            raise SystemExit(error.value.decode())
        self.topic = ctypes.c_void_p(library.rd_kafka_topic_new(self.client, topic.encode(), None))
        self.failure, self.running = None, True
        self.polling = threading.Thread(target=self.poll, daemon=True)
        self.polling.start()

    def deliver(self, _client, message, _opaque):
        message = message.contents
        if message.error:
            self.failure = f"a record was not acknowledged: error {message.error}"
        else:
            number = struct.unpack(">q", ctypes.string_at(message.payload, 8))[0]
            self.acknowledged(message.partition, number)

    def poll(self):
        while self.running:
            self.library.rd_kafka_poll(self.client, 50)

    def send(self, partition, number, size=100):
        if self.failure:
            raise SystemExit(self.failure)
        payload = struct.pack(">q", number).ljust(size, b".")
        sent = self.library.rd_kafka_produce(self.topic, ctypes.c_int32(partition), COPY, payload,
                                             ctypes.c_size_t(size), None, ctypes.c_size_t(0), None)
        if sent != 0:
            raise SystemExit(f"librdkafka takes no record: error {self.library.rd_kafka_last_error()}")

    def close(self, seconds=60):
        self.library.rd_kafka_flush(self.client, seconds * 1000)
        self.running = False
        self.polling.join()
        if self.failure:
            raise SystemExit(self.failure)


def ask(port, key, version, body, flexible=False):
    """A request of Kafka's protocol; the answer without its header."""
    header = struct.pack(">hhih", key, version, 1, -1) + (b"\0" if flexible else b"")
    with socket.create_connection(("127.0.0.1", port), 5) as stream:
        stream.settimeout(10)
        stream.sendall(struct.pack(">i", len(header) + len(body)) + header + body)
        length = struct.unpack(">i", exactly(stream, 4))[0]
        return exactly(stream, length)[5 if flexible else 4:]


def exactly(stream, count):
    data = bytearray()
    while len(data) < count:
        piece = stream.recv(count - len(data))
        if not piece:
            raise OSError("the connection was closed")
        data += piece
    return bytes(data)


Partition = collections.namedtuple("Partition", "error leader replicas isr")


def describe(port, topic):
    """The partitions of a topic, by index, as a broker knows them (Metadata v1)."""
    name = topic.encode()
    reader = Reader(ask(port, 3, 1, struct.pack(">ih", 1, len(name)) + name))
    for _ in range(reader.int32()):
        reader.int32(), reader.text(), reader.int32(), reader.text()
    reader.int32()
    assert reader.int32() == 1, "one topic was asked for"
    reader.int16(), reader.text(), reader.int8()
    partitions = {}
    for _ in range(reader.int32()):
        error, index, leader = reader.int16(), reader.int32(), reader.int32()
        partitions[index] = Partition(error, leader, reader.int32s(), reader.int32s())
    return partitions


def active_controller(port):
    """Who leads the metadata quorum (DescribeQuorum v0)."""
    name = b"__cluster_metadata"
    body = bytes([2, len(name) + 1]) + name + bytes([2]) + struct.pack(">i", 0) + bytes([0, 0, 0])
    reader = Reader(ask(port, 55, 0, body, flexible=True))
    reader.int16(), reader.int8(), reader.take(reader.int8() - 1), reader.int8(), reader.int32(), reader.int16()
    return reader.int32()


def elect_preferred_leaders(port):
    """Gives all partitions back to the first of their replicas (ElectLeaders v1)."""
    error = Reader(ask(port, 43, 1, struct.pack(">bii", 0, -1, 10_000)))
    error.int32()
    code = error.int16()
    if code != 0:
        raise SystemExit(f"preferred leaders are not elected: error {code}")


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        return self.data[self.at - count:self.at]

    def int8(self):
        return self.take(1)[0]

    def int16(self):
        return struct.unpack(">h", self.take(2))[0]

    def int32(self):
        return struct.unpack(">i", self.take(4))[0]

    def int32s(self):
        return [self.int32() for _ in range(self.int32())]

    def text(self):
        return self.take(max(self.int16(), 0))


def wait_until(what, condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds} s: {what}")
        time.sleep(0.05)
