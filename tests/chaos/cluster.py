"""The nodes: processes of `ottla server`, and what each of them says of the cluster."""
import pathlib
import re
import signal
import socket
import struct
import subprocess
import time

import network

CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw"
VOTERS = (1, 2, 3)
ACTIVE = re.compile(rb"this node is the active controller epoch=(\d+)")
COLOUR = re.compile(rb"\x1b\[[0-9;]*m")
CLIENT_PORT = 9092
CONTROLLER_PORT = 9093


def bootstrap(ids):
    return ",".join(f"{network.address(id)}:{CLIENT_PORT}" for id in ids)


class Node:
    """One node on its host. Its process can be started, killed, paused and stopped."""

    def __init__(self, net, ottla, work, id):
        self.id, self.net, self.ottla = id, net, ottla
        self.directory = pathlib.Path(work) / f"node{id}"
        self.directory.mkdir(parents=True)
        self.data = self.directory / "data"
        self.log_path = self.directory / "log"
        self.properties = self.directory / "server.properties"
        self.properties.write_text(self._properties())
        self.process = None
        net.add(id)
        subprocess.run([ottla, "storage", "format", "-t", CLUSTER_ID, "-c", self.properties], check=True,
                       stdout=subprocess.DEVNULL)

    def _properties(self):
        host = network.address(self.id)
        listeners = f"PLAINTEXT://{host}:{CLIENT_PORT}"
        roles = "broker"
        if self.id in VOTERS:
            listeners += f",CONTROLLER://{host}:{CONTROLLER_PORT}"
            roles = "broker,controller"
        voters = ",".join(f"{id}@{network.address(id)}:{CONTROLLER_PORT}" for id in VOTERS)
        return (f"process.roles={roles}\nnode.id={self.id}\ncontroller.quorum.voters={voters}\n"
                f"listeners={listeners}\ncontroller.listener.names=CONTROLLER\n"
                f"log.dirs={self.data}\n"
                # So that leadership comes back between two faults; by default that is looked into every 300 s.
                "leader.imbalance.check.interval.seconds=1\n")

    def start(self):
        """Begins; `wait_ready` waits until it serves."""
        self.started = time.monotonic()
        with self.log_path.open("ab") as log:
            self.log_from = self.log_path.stat().st_size
            self.process = subprocess.Popen(
                [*self.net.inside(self.id), self.ottla, "server", self.properties], stdout=log, stderr=log)

    def wait_ready(self, seconds=60):
        """How long after `start` it was ready."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self.log_path.open("rb") as log:
                log.seek(self.log_from)
                if any(line.startswith(b"ready ") for line in log):
                    return time.monotonic() - self.started
            if self.process.poll() is not None:
                raise RuntimeError(f"node {self.id} ended with code {self.process.returncode}: see {self.log_path}")
            time.sleep(0.01)
        raise RuntimeError(f"node {self.id} was not ready within {seconds} s: see {self.log_path}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def ask_to_stop(self):
        self.asked = time.monotonic()
        self.process.send_signal(signal.SIGTERM)

    def wait_stopped(self, seconds=60):
        """Waits until it has ended in good order, and says how long that took."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"node {self.id} did not end within {seconds} s of SIGTERM: see {self.log_path}")
        if code != 0:
            raise RuntimeError(f"node {self.id} ended with code {code} after SIGTERM: see {self.log_path}")
        return time.monotonic() - self.asked

    def stop(self):
        self.ask_to_stop()
        return self.wait_stopped()

    def check_alive(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"node {self.id} ended by itself with code {self.process.returncode}: "
                               f"see {self.log_path}")


def active_controller(nodes):
    """The node whose controller became active last, as the nodes' logs tell (`OTTLA_LOG=info`)."""
    epochs = [(int(epoch), node.id) for node in nodes
              for epoch in ACTIVE.findall(COLOUR.sub(b"", node.log_path.read_bytes()))]
    return max(epochs, default=(0, None))[1]


class View:
    """What one node says: its brokers, and per partition leader, replicas and ISR."""

    def __init__(self, brokers, partitions):
        self.brokers, self.partitions = brokers, partitions

    def is_whole(self):
        return bool(self.partitions) and all(
            leader >= 0 and sorted(isr) == sorted(replicas) for leader, replicas, isr in self.partitions.values())

    def led_by(self, id):
        return sorted(partition for partition, (leader, _, _) in self.partitions.items() if leader == id)

    def __eq__(self, other):
        return (self.brokers, self.partitions) == (other.brokers, other.partitions)


def view(id, topic, timeout=1.0):
    """What node `id` says of a topic, or None if it says nothing in time."""
    name, client = topic.encode(), b"nemesis"
    body = struct.pack(">hhih", 3, 1, 1, len(client)) + client + struct.pack(">ih", 1, len(name)) + name
    try:
        with socket.create_connection((network.address(id), CLIENT_PORT), timeout) as stream:
            stream.settimeout(timeout)
            stream.sendall(struct.pack(">i", len(body)) + body)
            size = struct.unpack(">i", _exactly(stream, 4))[0]
            return _decode(_exactly(stream, size))
    except OSError:
        return None


def _exactly(stream, size):
    found = b""
    while len(found) < size:
        some = stream.recv(size - len(found))
        if not some:
            raise OSError("closed")
        found += some
    return found


def _decode(answer):
    """A Metadata response, version 1, for one topic."""
    at = 4

    def take(format):
        nonlocal at
        value = struct.unpack_from(">" + format, answer, at)
        at += struct.calcsize(">" + format)
        return value[0]

    def text():
        nonlocal at
        length = max(take("h"), 0)
        at += length
        return answer[at - length:at].decode()

    def ids():
        return [take("i") for _ in range(take("i"))]

    brokers = {}
    for _ in range(take("i")):
        id, host, port = take("i"), text(), take("i")
        text()
        brokers[id] = (host, port)
    take("i")
    partitions = {}
    for _ in range(take("i")):
        take("h"), text(), take("b")
        for _ in range(take("i")):
            take("h")
            partition, leader = take("i"), take("i")
            partitions[partition] = (leader, ids(), ids())
    return View(brokers, partitions)
