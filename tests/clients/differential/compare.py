"""The same requests to two brokers, Apache Kafka and Ottla; every answer that differs is printed.

usage: compare.py KAFKA_CLIENTS_JAR KAFKA_ADDRESS OTTLA_ADDRESS [API ...]

Compared is every field of every answer. Masked beforehand: what names a broker (host, port), identities (topic
ids become the topic's name, producer and session ids a word), and the present time. Messages in words are
compared by whether there is one. Differences that are meant stand in `expected.py`, each with its reason; one
that is expected and does not show fails too. Both brokers want num.partitions=4 and nothing else configured.
"""
import re
import sys
import time
import uuid

import cases
from batches import headers_of
from expected import EXPECTED
from protocol import Closed, Connection, load_schemas

WORDS = {"ErrorMessage", "BatchIndexErrorMessage"}
HERE = {"Host", "Port", "ClusterId"}


class Side:
    """One of the brokers, and what is known of it."""

    def __init__(self, name, address, schemas):
        self.name = name
        self.connection = Connection(address, schemas)
        self.ids = {}
        self.memory = {}

    def id_of(self, topic):
        return self.ids.get(topic, uuid.UUID(int=0))

    def learn_topics(self):
        try:
            answer = self.connection.request(3, 12, {"Topics": None})
        except Closed:
            # The case before had no answer, and the broker closed after it.
            answer = self.connection.request(3, 12, {"Topics": None})
        self.ids.update({topic["Name"]: topic["TopicId"] for topic in answer["Topics"]})

    def name_of(self, topic_id):
        for name, known in self.ids.items():
            if known == topic_id:
                return f"id of {name}"
        return "no id" if topic_id.int == 0 else "an unknown id"


def masked(side, value, name=""):
    if isinstance(value, dict):
        return {key: masked(side, each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [masked(side, each, name) for each in value]
    if isinstance(value, uuid.UUID):
        return side.name_of(value)
    if name in WORDS:
        return value if value is None else "words"
    if name in HERE:
        return "here"
    if name in ("ProducerId", "SessionId") and isinstance(value, int) and value > 0:
        return "some"
    if name == "ThrottleTimeMs":
        return value
    if isinstance(value, bytes):
        return [tuple(now(each) for each in header) for header in headers_of(value)]
    return now(value)


def now(value):
    present = isinstance(value, int) and abs(value - time.time() * 1000) < 600_000
    return "now" if present else value


def run(side, case):
    """The masked answer of one broker, or what happened instead."""
    try:
        if case.raw is not None:
            return masked(side, case.raw(side))
        values = case.values(side) if callable(case.values) else case.values
        answer = side.connection.request(case.key, case.version, values, case.answered)
        if case.then:
            case.then(side, answer)
        return masked(side, answer)
    except Closed:
        return "closed"
    except TimeoutError:
        side.connection.close()
        return "no answer"


def differences(left, right, path=""):
    """Paths at which two masked answers differ."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(set(left) | set(right)):
            yield from differences(left.get(key, "absent"), right.get(key, "absent"), f"{path}.{key}")
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for one, other in zip(left, right):
            name = one.get("Name") if isinstance(one, dict) and path.endswith(".Configs") else ""
            yield from differences(one, other, f"{path}[{name}]")
    elif left != right:
        yield path, left, right


def sort_lists(value):
    """Collections that Kafka keeps in hash maps come in any order."""
    if isinstance(value, dict):
        return {key: sort_lists(each) for key, each in value.items()}
    if isinstance(value, list):
        return sorted((sort_lists(each) for each in value), key=repr_key)
    return value


def repr_key(value):
    if isinstance(value, dict):
        for name in ("Name", "PartitionIndex", "Partition", "Index", "ConfigName", "ResourceName"):
            if name in value and value[name] is not None:
                return name, str(value[name]).rjust(12), repr(value)
    return "", "", repr(value)


def main():
    jar, kafka, ottla = sys.argv[1:4]
    wanted = sys.argv[4:]
    schemas = load_schemas(jar)
    sides = [Side("kafka", kafka, schemas), Side("ottla", ottla, schemas)]
    count = unexpected = 0
    seen, met, differed = {}, set(), False
    for case in cases.all_cases(schemas, wanted):
        left, right = (sort_lists(run(side, case)) for side in sides)
        if case.api == "setup":
            for side in sides:
                side.learn_topics()
        count += 1
        if case.effect and differed:
            continue
        differed = left != right
        for path, one, other in differences(left, right):
            label = f"{case.api} {case.label} {path}"
            reason = next((pattern for pattern in EXPECTED if re.search(pattern, f"{label}: {one!r} / {other!r}")), None)
            if reason:
                met.add(reason)
                continue
            unexpected += 1
            seen.setdefault((label, repr(one)[:300], repr(other)[:300]), []).append(case.version)
    for (label, one, other), versions in seen.items():
        print(f"{label} v{min(versions)}-{max(versions)}:\n    kafka {one}\n    ottla {other}")
    for pattern in [] if wanted else EXPECTED:
        if pattern not in met:
            unexpected += 1
            print(f"expected and not seen: {pattern}")
    print(f"{count} requests to each, {unexpected} unexpected differences, {len(met)} kinds expected")
    sys.exit(unexpected > 0)


if __name__ == "__main__":
    main()
