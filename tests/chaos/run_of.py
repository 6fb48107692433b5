"""One run: the cluster, the load on it, what is shown meanwhile, and the verdict."""
import multiprocessing
import shutil
import statistics
import sys
import time

import cluster
import load
import verify
from network import Network

TOPIC = "chaos"
PARTITIONS = 12
# Within this, once everything is healed, every partition has a leader and every ISR is full.
WHOLE_WITHIN = 60
# How long the producer waits in the end for what it is owed.
DRAIN_WITHIN = 120


class Failed(Exception):
    """What the cluster should have done and has not."""


class Run:
    def __init__(self, options, name):
        self.options = options
        self.work = options.work / name
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        self.net = Network()
        self.nodes = {}
        self.begun = time.monotonic()
        self.shown_at = 0
        self.shared = load.Shared(PARTITIONS)

    # What is shown.

    def say(self, text):
        """A line of the timeline."""
        self._clear()
        print(f"{time.monotonic() - self.begun:7.1f} s  {text}", flush=True)

    def slowest(self):
        """How long the slowest record took that was acknowledged since this was asked last."""
        found, self.shared.slowest.value = self.shared.slowest.value, 0
        return f"the slowest record took {found * 1000:,.0f} ms"

    def progress(self):
        """The state of the load: all the time on a terminal, now and then elsewhere."""
        now = time.monotonic()
        terminal = sys.stdout.isatty()
        if now - self.shown_at < (0.2 if terminal else 10):
            return
        self.shown_at = now
        text = (f"{now - self.begun:7.1f} s  sent {self.shared.sent.value:,}, "
                f"acknowledged {self.shared.acknowledged.value:,}, read {self.shared.consumed.value:,}, "
                f"failed {self.shared.failed.value}")
        if terminal:
            print(f"\r\x1b[K{text}", end="", flush=True)
        else:
            print(text, flush=True)

    def _clear(self):
        if sys.stdout.isatty():
            print("\r\x1b[K", end="")

    # The cluster.

    def add_node(self, id):
        self.nodes[id] = cluster.Node(self.net, self.options.ottla, self.work, id)
        return self.nodes[id]

    def start(self):
        """Three nodes, a topic, and the load."""
        for id in cluster.VOTERS:
            self.add_node(id).start()
        for node in self.nodes.values():
            node.wait_ready()
        self.bootstrap = cluster.bootstrap(cluster.VOTERS)
        # Before librdkafka has threads in this process: the clients are forked from it.
        self.ends = multiprocessing.Queue()
        self._create_topic()
        self.wait_whole("the new topic")
        self.producer = load.Worker(load.produce, self.bootstrap, TOPIC, self.options.rate, self.shared, DRAIN_WITHIN)
        self.consumer = load.Worker(load.consume, self.bootstrap, TOPIC, self.shared, self.ends)
        self.say(f"three nodes, {PARTITIONS} partitions with three replicas; {self.options.rate:,} records a second")

    def _create_topic(self):
        creating = load.Worker(create_topic, self.bootstrap)
        creating.result(30)

    def sleep(self, seconds):
        """Waits, shows the progress, and sees to it that everything runs that should."""
        self.wait_for(lambda: False, seconds)

    def wait_for(self, condition, seconds):
        """Whether the condition came true in time."""
        deadline = time.monotonic() + seconds
        while True:
            if condition():
                return True
            if time.monotonic() >= deadline:
                return False
            self.producer.check_alive()
            self.consumer.check_alive()
            self.progress()
            time.sleep(0.02)

    def view(self, id):
        return cluster.view(id, TOPIC)

    def wait_whole(self, after, ids=None, seconds=WHOLE_WITHIN):
        """Until these nodes agree that every partition has a leader and every ISR is full; how long that took."""
        ids = ids or sorted(self.nodes)
        begun = time.monotonic()
        while True:
            views = {id: self.view(id) for id in ids}
            first = views[ids[0]]
            if all(view and view.is_whole() and view == first for view in views.values()):
                return time.monotonic() - begun
            if time.monotonic() - begun > seconds:
                raise Failed(f"not whole within {seconds} s after {after}: {describe(views)}")
            self.progress()
            time.sleep(0.05)

    # The end.

    def finish(self):
        """Drains, reads everything again, stops the nodes and compares what they hold. Gives the complaints."""
        self.shared.stop.set()
        sent = self.producer.result(DRAIN_WITHIN + 30)
        self.bootstrap = cluster.bootstrap(self.nodes)
        ends = high_watermarks(self.bootstrap)
        self.ends.put(ends)
        live = self.consumer.result(DRAIN_WITHIN)
        self.progress()
        counts = self.shared.consumed.value
        again_ends = multiprocessing.Queue()
        again_ends.put(ends)
        again = load.Worker(load.consume, self.bootstrap, TOPIC, self.shared, again_ends).result(DRAIN_WITHIN)
        complaints = verify.check(sent, live, again)
        self.wait_whole("all was read")
        partitions = self.view(min(self.nodes)).partitions
        for node in self.nodes.values():
            node.ask_to_stop()
        seconds = [node.wait_stopped() for node in self.nodes.values()]
        complaints += verify.replicas_differ(self.nodes, TOPIC, partitions)
        acknowledged = sum(offset is not None for offsets in sent.offsets for offset in offsets)
        self._clear()
        print(f"sent {self.shared.sent.value:,}, acknowledged {acknowledged:,}, read {counts:,}; "
              f"the whole cluster stopped in {max(seconds):.1f} s")
        return complaints


def describe(views):
    """What is not as it should be."""
    lines = []
    for id, view in views.items():
        if view is None:
            lines.append(f"node {id} does not answer")
            continue
        amiss = [f"{partition}: leader {leader}, replicas {replicas}, ISR {isr}"
                 for partition, (leader, replicas, isr) in sorted(view.partitions.items())
                 if leader < 0 or sorted(isr) != sorted(replicas)]
        lines.append(f"node {id} (brokers {sorted(view.brokers)}): " + ("; ".join(amiss) or "whole"))
    return "\n  ".join(["", *lines])


def create_topic(bootstrap):
    from confluent_kafka.admin import AdminClient, NewTopic
    admin = AdminClient({**load.CLIENT, "bootstrap.servers": bootstrap})
    topic = NewTopic(TOPIC, PARTITIONS, 3, config={"min.insync.replicas": "2"})
    for future in admin.create_topics([topic]).values():
        future.result(20)


def high_watermarks(bootstrap):
    return load.Worker(_high_watermarks, bootstrap).result(60)


def _high_watermarks(bootstrap):
    import confluent_kafka
    consumer = confluent_kafka.Consumer({**load.CLIENT, "bootstrap.servers": bootstrap, "group.id": "unused"})
    partitions = (confluent_kafka.TopicPartition(TOPIC, partition) for partition in range(PARTITIONS))
    return [consumer.get_watermark_offsets(partition, timeout=10)[1] for partition in partitions]


def milliseconds(seconds):
    """Median and maximum of some durations, for people."""
    if not seconds:
        return "none"
    return f"p50 {statistics.median(seconds) * 1000:,.0f} ms, max {max(seconds) * 1000:,.0f} ms ({len(seconds)})"
