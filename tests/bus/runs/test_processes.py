"""A run whose process is killed, or frozen for longer than its lease."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import time
from asyncio.subprocess import PIPE, Process
from contextlib import closing

import pytest

from rx_sse.errors import StreamError

from ...conftest import ROOT
from .owner_process import bus_at
from .test_runs import Reading

pytestmark = pytest.mark.slow
LEASE = 3.0


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Where a log is that processes share, and the prefix of its keys."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("tmp_path") / "bus.db"), ""
    return request.getfixturevalue("redis").url, f"t{os.urandom(4).hex()}"


async def owner(place: tuple[str, str]) -> Process:
    command = (sys.executable, "-m", "tests.bus.runs.owner_process", *place, str(LEASE))
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE)
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"running\n"
    return process


async def freeze(process: Process, where: str) -> None:
    """Stop a process; not inside a transaction, where it would keep everybody from the file."""
    while True:
        process.send_signal(signal.SIGSTOP)
        if "://" in where:
            return
        try:
            with closing(sqlite3.connect(where, timeout=1.0, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                other.execute("ROLLBACK")
            return
        except sqlite3.OperationalError:
            process.send_signal(signal.SIGCONT)
            await asyncio.sleep(0.05)


async def test_a_hundred_readers_are_told_when_the_owner_is_killed(place: tuple[str, str]) -> None:
    async with bus_at(*place) as bus:
        process = await owner(place)
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


async def test_a_process_that_starts_ends_the_run_of_one_that_was_killed(place: tuple[str, str]) -> None:
    process = await owner(place)
    process.kill()
    await process.wait()
    await asyncio.sleep(LEASE)
    async with bus_at(*place) as bus:
        reading = Reading(bus, "run:job")
        error = await reading.ended()
        assert isinstance(error, StreamError) and error.problem()["reason"] == "lost"
        assert reading.values == list(range(len(reading.values))) and reading.values
        status = await bus.find_run("job")
        assert status is not None and (status.state, status.entries) == ("lost", len(reading.values))


async def test_an_owner_that_was_frozen_stores_nothing_more_and_closes_its_source(
    place: tuple[str, str],
) -> None:
    async with bus_at(*place) as bus:
        process = await owner(place)
        reading = Reading(bus, "run:job")
        await freeze(process, place[0])
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
