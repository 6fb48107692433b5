#!/usr/bin/env python3
"""Ottla and Apache Kafka, side by side: the same client, the same settings, in turns within one run.

usage: run.py --ottla BINARY --kafka-libs DIR --rdkafka-performance BINARY --work DIR [--rounds N] [--only TEXT]

Every case runs on both brokers one after the other, each on a fresh data directory, and is repeated `--rounds`
times; the medians stand in the table. `x` is the ratio in Ottla's favour (above 1: Ottla is ahead). All traffic
stays on loopback. The broker's CPU is what the kernel accounts to its process between the first and the last
message, its RSS the peak since it started. With three brokers (each also a controller, replication factor 3,
min.insync.replicas=2; more of them in cluster.py) the CPU is the sum, and the memory that of the largest.

Before a case counts, both brokers serve a warm-up on a topic of its own (Kafka's code is compiled meanwhile),
and the broker is quiet again after the topic was created. The client spreads its messages over all partitions
(`sticky.partitioning.linger.ms=0`): by default librdkafka stays with a random one for 10 ms, and a run over
1,000 partitions fills a few dozen of them. Its consumer polls for at most 10 ms (`fetch.wait.max.ms`): it begins to
fetch before it knows the offsets of all partitions, so that whether it reads the first few hundred empty and then
waits out a long poll of 500 ms is luck, and more than all else that is measured.
"""
import argparse
import json
import pathlib
import shutil
import signal
import statistics
import sys
import time

from clients import consume, create_topic, finish, performance, produce
from cluster import fail_over, many_partitions
from processes import one_kafka, one_ottla, three_kafka, three_ottla

ONE = {"Ottla": one_ottla, "Kafka": one_kafka}
THREE = {"Ottla": three_ottla, "Kafka": three_kafka}


def warm_up(options, broker):
    """A partition on each of the brokers."""
    partitions = len(broker.processes)
    create_topic(options, broker, "warm-up", partitions, False)
    produce(options, broker, "warm-up", partitions, 100, 500_000 * partitions)
    consume(options, broker, "warm-up", partitions, 500_000 * partitions)


def throughput(options, broker, case):
    """Produce with acks=all, then consume it hot, from the beginning, every partition."""
    topic, partitions = "bench", case["partitions"]
    warm_up(options, broker)
    create_topic(options, broker, topic, partitions, case["synced"])
    broker.settle()
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
    broker.settle()
    before, started = broker.cpu_seconds(), time.monotonic()
    processes = [performance(options, broker, [
        "-P", "-t", "bench", "-p", "0", "-s", "100", "-c", str(case["count"]), "-a", "-1",
        "-X", "batch.num.messages=1", "-X", "linger.ms=0"]) for _ in range(case["clients"])]
    for process in processes:
        finish(process)
    total = case["count"] * case["clients"]
    elapsed = time.monotonic() - started
    return {"requests/s": total / elapsed, "broker us/request": (broker.cpu_seconds() - before) * 1e6 / total}


def one_broker():
    yield from throughputs("", ONE, (1, 100, 1000), 1)
    for clients, count in ((1, 20_000), (50, 1_000)):
        yield {"name": f"one record a request, synced, {clients} connection{'s' * (clients > 1)}",
               "servers": ONE, "run": single_records, "clients": clients, "count": count}


def three_brokers():
    yield from throughputs("three brokers, ", THREE, (1, 100), 2)
    for name, controller in (("a broker", False), ("the active controller", True)):
        yield {"name": f"three brokers, fail-over of {name}", "servers": THREE, "run": fail_over,
               "controller": controller, "kills": 5}
    yield {"name": "three brokers, 3,000 partitions", "servers": THREE, "run": many_partitions, "partitions": 3000}


def throughputs(prefix, servers, partition_counts, divisor):
    for synced in (False, True):
        for partitions in partition_counts:
            for size in (100, 1024):
                count = {100: 2_000_000, 1024: 400_000}[size] // divisor
                if synced:
                    count //= 2
                if partitions == 1000:
                    count //= 2
                mode = "synced" if synced else "page cache"
                yield {"name": f"{prefix}{mode}, {partitions} partition{'s' * (partitions > 1)}, {size} B",
                       "servers": servers, "run": throughput, "synced": synced, "partitions": partitions,
                       "size": size, "count": count}


LESS_IS_BETTER = ("us/msg", "us/request", "MiB", " s", "%")


def measure(options, case, name):
    directory = pathlib.Path(options.work) / "run"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    broker = case["servers"][name](options, directory)
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
    for case in chosen_cases(options):
        figures = measure(options, case, "Ottla").items()
        print(case["name"], *(f"{figure} {value:,.3f}" for figure, value in figures), sep="; ", flush=True)


def chosen_cases(options):
    return [case for case in (*one_broker(), *three_brokers()) if options.only in case["name"]]


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
    chosen = chosen_cases(options)
    behind, table = [], []
    for number, case in enumerate(chosen, 1):
        samples = {"Ottla": [], "Kafka": []}
        for round_number in range(options.rounds):
            for name in samples:
                print(f"[{number}/{len(chosen)}] {case['name']}: round {round_number + 1}, {name}",
                      file=sys.stderr, flush=True)
                samples[name].append(measure(options, case, name))
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
