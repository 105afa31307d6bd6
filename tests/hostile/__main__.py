"""The command: `python -m tests.hostile`. Plays attacks against a process of its own each, and prints a table
of what they cost the server.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rx_sse.testing import open_stream, serve

from .attacks import ATTACKS, Attack, Attacker
from .target import bearer_line, make_app, post

ROOT = Path(__file__).resolve().parents[2]
SERVE = "--serve"
LOOK = 0.02
AFTER = 3.0
"""Seconds after the attacker has left in which a server may give back what it held."""
TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

HEAD = (
    "| attack | CWE | answer | CPU of the server | memory, most | 3 s after it |",
    "| --- | ---: | --- | ---: | ---: | ---: |",
)


@dataclass
class Cost:
    """What an attack cost.

    Attributes:
        outcome: how it ended.
        cpu: seconds of the processor.
        most: bytes that the process grew by, at most.
        after: bytes that it had grown by when the attacker had left.
        alive: whether another client got its events to the end.
    """

    outcome: str = ""
    cpu: float = 0.0
    most: int = 0
    after: int = 0
    alive: bool = False


def used(process: int) -> float:
    """Seconds of the processor that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident(process: int) -> int:
    """Bytes of a process in memory."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * PAGE


@asynccontextmanager
async def process() -> AsyncIterator[tuple[int, str]]:
    """An application in a process of its own: its number, and where it serves."""
    with tempfile.TemporaryFile() as errors:
        running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.hostile", SERVE, cwd=ROOT,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors,
        )  # fmt: skip
        assert running.stdout is not None
        try:
            async with asyncio.timeout(60):
                yield running.pid, (await running.stdout.readline()).decode().strip()
        finally:
            with contextlib.suppress(ProcessLookupError):
                running.kill()
            await running.wait()


async def served() -> None:
    """Serve until standard input ends."""
    logging.disable()
    app, _ = make_app()
    async with serve(app, auto_decompress=False) as url:
        print(url, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def cost(attack: Attack, times: int) -> Cost:
    """Play an attack."""
    found = Cost()
    async with process() as (number, url), open_stream(url, "/news") as witness:
        await witness.next_event(control=True)
        attacker = Attacker(url)
        await attacker.ask(
            post("/events/topics/news", b"0", bearer_line(), b"Content-Type: application/json")
        )
        attacker.seen.clear()
        await asyncio.sleep(0.3)
        cpu, memory = used(number), resident(number)

        async def look() -> None:
            while True:
                found.most = max(found.most, resident(number) - memory)
                await asyncio.sleep(LOOK)

        async def read() -> None:
            while (await witness.next_event(120)).data != "last":
                pass

        reading = asyncio.create_task(read())
        looking = asyncio.create_task(look())
        found.outcome = await attack.do(attacker, times)
        await asyncio.sleep(0.5)
        found.cpu = used(number) - cpu
        looking.cancel()
        await attacker.leave()
        await asyncio.sleep(AFTER)
        found.after = resident(number) - memory
        await attacker.ask(
            post("/events/topics/news", b'"last"', bearer_line(), b"Content-Type: application/json")
        )
        await asyncio.wait([reading], timeout=10)
        found.alive = reading.done() and reading.exception() is None
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    return found


async def table(names: list[str], part: float) -> bool:
    """Play attacks and print what they cost; whether the other client got its events in all of them."""
    print(*HEAD, sep="\n", flush=True)
    alive = True
    for name in names:
        attack = ATTACKS[name]
        times = max(1, int(attack.times * part))
        found = await cost(attack, times)
        alive &= found.alive
        cells = [
            attack.what.format(n=f"{times:,}"),
            f"{attack.cwe}",
            found.outcome if found.alive else f"**the other client lost its stream**; {found.outcome}",
            f"{found.cpu * 1000:,.0f} ms",
            f"{found.most / 2**20:.1f} MiB",
            f"{found.after / 2**20:.1f} MiB",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)
    return alive


def main() -> int:
    """Play what was asked for; the exit status is 1 if another client lost its stream."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("attacks", nargs="*", help=f"of {', '.join(ATTACKS)}; default: all")
    parser.add_argument("--part", type=float, default=1.0, help="of the number of requests (default: 1)")
    parser.add_argument(SERVE, action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(served())
        return 0
    if unknown := set(given.attacks) - ATTACKS.keys():
        parser.error(f"no such attack: {', '.join(sorted(unknown))}")
    return 0 if asyncio.run(table(given.attacks or [*ATTACKS], given.part)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
