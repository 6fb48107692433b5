#!/usr/bin/env python3
"""Ottla and Apache Kafka, side by side: the same client, the same settings, in turns within one run.

usage: run.py --ottla BINARY --kafka-libs DIR --rdkafka-performance BINARY --work DIR [--rounds N] [--only TEXT]

Every case runs on both brokers one after the other, each on a fresh data directory, and is repeated `--rounds`
times; the medians stand in the table. `x` is the ratio in Ottla's favour (above 1: Ottla is ahead). All traffic
stays on loopback. The broker's CPU is what the kernel accounts to its process between the first and the last
message, its RSS the peak since it started.

Before a case counts, both brokers serve a warm-up on a topic of its own (Kafka's code is compiled meanwhile),
and the broker is quiet again after the topic was created. The client spreads its messages over all partitions
(`sticky.partitioning.linger.ms=0`): by default librdkafka stays with a random one for 10 ms, and a run over
1,000 partitions fills a few dozen of them. Its consumer polls for at most 10 ms (`fetch.wait.max.ms`): it begins to
fetch before it knows the offsets of all partitions, so that whether it reads the first few hundred empty and then
waits out a long poll of 500 ms is luck, and more than all else that is measured.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time

TICKS = os.sysconf("SC_CLK_TCK")
NEVER = str(2**63 - 1)


class Broker:
    """A broker process on a fresh directory, until `stop`."""

    def __init__(self, name, command, port, directory):
        self.name, self.port, self.directory = name, port, directory
        self.output = open(directory / "broker.log", "ab")
        started = time.monotonic()
        self.process = subprocess.Popen(command, stdout=self.output, stderr=self.output, cwd=directory)
        self.pid = self.process.pid
        while not metadata_answers(port):
            if self.process.poll() is not None:
                raise SystemExit(f"{name} ended at start: see {directory}/broker.log")
            if time.monotonic() - started > 60:
                raise SystemExit(f"{name} gave no metadata within 60 s: see {directory}/broker.log")
            time.sleep(0.001)
        self.start_seconds = time.monotonic() - started

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory_mib(self, field):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) / 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.output.close()


def metadata_answers(port):
    """Whether a Metadata v0 request for no topic is answered with at least one broker."""
    body = struct.pack(">hhih", 3, 1, 7, -1) + struct.pack(">i", 0)
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as stream:
            stream.settimeout(5)
            stream.sendall(struct.pack(">i", len(body)) + body)
            answer = stream.recv(4096)
            return len(answer) >= 12 and struct.unpack(">i", answer[8:12])[0] >= 1
    except OSError:
        return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_ottla(options, directory):
    port = free_port()
    command = [options.ottla, "dev", "--port", str(port), "--data-dir", str(directory / "data")]
    return Broker("Ottla", command, port, directory)


def start_kafka(options, directory):
    port, controller = free_port(), free_port()
    properties = directory / "server.properties"
    properties.write_text(f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={directory}/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
""")
    java = ["java", "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
            "-cp", f"{options.kafka_libs}/*"]
    subprocess.run(java + ["kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAg", "-c", str(properties)],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return Broker("Kafka", java + ["kafka.Kafka", str(properties)], port, directory)


def create_topic(options, broker, topic, partitions, synced):
    subprocess.run([options.ottla, "topics", "create", topic, "--partitions", str(partitions),
                    "--replication-factor", "1", "--config", f"flush.messages={1 if synced else NEVER}",
                    "--bootstrap-server", f"127.0.0.1:{broker.port}"],
                   check=True, stdout=subprocess.DEVNULL)
    settle(broker)


def settle(broker, seconds=30):
    """Waits until the broker has used less than a tenth of a core for half a second."""
    for _ in range(2 * seconds):
        before = broker.cpu_seconds()
        time.sleep(0.5)
        if broker.cpu_seconds() - before < 0.05:
            return


def performance(options, broker, arguments):
    command = [options.rdkafka_performance, "-b", f"127.0.0.1:{broker.port}", "-X", "broker.address.family=v4",
               "-q"] + arguments
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


def produce(options, broker, topic, partitions, size, count):
    return finish(performance(options, broker, [
        "-P", "-t", topic, "-s", str(size), "-c", str(count), "-a", "-1", "-X", "linger.ms=5",
        "-X", "queue.buffering.max.messages=500000", "-X", "sticky.partitioning.linger.ms=0"]
        + (["-p", "0"] if partitions == 1 else [])))


def consume(options, broker, topic, partitions, count):
    chosen = [text for index in range(partitions) for text in ("-p", str(index))]
    return finish(performance(options, broker, [
        "-C", "-t", topic, "-c", str(count), "-o", "beginning", "-X", "fetch.wait.max.ms=10"] + chosen))


def warm_up(options, broker):
    create_topic(options, broker, "warm-up", 1, False)
    produce(options, broker, "warm-up", 1, 100, 500_000)
    consume(options, broker, "warm-up", 1, 500_000)


def throughput(options, broker, case):
    """Produce with acks=all, then consume it hot, from the beginning, every partition."""
    topic, partitions = "bench", case["partitions"]
    warm_up(options, broker)
    create_topic(options, broker, topic, partitions, case["synced"])
    result = {}
    before = broker.cpu_seconds()
    rate, _ = produce(options, broker, topic, partitions, case["size"], case["count"])
    result["produce msgs/s"] = rate
    result["produce us/msg"] = (broker.cpu_seconds() - before) * 1e6 / case["count"]
    before = broker.cpu_seconds()
    rate, _ = consume(options, broker, topic, partitions, case["count"])
    result["consume msgs/s"] = rate
    result["consume us/msg"] = (broker.cpu_seconds() - before) * 1e6 / case["count"]
    return result


def single_records(options, broker, case):
    """One record a request, synced before it is acknowledged; `clients` pipelined connections at once."""
    warm_up(options, broker)
    create_topic(options, broker, "bench", 1, True)
    before, started = broker.cpu_seconds(), time.monotonic()
    processes = [performance(options, broker, [
        "-P", "-t", "bench", "-p", "0", "-s", "100", "-c", str(case["count"]), "-a", "-1",
        "-X", "batch.num.messages=1", "-X", "linger.ms=0"]) for _ in range(case["clients"])]
    for process in processes:
        finish(process)
    total = case["count"] * case["clients"]
    elapsed = time.monotonic() - started
    return {"requests/s": total / elapsed, "broker us/request": (broker.cpu_seconds() - before) * 1e6 / total}


def cases():
    for synced in (False, True):
        for partitions in (1, 100, 1000):
            for size in (100, 1024):
                count = {100: 2_000_000, 1024: 400_000}[size]
                if synced:
                    count //= 2
                if partitions == 1000:
                    count //= 2
                mode = "synced" if synced else "page cache"
                yield {"name": f"{mode}, {partitions} partition{'s' * (partitions > 1)}, {size} B", "run": throughput,
                       "synced": synced, "partitions": partitions, "size": size, "count": count}
    yield {"name": "one record a request, synced, 1 connection", "run": single_records, "clients": 1, "count": 20_000}
    yield {"name": "one record a request, synced, 50 connections", "run": single_records, "clients": 50, "count": 1_000}


LESS_IS_BETTER = ("us/msg", "us/request", "MiB", "start s")


def measure(options, case, start):
    directory = pathlib.Path(options.work) / "run"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    broker = start(options, directory)
    try:
        idle = broker.memory_mib("VmRSS")
        result = case["run"](options, broker, case)
        result["start s"] = broker.start_seconds
        result["idle MiB"] = idle
        result["peak MiB"] = broker.memory_mib("VmHWM")
        return result
    finally:
        broker.stop()
        shutil.rmtree(directory / "data", ignore_errors=True)


def look(options):
    """Ottla's own figures, one run each."""
    for case in cases():
        if options.only in case["name"]:
            figures = measure(options, case, start_ottla).items()
            print(case["name"], *(f"{figure} {value:,.3f}" for figure, value in figures), sep="; ", flush=True)


def main():
    parser = argparse.ArgumentParser()
    for name in ("ottla", "kafka-libs", "rdkafka-performance", "work"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="run the cases whose name contains this text")
    parser.add_argument("--alone", action="store_true", help="run Ottla alone, for a look at its own figures")
    options = parser.parse_args()
    # Brokers are stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    if options.alone:
        return look(options)
    chosen = [case for case in cases() if options.only in case["name"]]
    behind, table = [], []
    for number, case in enumerate(chosen, 1):
        samples = {"Ottla": [], "Kafka": []}
        for round_number in range(options.rounds):
            for name, start in (("Ottla", start_ottla), ("Kafka", start_kafka)):
                print(f"[{number}/{len(chosen)}] {case['name']}: round {round_number + 1}, {name}",
                      file=sys.stderr, flush=True)
                samples[name].append(measure(options, case, start))
        print(f"\n{case['name']}")
        for figure in samples["Ottla"][0]:
            ours, theirs = (statistics.median(s[figure] for s in samples[name]) for name in ("Ottla", "Kafka"))
            less = figure.endswith(LESS_IS_BETTER)
            ratio = (theirs / ours if less else ours / theirs) if min(ours, theirs) > 0 else float("inf")
            print(f"  {figure:<20} Ottla {ours:>14,.3f}   Kafka {theirs:>14,.3f}   x {ratio:.2f}", flush=True)
            table.append({"case": case["name"], "figure": figure, "ottla": ours, "kafka": theirs, "ratio": ratio})
            if ratio < 1:
                behind.append(f"{case['name']}: {figure} x {ratio:.2f}")
    pathlib.Path(options.work, "results.json").write_text(json.dumps(table, indent=1))
    print("\nOttla is behind in: " + ("; ".join(behind) if behind else "none"))


if __name__ == "__main__":
    main()
