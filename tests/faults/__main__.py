"""The command: `python -m tests.faults`. Prints Markdown; the exit status is 1 if anything falls short."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from .costs import COSTS, Finding
from .rows import ROWS, SHORT
from .runs import RUNS, SHORT_RUNS, RunSize
from .scene import Outcome, Size, play

HEAD = (
    "| fault | accepted | received, of due | missing, untold | repeated | gaps told | whole after | |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
)


def line(outcome: Outcome) -> str:
    """A row of the table."""
    verdict = outcome.verdict
    cells = [
        outcome.row.name,
        f"{verdict.accepted:,}",
        f"{verdict.received:,} of {verdict.due:,}",
        f"{verdict.missing:,}",
        f"{verdict.repeated:,}",
        f"{verdict.gaps:,}",
        f"{outcome.whole:.1f} s",
        outcome.note,
    ]
    return f"| {' | '.join(cells)} |"


async def table(names: Sequence[str], size: Size) -> bool:
    """Play the rows one by one, and print them; whether all hold."""
    print(*HEAD, sep="\n", flush=True)
    held = True
    for name in names:
        try:
            outcome = await play(ROWS[name], size)
        except (TimeoutError, RuntimeError) as error:
            print(f"| {ROWS[name].name} | failed: {type(error).__name__} {error} |", flush=True)
            held = False
            continue
        print(line(outcome), flush=True)
        for wrong in outcome.wrong:
            held = False
            print(f"  {name}: {wrong}", file=sys.stderr)
        for said in outcome.verdict.said[:10]:
            print(f"    {said}", file=sys.stderr, flush=True)
    return held


async def findings(measures: dict[str, Callable[[], Awaitable[Finding]]]) -> bool:
    """Measure, and print it; whether all is as promised."""
    held = True
    for name, measure in measures.items():
        finding = await measure()
        print("", *finding.lines, sep="\n", flush=True)
        if not finding.held:
            print(f"  {name}: not what was promised", file=sys.stderr)
            held = False
    return held


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    known = [*ROWS, *RUNS, *COSTS]
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(known)}; default: all")
    parser.add_argument("--short", action="store_true", help="some rows, shorter: for CI")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--rate", type=float, default=100.0, help="events a second")
    parser.add_argument("--storm", type=int, default=5000, help="clients that come back at once")
    parser.add_argument(
        "--events", type=int, default=100_000, help="of the long life: a million takes a while"
    )
    given = parser.parse_args()
    if unknown := set(given.rows).difference(known):
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    size = Size(clients=given.clients, rate=given.rate)
    if given.short:
        size = Size(clients=min(given.clients, 60), rate=given.rate, length=0.5)
    names: Sequence[str] = given.rows or ([*SHORT, *RUNS] if given.short else known)
    begin = time.monotonic()
    held = True
    if faults := [name for name in names if name in ROWS]:
        held = asyncio.run(table(faults, size))
        shorter = "" if size.length == 1 else ", faults half as long"
        took = time.monotonic() - begin
        print(f"\n{size.clients} clients, {size.rate:g} events a second{shorter}, {took:.0f} s")
    runs = SHORT_RUNS if given.short else RunSize()
    held &= asyncio.run(findings({it: partial(RUNS[it], runs) for it in names if it in RUNS}))
    costs = {it: partial(COSTS[it], given.events, given.storm) for it in names if it in COSTS}
    held &= asyncio.run(findings(costs))
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
