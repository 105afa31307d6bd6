"""The command: `python -m benchmarks`.

Sets up the peers, runs everything on loopback, and writes results/results.md, results.svg and results.json
beside this file.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import load, machine, report, rounds, smoke, tasks
from benchmarks.roster import ROSTER, Contestant

HERE = Path(__file__).resolve().parent
CACHE = HERE / ".cache"
NAMES = list(dict.fromkeys(cell.task for cell in tasks.plan((1,), (1,), 1)))


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    parser = _parser()
    given = parser.parse_args(arguments)
    wanted = set(given.tasks.split(","))
    if unknown := wanted - set(NAMES):
        parser.error(f"unknown task {min(unknown)!r}; the tasks are {', '.join(NAMES)}")
    if given.micro:
        # The only part that imports rx_sse itself: peers can be measured beside a broken one.
        from benchmarks import micro

        return micro.main()
    server_core, client_core = machine.cores()
    files = machine.raise_files()
    client = load.Client(load.compile_client(CACHE), client_core)
    if given.smoke:
        return smoke.main(client, server_core, CACHE)

    saved = given.out / "results.json"
    results = rounds.Results.load(saved) if given.keep and saved.exists() else rounds.Results()
    results.machine = {
        **machine.describe(),
        "open files": f"{files:,}",
        "date": time.strftime("%Y-%m-%d"),
        "server and client": f"cores {server_core} and {client_core}",
    }
    chosen = _choose(given.who, wanted)
    ready = rounds.prepare(chosen, CACHE, results, say)
    pairs: list[tuple[tasks.Cell, list[Contestant]]] = []
    clients, users = ([int(count) for count in each.split(",")] for each in (given.clients, given.users))
    for cell in tasks.plan(clients, users, given.seconds):
        who = [each for each in chosen if cell.task in each.tasks and each.name in ready]
        if cell.task in wanted and who:
            pairs.append((cell, who))
    results.without({(each.name, cell.task, cell.label) for cell, who in pairs for each in who})
    say(f"{sum(len(who) for _, who in pairs)} runs a round, {given.rounds} rounds")
    try:
        for sample in rounds.measure(ready, pairs, given.rounds, given.minutes, client, server_core, say):
            results.samples.append(sample)
    except KeyboardInterrupt:
        say("interrupted; reporting what there is")
    results.save(saved)
    report.write(results, given.out)
    say(f"wrote {given.out / 'results.md'} and results.svg")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--smoke", action="store_true", help="check the rig in under a minute; never fails on a slow machine")
    add("--micro", action="store_true", help="the parts alone, without sockets: ns for each operation")
    add("--tasks", default=",".join(NAMES), help="separated by commas; %(default)s")
    add("--clients", default="1,100,1000,5000,10000", help="levels of the task broadcast; %(default)s")
    add("--users", default="1000,10000", help="levels of the task users; %(default)s")
    add("--who", default="", help="contestants whose name contains one of these; all")
    add("--rounds", type=int, default=5, help="%(default)s")
    add("--seconds", type=float, default=3.0, help="measured in each run; %(default)s")
    add("--minutes", type=float, default=150.0, help="no round is begun that would end later; %(default)s")
    add("--keep", action="store_true", help="add to the results that are there, replacing what is run again")
    add("--out", type=Path, default=HERE / "results", help="folder for what is written; %(default)s")
    return parser


def _choose(who: str, wanted: set[str]) -> list[Contestant]:
    parts = [part.lower() for part in who.split(",") if part]
    return [
        each
        for each in ROSTER
        if each.tasks & wanted and (not parts or any(part in each.name.lower() for part in parts))
    ]


def say(text: str) -> None:
    """Progress, beside the results."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
