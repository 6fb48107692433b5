"""The cases with three brokers, each also a controller: replication factor 3, acks=all, min.insync.replicas=2.

Fail-over: a producer sends a record to every partition 40 times a second; the process of a broker gets SIGKILL. The
figure is the time from then to the moment at which every partition that it led has acknowledged a record that was
sent after its death. The broker's session (9 s) begins with its last heartbeat (every 2 s), so luck decides on up to
2 s: the kills are spread evenly over the time between two heartbeats, counted from the broker's start. With
the active controller dead, a new one has to be elected first. Between two kills the broker is started again, until
all ISRs are full and everybody leads what they led.

Many partitions: a topic of 3,000, created by one request, then one record for each of them. CPU is what a broker
uses of one core while nobody asks for anything; the memory is that of the largest of the three.
"""
import statistics
import time

from clients import Producer, active_controller, create_topic, describe, elect_preferred_leaders, wait_until

HEARTBEAT_SECONDS = 2


def has_full_isrs(servers, topic, brokers=3):
    """Whether every broker knows a leader and a full ISR of every partition."""
    def full(partition):
        return partition.leader >= 0 and len(partition.isr) == brokers
    return all(all(map(full, describe(process.port, topic).values())) for process in servers.processes)


class Load:
    """A producer that sends numbered records to all partitions, and when each has acknowledged one again."""

    def __init__(self, options, servers, topic, partitions):
        self.partitions, self.sent = partitions, 0
        self.mark, self.back = 0, {}
        self.producer = Producer(options, servers, topic, self.acknowledged)

    def acknowledged(self, partition, number):
        if number >= self.mark:
            self.back.setdefault(partition, time.monotonic())

    def send_all(self):
        """One record for each partition, with the next number."""
        for partition in range(self.partitions):
            self.producer.send(partition, self.sent)
        self.sent += 1
        time.sleep(0.025)

    def send_for(self, seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.send_all()

    def back_after(self, partitions):
        """When the last of these partitions acknowledged a record that is sent from now on."""
        self.mark, self.back = self.sent, {}
        deadline = time.monotonic() + 60
        while not all(partition in self.back for partition in partitions):
            if time.monotonic() > deadline:
                raise SystemExit("no fail-over within 60 s")
            self.send_all()
        return max(self.back[partition] for partition in partitions)


def fail_over(options, servers, case):
    topic, partitions = "fail-over", 12
    create_topic(options, servers, topic, partitions, False)
    wait_until("all replicas in sync", lambda: has_full_isrs(servers, topic))
    load = Load(options, servers, topic, partitions)
    seconds = []
    for kill in range(case["kills"]):
        load.send_for(2 * HEARTBEAT_SECONDS)
        controller = active_controller(servers.processes[0].port)
        victims = [node for node in (1, 2, 3) if (node == controller) == case["controller"]]
        victim = victims[kill % len(victims)]
        led = [index for index, partition in describe(servers.processes[0].port, topic).items()
               if partition.leader == victim]
        process = servers.processes[victim - 1]
        phase = HEARTBEAT_SECONDS * (kill + 0.5) / case["kills"]
        load.send_for((process.ready + phase - time.monotonic()) % HEARTBEAT_SECONDS)
        seconds.append(kill_one(load, process, led))
        process.start()
        process.wait_for_metadata(3, 120)
        while not has_full_isrs(servers, topic):
            load.send_for(0.5)
        elect_preferred_leaders(servers.processes[0].port)
    load.producer.close()
    return {"fail-over p50 s": statistics.median(seconds), "fail-over max s": max(seconds)}


def kill_one(load, process, led):
    """How long until all that it led acknowledge what was sent after its death."""
    began = time.monotonic()
    process.kill()
    return load.back_after(led) - began


def many_partitions(options, servers, case):
    topic, count = "many", case["partitions"]
    result = {"start MiB": servers.memory_mib("VmRSS"), "start idle CPU %": idle_cpu(servers)}
    began = time.monotonic()
    create_topic(options, servers, topic, count, False)
    wait_until("all leaders known", lambda: has_full_isrs(servers, topic))
    result["create s"] = time.monotonic() - began
    servers.settle()
    result["created MiB"] = servers.memory_mib("VmRSS")
    result["created idle CPU %"] = idle_cpu(servers)
    waiting = set(range(count))
    producer = Producer(options, servers, topic, lambda partition, _: waiting.discard(partition))
    began = time.monotonic()
    for partition in range(count):
        producer.send(partition, 0)
    wait_until("a record in each", lambda: not waiting)
    result["touch s"] = time.monotonic() - began
    producer.close()
    servers.settle()
    result["touched MiB"] = servers.memory_mib("VmRSS")
    result["touched idle CPU %"] = idle_cpu(servers)
    return result


def idle_cpu(servers, seconds=10):
    """Per cent of a core that a broker uses, on average."""
    time.sleep(2)
    before, began = servers.cpu_seconds(), time.monotonic()
    time.sleep(seconds)
    return (servers.cpu_seconds() - before) / (time.monotonic() - began) / len(servers.processes) * 100
