"""What describes the cluster, and frames that are not as they should be."""
import struct

from protocol import NO_CLIENT_ID
from requests_of import *


def describe_cluster_cases(schemas):
    for version in versions(schemas, DESCRIBE_CLUSTER):
        ask = lambda label, **values: Case("DescribeCluster", label, version, DESCRIBE_CLUSTER, values)
        yield ask("plain")
        yield ask("operations", IncludeClusterAuthorizedOperations=True)
        if version >= 1:
            for kind in (0, 1, 2, 3):
                yield ask(f"endpoints {kind}", EndpointType=kind)
        if version >= 2:
            yield ask("with fenced ones", IncludeFencedBrokers=True)


def describe_partitions_cases(schemas):
    for name in ("dtp-a", "dtp-b", "dtp-c"):
        yield create(name, 3)

    def ask(label, names, limit=2000, cursor=None):
        return Case("DescribeTopicPartitions", label, 0, DESCRIBE_PARTITIONS,
                    {"Topics": [{"Name": name} for name in names], "ResponsePartitionLimit": limit,
                     "Cursor": cursor and {"TopicName": cursor[0], "PartitionIndex": cursor[1]}})
    names = ["dtp-c", "dtp-a", "dtp-b"]
    yield ask("three", names)
    for limit in (0, -1, 1, 2, 3, 4, 5, 6, 8, 9, 10, I32):
        yield ask(f"limit {limit}", names, limit)
        yield ask(f"limit {limit}, one topic", ["dtp-a"], limit)
    for cursor in (("dtp-a", 0), ("dtp-a", 1), ("dtp-a", 2), ("dtp-a", 3), ("dtp-b", 1), ("dtp-c", 2), ("dtp-c", 3),
                   ("dtp-bb", 0), ("dtp-z", 0), ("dtp-0", 1), ("dtp-b", -1), ("", 0), ("a/b", 0)):
        for limit in (2, 2000):
            yield ask(f"cursor {cursor}, limit {limit}", names, limit, cursor)
    yield ask("twice", ["dtp-a", "dtp-a"])
    yield ask("unknown", ["none"])
    yield ask("unknown and known", ["none", "dtp-a", "a/b", ""])
    yield ask("bad names", BAD_NAMES)


def api_versions_cases(schemas):
    served = {PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS, CREATE_TOPICS, DELETE_TOPICS, DELETE_RECORDS,
              INIT_PRODUCER_ID, DESCRIBE_CONFIGS, CREATE_PARTITIONS, ALTER_CONFIGS, DESCRIBE_CLUSTER, DESCRIBE_PARTITIONS}

    def only_served(side, answer):
        answer["ApiKeys"] = [each for each in answer["ApiKeys"] if each["ApiKey"] in served]
    for version in versions(schemas, API_VERSIONS):
        def ask(label, **values):
            return Case("ApiVersions", label, version, API_VERSIONS, values, then=only_served)
        yield ask("plain", ClientSoftwareName="test", ClientSoftwareVersion="1.0")
        if version >= 3:
            for name in ("", " ", "-a", "a-", "a b", "ä", "a.b-c", "x" * 300):
                yield ask(f"name {name[:10]!r}", ClientSoftwareName=name, ClientSoftwareVersion="1.0")
                yield ask(f"version {name[:10]!r}", ClientSoftwareName="test", ClientSoftwareVersion=name)


def frame_cases(schemas):
    def send(label, build):
        """The bytes of the answer, without its correlation id, which it must have."""
        def raw(side):
            side.connection.close()
            side.connection.open()
            side.connection.socket.settimeout(3)
            build(side.connection)
            answer = side.connection.receive_frame()
            return {"correlated": struct.unpack(">i", answer[:4])[0] == side.connection.correlation,
                    "error": struct.unpack(">h", answer[4:6])[0] if len(answer) >= 6 else None}
        return Case("frames", label, 0, raw=raw)

    def frame(key, version, flexible, body, **options):
        return lambda connection: connection.send_frame(connection.header(key, version, flexible, **options) + body)
    yield send("unknown API", frame(999, 0, False, b""))
    yield send("API -1", frame(-1, 0, False, b""))
    for key in (4, 5, 6, 7):
        yield send(f"API {key} of brokers", frame(key, 0, False, b""))
    for version in (-1, 5, 99, 32767):
        yield send(f"ApiVersions {version}", frame(18, version, True, b"\x02a\x02b\0"))
        yield send(f"ApiVersions {version}, rubbish", frame(18, version, False, b"\xff\xff\xff"))
    for version in (-1, 14, 99):
        yield send(f"Metadata {version}", frame(3, version, True, b"\0"))
    for version in (0, 1, 2):
        yield send(f"Produce {version}", frame(0, version, False, struct.pack(">hii", 1, 1000, 0)))
    for version in (0, 3):
        yield send(f"Fetch {version}", frame(1, version, False, b"\0" * 40))
    yield send("ListOffsets 0", frame(2, 0, False, struct.pack(">ii", -1, 0)))
    yield send("Metadata 1, nothing", frame(3, 1, False, b""))
    yield send("Metadata 1, cut", frame(3, 1, False, b"\0\0"))
    yield send("Metadata 1, count -2", frame(3, 1, False, struct.pack(">i", -2)))
    yield send("Metadata 0, null", frame(3, 0, False, struct.pack(">i", -1)))
    yield send("Metadata 1, count huge", frame(3, 1, False, struct.pack(">i", I32)))
    yield send("Metadata 1, name null", frame(3, 1, False, struct.pack(">ih", 1, -1)))
    yield send("Metadata 1, name no utf-8", frame(3, 1, False, struct.pack(">ih", 1, 2) + b"\xff\xfe"))
    yield send("Metadata 1, bytes too many", frame(3, 1, False, struct.pack(">i", 0) + b"abc"))
    yield send("Metadata 9, bytes too many", frame(3, 9, True, b"\x01\0\0\0\0" + b"abc"))
    yield send("Metadata 9, unknown tag", frame(3, 9, True, b"\x01\0\0\0" + b"\x01\x63\x02ab"))
    yield send("Metadata 9, tag twice", frame(3, 9, True, b"\x01\0\0\0" + b"\x02\x63\x01a\x63\x01b"))
    yield send("Metadata 9, tag beyond", frame(3, 9, True, b"\x01\0\0\0" + b"\x01\x63\x20ab"))
    yield send("Metadata 9, varint too long", frame(3, 9, True, b"\xff" * 12))
    yield send("Metadata 12, bool 7", frame(3, 12, True, b"\x01\x07\x07\0"))
    yield send("client id null", frame(3, 1, False, struct.pack(">i", 0), client_id=None))
    yield send("client id null, flexible", frame(3, 9, True, b"\x01\0\0\0\0", client_id=None))
    yield send("client id empty", frame(3, 1, False, struct.pack(">i", 0), client_id=""))
    yield send("no client id", frame(3, 1, False, b"", client_id=NO_CLIENT_ID))
    yield send("header cut", lambda connection: connection.send_frame(b"\0\x03\0"))
    yield send("header tags cut", lambda connection: connection.send_frame(connection.header(3, 9, False)))
    yield send("empty frame", lambda connection: connection.send_frame(b""))
    yield send("frame length negative", lambda connection: connection.send_frame(b"", -1))
    yield send("frame length huge", lambda connection: connection.send_frame(b"", I32))
    yield send("TLS", lambda connection: connection.socket.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"))
    yield send("HTTP", lambda connection: connection.socket.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
