"""Three real nodes under load, and what is done to them. See `run`, which starts this in namespaces of its own."""
import argparse
import pathlib
import random
import sys
import time

import nemesis
import rolling
from run_of import Failed

SCENARIOS = {"nemesis": nemesis.scenario, "rolling": rolling.scenario}


def options():
    parser = argparse.ArgumentParser(prog="tests/chaos/run", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="nemesis, rolling; without one: both")
    parser.add_argument("--seconds", type=int, default=120, help="how long the nemesis goes on (120)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="of the nemesis")
    parser.add_argument("--rate", type=int, default=2000, help="records a second (2000)")
    for name in ("--ottla", "--kafka-libs", "--work"):
        parser.add_argument(name, type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    found = parser.parse_args()
    for name in found.scenarios:
        if name not in SCENARIOS:
            parser.error(f"no scenario is called {name}: there are {', '.join(SCENARIOS)}")
    return found


def main():
    chosen = options()
    failed = []
    # Each has a network of its own making: the second one's hosts would have the first one's names.
    for name in chosen.scenarios or list(SCENARIOS):
        try:
            complaints = SCENARIOS[name](chosen)
        except (Failed, RuntimeError) as error:
            complaints = [str(error)]
        for complaint in complaints:
            print(f"FAIL  {name}: {complaint}")
        if complaints:
            failed.append(name)
            print(f"logs and data are in {chosen.work / name}; seed {chosen.seed}")
        else:
            print(f"ok    {name}: every acknowledged record is there, once and in order")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\ninterrupted: everything is stopped", flush=True)
        sys.exit(130)
