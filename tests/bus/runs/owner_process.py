"""A process that owns a run, for tests that kill or freeze it: ``python -m tests.bus.runs.owner_process WHERE
PREFIX LEASE``, where WHERE is the URL of a Redis or the path of a file. It says "running" when its first
entry is stored, and "closed" when its source was closed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import rx_sse
from rx_sse.bus import Bus


def bus_at(where: str, prefix: str) -> Bus:
    """A bus on the log that is there."""
    return rx_sse.RedisBus(where, prefix=prefix) if "://" in where else rx_sse.SQLiteBus(where)


async def main(where: str, prefix: str, lease: float) -> None:
    closed = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        number = 0
        try:
            while True:
                yield number
                number += 1
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    async with bus_at(where, prefix) as bus:
        run = await bus.run("job", source, lease=lease)
        while not (await run.status()).entries:
            await asyncio.sleep(0.01)
        print("running", flush=True)
        await closed.wait()
        print("closed", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
