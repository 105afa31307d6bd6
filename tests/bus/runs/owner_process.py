"""A process that owns a run, for tests that kill or freeze it: ``python -m tests.bus.runs.owner_process URL
PREFIX LEASE``. It says "running" when its first entry is stored, and "closed" when its source was closed.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import rx_sse


async def main(url: str, prefix: str, lease: float) -> None:
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

    async with rx_sse.RedisBus(url, prefix=prefix) as bus:
        run = await bus.run("job", source, lease=lease)
        while not (await run.status()).entries:
            await asyncio.sleep(0.01)
        print("running", flush=True)
        await closed.wait()
        print("closed", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
