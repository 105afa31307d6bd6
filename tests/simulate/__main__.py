"""The command: `python -m tests.simulate`. The exit status is 1 if a seed fails."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from .scenario import FAULTS, LOGS, play


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, metavar="N", help="how many (default: 200)")
    parser.add_argument("--seed", type=int, metavar="K", help="this one alone, with its trace")
    parser.add_argument("--first", type=int, default=0, metavar="K", help="the first seed (default: 0)")
    parser.add_argument("--log", choices=LOGS, help="only runs over this log")
    parser.add_argument("--faults", default="", help=f"faults played besides, of {', '.join(FAULTS)}")
    parser.add_argument(
        "--failures", type=int, default=1, metavar="N", help="stop after so many (default: 1)"
    )
    given = parser.parse_args()
    logging.getLogger("rx_sse").setLevel(logging.CRITICAL)
    faults = given.faults.split(",") if given.faults else []
    begin = time.perf_counter()
    seeds = [given.seed] if given.seed is not None else range(given.first, given.first + given.seeds)
    played = failed = events = gaps = 0
    for seed in seeds:
        outcome = play(seed, given.log, traced=given.seed is not None, faults=faults)
        played += 1
        events += outcome.events
        gaps += outcome.gaps
        if given.seed is not None and outcome.failure is None:
            print(*outcome.trace, sep="\n")
        if outcome.failure is not None:
            failed += 1
            tail = outcome.trace if given.seed is not None else outcome.trace[-40:]
            print(*tail, sep="\n")
            print(f"seed {seed} over {outcome.log}: {outcome.failure}")
            print(f"replay it: python -m tests.simulate --seed {seed} --log {outcome.log}", flush=True)
            if failed >= given.failures:
                break
    taken = time.perf_counter() - begin
    print(f"{played} seeds, {failed} failed, {events} events and {gaps} gaps, {taken:.1f} s")
    return 1 if failed else 0


sys.exit(main())
