"""A run whose process is killed, or frozen for longer than its lease."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process

import pytest

from rx_sse import RedisBus
from rx_sse.errors import StreamError

from ...conftest import ROOT
from ...redis_server import RedisServer
from .test_runs import Reading

pytestmark = pytest.mark.slow
LEASE = 3.0


async def owner(redis: RedisServer, prefix: str) -> Process:
    command = (sys.executable, "-m", "tests.bus.runs.owner_process", redis.url, prefix, str(LEASE))
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE)
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"running\n"
    return process


async def test_a_hundred_readers_are_told_when_the_owner_is_killed(redis: RedisServer) -> None:
    prefix = f"t{os.urandom(4).hex()}"
    async with RedisBus(redis.url, prefix=prefix) as bus:
        process = await owner(redis, prefix)
        readings = [Reading(bus, "run:job") for _ in range(100)]
        while not all(reading.values for reading in readings):
            await asyncio.sleep(0.01)
        process.kill()
        killed = time.monotonic()
        await process.wait()
        errors = await asyncio.gather(*(reading.ended() for reading in readings))
        print(f"100 readers told {time.monotonic() - killed:.2f} s after SIGKILL, lease {LEASE} s")
        for reading, error in zip(readings, errors, strict=True):
            assert isinstance(error, StreamError) and error.problem()["reason"] == "lost"
            assert reading.values == list(range(len(reading.values))) and reading.gaps == []
        assert len({len(reading.values) for reading in readings}) == 1


async def test_an_owner_that_was_frozen_stores_nothing_more_and_closes_its_source(redis: RedisServer) -> None:
    prefix = f"t{os.urandom(4).hex()}"
    async with RedisBus(redis.url, prefix=prefix) as bus:
        process = await owner(redis, prefix)
        reading = Reading(bus, "run:job")
        process.send_signal(signal.SIGSTOP)
        try:
            assert isinstance(await reading.ended(), StreamError)
            status = await bus.find_run("job")
            assert status is not None and status.state == "lost"
            before = await bus.position("run:job")
        finally:
            process.send_signal(signal.SIGCONT)
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 10) == b"closed\n"
        await asyncio.wait_for(process.wait(), 10)
        assert await bus.position("run:job") == before
