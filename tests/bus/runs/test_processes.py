"""A run whose process is killed, or frozen for longer than its lease."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from rx_sse.errors import StreamError

from .owner_process import bus_at
from .owners import freeze, owner, thawed
from .test_runs import Reading

pytestmark = pytest.mark.slow
LEASE = 3.0


@pytest.fixture(params=["sqlite", "redis"])
def place(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Where a log is that processes share, and the prefix of its keys."""
    if request.param == "sqlite":
        return str(request.getfixturevalue("tmp_path") / "bus.db"), ""
    return request.getfixturevalue("redis").url, f"t{os.urandom(4).hex()}"


async def test_a_hundred_readers_are_told_when_the_owner_is_killed(place: tuple[str, str]) -> None:
    async with bus_at(*place) as bus:
        process = await owner(*place, LEASE)
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
    process = await owner(*place, LEASE)
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
        process = await owner(*place, LEASE)
        reading = Reading(bus, "run:job")
        await freeze(process, place[0])
        try:
            assert isinstance(await reading.ended(), StreamError)
            status = await bus.find_run("job")
            assert status is not None and status.state == "lost"
            before = await bus.position("run:job")
        finally:
            await thawed(process)
        assert await bus.position("run:job") == before
