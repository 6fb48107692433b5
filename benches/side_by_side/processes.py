"""Brokers as processes: one on its own, or a cluster of three."""
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """One broker's process, on its own directory."""

    def __init__(self, command, port, log):
        self.command, self.port, self.log = command, port, log
        self.start()

    def start(self):
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(self.command, stdout=output, stderr=output, cwd=self.log.parent)
        self.pid = self.process.pid

    def wait_for_metadata(self, brokers, seconds):
        """Waits until it knows as many brokers."""
        deadline = time.monotonic() + seconds
        while not metadata_answers(self.port, brokers):
            if self.process.poll() is not None:
                raise SystemExit(f"a broker ended at start: see {self.log}")
            if time.monotonic() > deadline:
                raise SystemExit(f"a broker gave no metadata within {seconds} s: see {self.log}")
            time.sleep(0.001)
        self.ready = time.monotonic()

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_mib(self, field):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) / 1024

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.wait()

    def wait(self):
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()


class Servers:
    """What a case runs on: brokers, all of them together. Figures of CPU are sums, those of memory the largest."""

    def __init__(self, processes):
        started = time.monotonic()
        self.processes = processes
        self.replication = len(processes)
        self.bootstrap = ",".join(f"127.0.0.1:{process.port}" for process in processes)
        try:
            for process in processes:
                process.wait_for_metadata(len(processes), 120)
        except SystemExit:
            self.stop()
            raise
        self.start_seconds = time.monotonic() - started

    def cpu_seconds(self):
        return sum(process.cpu_seconds() for process in self.processes)

    def memory_mib(self, field):
        return max(process.memory_mib(field) for process in self.processes)

    def settle(self, seconds=60):
        """Waits until each broker has used less than a tenth of a core for half a second, on average."""
        for _ in range(2 * seconds):
            before = self.cpu_seconds()
            time.sleep(0.5)
            if self.cpu_seconds() - before < 0.05 * len(self.processes):
                return

    def stop(self):
        for process in self.processes:
            process.process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait()


def metadata_answers(port, brokers):
    """Whether a Metadata v0 request for no topic is answered with at least as many brokers."""
    body = struct.pack(">hhih", 3, 1, 7, -1) + struct.pack(">i", 0)
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as stream:
            stream.settimeout(5)
            stream.sendall(struct.pack(">i", len(body)) + body)
            answer = stream.recv(4096)
            return len(answer) >= 12 and struct.unpack(">i", answer[8:12])[0] >= brokers
    except OSError:
        return False


def free_ports(count):
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


CLUSTER_ID = "b3R0bGEtYW5kLWthZmthIQ"


def one_ottla(options, directory):
    [port] = free_ports(1)
    command = [options.ottla, "dev", "--port", str(port), "--data-dir", str(directory / "data")]
    return Servers([Process(command, port, directory / "broker.log")])


def one_kafka(options, directory):
    return kafka(options, directory, 1)


def three_ottla(options, directory):
    """The files that Kafka starts from, too."""
    processes = []
    for port, properties in write_properties(directory, 3):
        log = properties.with_suffix(".log")
        with open(log, "wb") as output:
            subprocess.run([options.ottla, "storage", "format", "-t", CLUSTER_ID, "-c", str(properties)], check=True,
                           stdout=output, stderr=output)
        processes.append(Process([options.ottla, "server", str(properties)], port, log))
    return Servers(processes)


def three_kafka(options, directory):
    return kafka(options, directory, 3)


def kafka(options, directory, nodes):
    java = ["java", "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
            "-cp", f"{options.kafka_libs}/*"]
    written = write_properties(directory, nodes)
    for _, properties in written:
        subprocess.run(java + ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties)],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return Servers([Process(java + ["kafka.Kafka", str(properties)], port, properties.with_suffix(".log"))
                    for port, properties in written])


def write_properties(directory, nodes):
    """A file for each of the nodes, which are brokers and controllers at once; and the port of the broker."""
    ports = free_ports(2 * nodes)
    brokers, controllers = ports[:nodes], ports[nodes:]
    voters = ",".join(f"{index}@127.0.0.1:{port}" for index, port in enumerate(controllers, 1))
    written = []
    for index, (broker, controller) in enumerate(zip(brokers, controllers), 1):
        file = directory / f"node-{index}.properties"
        file.write_text(f"""process.roles=broker,controller
node.id={index}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker}
controller.listener.names=CONTROLLER
log.dirs={directory}/data/{index}
default.replication.factor={nodes}
min.insync.replicas={(nodes + 1) // 2}
offsets.topic.replication.factor={nodes}
transaction.state.log.replication.factor={nodes}
transaction.state.log.min.isr={(nodes + 1) // 2}
""")
        written.append((broker, file))
    return written
