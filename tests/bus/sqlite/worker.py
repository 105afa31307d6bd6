"""A process that publishes through a bus of its own, and is killed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from ...conftest import ROOT

PUBLISH = """
import asyncio, sys
import rx_sse

async def main():
    async with rx_sse.SQLiteBus(sys.argv[1], history=1_000_000, history_bytes=1 << 30) as bus:
        topic, number = input().split()
        number = int(number)
        async def one(number):
            await bus.publish(topic, number)
            print(number, flush=True)
        while True:
            await asyncio.gather(*(one(number + k) for k in range(8)))
            number += 8

asyncio.run(main())
"""


class Worker:
    """One process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, path: Path) -> Worker:
        """Start it."""
        pipe = asyncio.subprocess.PIPE
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", PUBLISH, str(path), cwd=ROOT, stdin=pipe, stdout=pipe
            )
        )

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def publish_until_killed(
        self, topic: str, first: int, *, after: int, not_before: asyncio.Event | None = None
    ) -> list[int]:
        """Let it publish numbers from `first` on, and kill it when so many were accepted, and an event has
        been set; those that were accepted."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(f"{topic} {first}\n".encode())
        accepted: list[int] = []
        async with asyncio.timeout(60):
            while len(accepted) < after or not (not_before is None or not_before.is_set()):
                accepted.append(int(await process.stdout.readline()))
            process.kill()
            rest = (await process.stdout.read()).split(b"\n")
            await process.wait()
        return accepted + [int(line) for line in rest[:-1]]
