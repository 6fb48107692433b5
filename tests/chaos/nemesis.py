"""Faults at a cluster under load, one at a time, healed in between; every acknowledged record must be there."""
import random
import time

import cluster
from run_of import PARTITIONS, Failed, Run, milliseconds

# Longer than broker.session.timeout.ms (9 s): the victim is fenced, and others lead.
LONG = (10.5, 14)
SHORT = (0.3, 4)
QUIET = (1, 3)


class Fault:
    """One thing done to one node: what it is called, how it begins, how it ends."""

    def __init__(self, name, begin, end):
        self.name, self.begin, self.end = name, begin, end


def faults(run):
    """All there are, each a function of the victim and of another node."""
    net, nodes = run.net, run.nodes

    def others(victim):
        return [id for id in nodes if id != victim]

    def restart(victim):
        nodes[victim].start()
        nodes[victim].wait_ready()

    heal = lambda _: net.heal()
    return [
        Fault("killed (SIGKILL)", lambda victim, _: nodes[victim].kill(), restart),
        Fault("paused (SIGSTOP)", lambda victim, _: nodes[victim].pause(), lambda victim: nodes[victim].go_on()),
        Fault("cut off from the other nodes", lambda victim, _: net.cut(victim, others(victim)), heal),
        Fault("cut off from node {other}", lambda victim, other: net.cut(victim, [other]), heal),
        Fault("deaf to the other nodes", lambda victim, _: net.deafen(victim, others(victim)), heal),
        Fault("not heard by the other nodes",
              lambda victim, _: [net.deafen(other, [victim]) for other in others(victim)], heal),
        Fault("unplugged", lambda victim, _: net.unplug(victim), heal),
    ]


class Nemesis:
    def __init__(self, run, seed):
        self.run, self.random = run, random.Random(seed)
        self.faults = faults(run)
        self.bag = []
        self.fail_overs = {}
        self.recoveries = {}
        self.counts = {}

    def strike(self):
        """One fault, from its beginning to the cluster's being whole again."""
        run, rng = self.run, self.random
        fault = self._next()
        seconds = rng.uniform(*(LONG if rng.random() < 0.75 else SHORT))
        choice, other_choice = rng.randrange(PARTITIONS), rng.random()
        view = next(filter(None, map(run.view, run.nodes)), None)
        if view is None:
            raise Failed("no node answers a request for metadata")
        victim = view.partitions[choice][0]
        other = min((id for id in run.nodes if id != victim), key=lambda id: (id % 2 == 0) != (other_choice < 0.5))
        led = view.led_by(victim)
        name = fault.name.format(other=other)
        quorum = " and the quorum" if cluster.active_controller(run.nodes.values()) == victim else ""
        run.say(f"node {victim} is {name} for {seconds:.1f} s; it leads {len(led)} partitions{quorum}")
        run.shared.forget_first()
        begun = time.monotonic()
        fault.begin(victim, other)
        run.shared.count_from_now()
        run.sleep(seconds)
        fault.end(victim)
        healed = time.monotonic()
        self._settle(fault, victim, led, begun, healed, quorum)

    def _next(self):
        """Every kind comes up before one comes up again, and a kill first."""
        if not self.bag:
            self.bag = self.faults[:]
            self.random.shuffle(self.bag)
            if not self.counts:
                kill = self.faults[0]
                self.bag.remove(kill)
                self.bag.append(kill)
        return self.bag.pop()

    def _settle(self, fault, victim, led, begun, healed, quorum):
        run = self.run
        for node in run.nodes.values():
            node.check_alive()
        run.wait_whole(f"node {victim} was {fault.name}")
        whole = time.monotonic() - healed
        if fault is self.faults[0]:
            whole = time.monotonic() - run.nodes[victim].started
        served = lambda: all(run.shared.first_after[partition] for partition in range(PARTITIONS))
        if not run.wait_for(served, 60):
            silent = [partition for partition in range(PARTITIONS) if not run.shared.first_after[partition]]
            raise Failed(f"no record of partitions {silent} was acknowledged since node {victim} was {fault.name}")
        times = [run.shared.first_after[partition] - begun for partition in led]
        kind = fault.name.replace("{other}", "one other") + (quorum and ", the active controller")
        self.fail_overs.setdefault(kind, []).extend(times)
        self.recoveries.setdefault(kind, []).append(whole)
        self.counts[kind] = self.counts.get(kind, 0) + 1
        run.say(f"  healed; acknowledged again after {milliseconds(times)}; all in sync after {whole:.1f} s")

    def report(self):
        print("from the fault to the first acknowledged record sent after it, in each partition that the victim led;")
        print("and from its end (of a kill: from the restart of the process) to full ISRs:")
        for kind in sorted(self.counts):
            print(f"  {self.counts[kind]} x {kind}: {milliseconds(self.fail_overs[kind])}; "
                  f"in sync: {milliseconds(self.recoveries[kind])}")


def scenario(options):
    run = Run(options, "nemesis")
    print(f"== nemesis: faults for {options.seconds} s, seed {options.seed}", flush=True)
    run.start()
    run.sleep(3)
    nemesis = Nemesis(run, options.seed)
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        nemesis.strike()
        run.sleep(nemesis.random.uniform(*QUIET))
    complaints = run.finish()
    nemesis.report()
    return complaints
