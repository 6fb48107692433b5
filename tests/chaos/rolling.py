"""What an operator does to a cluster under load: restarts it node by node, adds a broker, drains and removes one."""
import json
import subprocess
import time

import cluster
import load
from run_of import PARTITIONS, TOPIC, Failed, Run, milliseconds

# A broker alone, no voter.
NEWCOMER = 4
# The one that leaves; the quorum of the other two goes on.
LEAVER = 3
# Bytes a second; much more than what there is to move.
THROTTLE = 50_000_000
MOVED_WITHIN = 60


class Tools:
    """Kafka's own administration tools."""

    def __init__(self, run):
        self.run, self.libs = run, run.options.kafka_libs
        self.bootstrap = None

    def ask(self, tool, *words, server="--bootstrap-server"):
        """What the tool prints, while the progress is shown."""
        java = ["java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", f"{self.libs}/*",
                f"org.apache.kafka.tools.{tool}", *words, server, self.bootstrap]
        with subprocess.Popen(java, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            if not self.run.wait_for(lambda: process.poll() is not None, 120):
                process.kill()
                raise Failed(f"{tool} {' '.join(words)} was not done within 120 s")
            out = process.stdout.read()
        if process.returncode != 0:
            raise Failed(f"{tool} {' '.join(words)} ended with code {process.returncode}: {out}")
        return out


class Rolling:
    def __init__(self, run):
        self.run, self.tools = run, Tools(run)
        self.stops, self.readies, self.in_sync = [], [], []

    def restart_all(self):
        for node in list(self.run.nodes.values()):
            self.stops.append(node.stop())
            node.start()
            self.readies.append(node.wait_ready())
            self.run.wait_whole(f"node {node.id} was restarted")
            self.in_sync.append(time.monotonic() - node.started)
            self.run.say(f"node {node.id} restarted: stopped within {self.stops[-1]:.2f} s, ready "
                         f"{self.readies[-1]:.2f} s after its start, in every ISR after {self.in_sync[-1]:.2f} s; {self.run.slowest()}")
            self.run.sleep(1)

    def join(self):
        node = self.run.add_node(NEWCOMER)
        node.start()
        seconds = node.wait_ready()
        self._wait_brokers({*cluster.VOTERS, NEWCOMER})
        self.run.say(f"node {NEWCOMER} joined, ready {seconds:.2f} s after its start")

    def move_in(self):
        """The newcomer gets its share: three of four partitions, each from another of the three."""
        plan = {}
        for partition, (_, replicas, _) in self._view().partitions.items():
            if partition % 4 != 3:
                leaves = cluster.VOTERS[partition % 3]
                plan[partition] = [NEWCOMER if id == leaves else id for id in replicas]
        self._reassign("onto the newcomer", plan)

    def cancel(self):
        """A reassignment is begun, and called off: the newcomer lives, but cannot fetch meanwhile."""
        before = {partition: replicas for partition, (_, replicas, _) in self._view().partitions.items()}
        plan = {partition: [*replicas[:2], NEWCOMER] for partition, replicas in before.items()}
        self.tools.bootstrap = cluster.bootstrap(cluster.VOTERS)
        words = ["--reassignment-json-file", self._file("and cancelled", plan)]
        self.run.net.lose_answers(NEWCOMER, cluster.CLIENT_PORT)
        self.tools.ask("reassign.ReassignPartitionsCommand", *words, "--execute", "--throttle", str(THROTTLE))
        under_way = self._view().partitions
        self.tools.ask("reassign.ReassignPartitionsCommand", *words, "--cancel")
        self.run.net.heal()
        self.run.wait_whole("a reassignment was cancelled")
        after = {partition: replicas for partition, (_, replicas, _) in self._view().partitions.items()}
        if any(NEWCOMER not in replicas for _, replicas, _ in under_way.values()) or after != before:
            raise Failed(f"a reassignment from {before} made {under_way}, and its cancellation {after}")
        self.run.say(f"a reassignment of {len(plan)} partitions was begun and cancelled; {self.run.slowest()}")

    def drain(self):
        rest = [id for id in (*cluster.VOTERS, NEWCOMER) if id != LEAVER]
        plan = {partition: rest[partition % 3:] + rest[:partition % 3] for partition in range(PARTITIONS)}
        self._reassign(f"away from node {LEAVER}", plan)

    def remove(self):
        node = self.run.nodes.pop(LEAVER)
        left = lambda: [path.name for path in node.data.glob(f"{TOPIC}-*") if not path.name.endswith("-delete")]
        if not self.run.wait_for(lambda: not left(), 30):
            raise Failed(f"node {LEAVER} has kept replicas that were moved away: {left()}")
        seconds = node.stop()
        self.tools.bootstrap = cluster.bootstrap(self.run.nodes)
        self.tools.ask("ClusterTool", "unregister", "--id", str(LEAVER))
        self._wait_brokers(set(self.run.nodes))
        self.run.say(f"node {LEAVER} stopped within {seconds:.2f} s and was unregistered; {self.run.slowest()}")

    def _reassign(self, what, plan):
        self.tools.bootstrap = cluster.bootstrap(self.run.nodes)
        file, begun = self._file(what, plan), time.monotonic()
        words = ["--reassignment-json-file", file]
        self.tools.ask("reassign.ReassignPartitionsCommand", *words, "--execute", "--throttle", str(THROTTLE))
        while True:
            said = self.tools.ask("reassign.ReassignPartitionsCommand", *words, "--verify")
            if "still in progress" not in said:
                break
            if time.monotonic() - begun > MOVED_WITHIN:
                raise Failed(f"not moved within {MOVED_WITHIN} s: {said}")
        self.run.wait_whole(f"partitions moved {what}")
        for partition, (_, replicas, _) in self._view().partitions.items():
            if replicas != plan.get(partition, replicas):
                raise Failed(f"partition {partition} is on {replicas}, not on {plan[partition]}: {said}")
        if said.count("is completed") != len(plan) or "Clearing" not in said:
            raise Failed(f"kafka-reassign-partitions --verify said: {said}")
        self.run.say(f"{len(plan)} partitions moved {what} within {time.monotonic() - begun:.1f} s, tool included; "
                     f"{self.run.slowest()}")

    def _file(self, what, plan):
        file = self.run.work / f"reassign {what}.json"
        partitions = [{"topic": TOPIC, "partition": partition, "replicas": replicas}
                      for partition, replicas in plan.items()]
        file.write_text(json.dumps({"version": 1, "partitions": partitions}))
        return str(file)

    def _view(self):
        return self.run.view(min(self.run.nodes))

    def _wait_brokers(self, ids):
        def all_say():
            views = [self.run.view(id) for id in self.run.nodes]
            return all(view and set(view.brokers) == ids for view in views)
        if not self.run.wait_for(all_say, 30):
            raise Failed(f"not every broker says within 30 s that the brokers are {sorted(ids)}")

    def bootstraps(self):
        """Two clients, from each broker in turn, see the same cluster."""
        seen = {}
        for id in self.run.nodes:
            for function in (confluent_sees, kafka_python_sees):
                seen[f"{function.__name__} from node {id}"] = load.Worker(function, cluster.bootstrap([id])).result(30)
        if len({repr(metadata) for metadata in seen.values()}) != 1:
            raise Failed(f"clients see different clusters: {seen}")
        self.run.say(f"confluent-kafka and kafka-python, from each of nodes {sorted(self.run.nodes)}: the same metadata")

    def report(self):
        print(f"controlled shutdown: {milliseconds(self.stops)}")
        print(f"start to ready: {milliseconds(self.readies)}; to being in every ISR: {milliseconds(self.in_sync)}")


def confluent_sees(bootstrap):
    from confluent_kafka.admin import AdminClient
    found = AdminClient({**load.CLIENT, "bootstrap.servers": bootstrap}).list_topics(timeout=20)
    brokers = sorted((broker.id, broker.host, broker.port) for broker in found.brokers.values())
    partitions = sorted((partition.id, partition.leader, sorted(partition.replicas), sorted(partition.isrs))
                        for partition in found.topics[TOPIC].partitions.values())
    return found.cluster_id, brokers, partitions


def kafka_python_sees(bootstrap):
    from kafka import KafkaAdminClient
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    cluster_found, topics = admin.describe_cluster(), admin.describe_topics([TOPIC])
    brokers = sorted((broker["broker_id"], broker["host"], broker["port"]) for broker in cluster_found["brokers"])
    partitions = sorted((partition["partition_index"], partition["leader_id"], sorted(partition["replica_nodes"]),
                         sorted(partition["isr_nodes"])) for partition in topics[0]["partitions"])
    return cluster_found["cluster_id"], brokers, partitions


def scenario(options):
    print("== rolling: restarts, a broker joins, another leaves", flush=True)
    run = Run(options, "rolling")
    run.start()
    run.sleep(3)
    rolling = Rolling(run)
    rolling.restart_all()
    rolling.join()
    rolling.cancel()
    rolling.move_in()
    rolling.drain()
    rolling.remove()
    rolling.bootstraps()
    run.sleep(2)
    complaints = run.finish()
    rolling.report()
    return complaints
