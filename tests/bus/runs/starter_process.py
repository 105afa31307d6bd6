"""A process that starts runs when it is told to, at a moment that several of them are told: ``python -m
tests.bus.runs.starter_process WHERE PREFIX``. It reads ``[name, moment]`` a line, the moment by the monotonic
clock, which the processes of a machine share, and answers ``[name, started, sources]``: whether its call has
started the run, and how many sources were subscribed here so far.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

import reactivex as rx

from .owner_process import bus_at


async def main(where: str, prefix: str) -> None:
    sources = 0

    def source() -> rx.Observable[int]:
        nonlocal sources
        sources += 1
        return rx.of(os.getpid())

    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    async with bus_at(where, prefix) as bus:
        print(json.dumps("ready"), flush=True)
        while line := await commands.readline():
            name, moment = json.loads(line)
            await asyncio.sleep(moment - time.monotonic())
            run = await bus.run(name, source)
            await run.result()
            print(json.dumps([name, run.started, sources]), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
