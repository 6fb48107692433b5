"""What was sent, what was acknowledged and what was read: do they agree?"""
from load import SOMEWHERE


def check(sent, live, again):
    """What is wrong with a run: one line for each kind of it. Nothing, if nothing was lost."""
    complaints = []
    if sent.unanswered:
        complaints.append(f"{sent.unanswered} records were neither acknowledged nor failed in time")
    for (key, number), error in sorted(sent.errors.items())[:5]:
        complaints.append(f"record {number} of key {key} failed: {error}")
    if len(sent.errors) > 5:
        complaints.append(f"{len(sent.errors)} records failed in all")
    for name, found in (("the consumer beside", live), ("the consumer afterwards", again)):
        complaints += [f"{name}: {error}" for error in found.errors]
        complaints += [f"{name}: {line}" for line in _sequences(sent, found)]
    for partition, (earlier, later) in enumerate(zip(live.records, again.records)):
        if earlier != later:
            differing = next((pair for pair in zip(earlier, later) if pair[0] != pair[1]), "one is longer")
            complaints.append(f"partition {partition} was read twice, and differently: {differing}")
    return complaints


def _sequences(sent, found):
    """Per key: every acknowledged record once, at its offset, in order; none that was not sent."""
    numbers = [[] for _ in sent.offsets]
    for partition, records in enumerate(found.records):
        before = -1
        for offset, key, number in records:
            if offset <= before:
                yield f"partition {partition}: offset {offset} came after {before}"
            before = offset
            numbers[key].append(number)
            if number >= len(sent.offsets[key]):
                yield f"record {number} of key {key} was never sent"
            elif sent.offsets[key][number] not in (None, SOMEWHERE, offset):
                yield (f"record {number} of key {key} was acknowledged at offset {sent.offsets[key][number]} "
                       f"and read at {offset}")
    for key, read in enumerate(numbers):
        acknowledged = {number for number, offset in enumerate(sent.offsets[key]) if offset is not None}
        lost = acknowledged - set(read)
        if lost:
            yield f"LOST: {len(lost)} acknowledged records of key {key}, the first is {min(lost)}"
        if len(set(read)) < len(read):
            yield f"{len(read) - len(set(read))} records of key {key} were there twice"
        if any(later < earlier for earlier, later in zip(read, read[1:])):
            yield f"the records of key {key} are out of order"


def replicas_differ(nodes, topic, partitions):
    """The files of stopped nodes: replicas of a partition hold the same bytes. Says which do not."""
    complaints = []
    for partition, (_, replicas, _) in partitions.items():
        contents = {id: _content(nodes[id].data / f"{topic}-{partition}") for id in replicas}
        if len(set(contents.values())) > 1:
            sizes = {id: len(content) for id, content in contents.items()}
            complaints.append(f"the replicas of partition {partition} differ (bytes per node: {sizes})")
    return complaints


def _content(directory):
    """The batches of a partition, whatever segments they are in."""
    return b"".join(file.read_bytes() for file in sorted(directory.glob("*.log")))
