"""A process that writes need not look whether others did; and notices all the same when they do."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any, cast

import pytest

from rx_sse import SQLiteBus, publish_in
from rx_sse.bus.sqlite.file import File
from rx_sse.bus.sqlite.reader import BUSY_PACE, PACE, QUIET, QUIET_PACE, Reader
from rx_sse.bus.sqlite.rows import Clock
from rx_sse.bus.sqlite.writer import NEVER, Writer
from rx_sse.testing.listener import Listener


@pytest.mark.parametrize(
    ("alone", "skips"),
    [
        pytest.param((4.0, 10.0), True, id="alone since before the last look"),
        pytest.param((6.0, 10.0), False, id="somebody wrote after the last look"),
        pytest.param((4.0, 10.0 - PACE), False, id="the writer has seen it too long ago"),
        pytest.param(NEVER, False, id="the writer has written nothing"),
    ],
)
def test_a_look_is_left_out_only_where_the_writer_knows_the_answer(
    path: Path, alone: tuple[float, float], skips: bool
) -> None:
    class Owner:
        pass

    owner: Any = Owner()
    owner.alone = alone
    reader = Reader(owner, File(path, "process", None), lambda: Clock(0.0, 0))
    reader._looked = 5.0
    assert reader._nothing_new(10.001) is skips


def test_a_machine_that_has_just_started_is_no_reason_to_leave_a_look_out(path: Path) -> None:
    """Its monotonic clock begins at zero."""
    owner: Any = Writer(cast(Any, None), File(path, "process", None))
    reader = Reader(owner, File(path, "process", None), lambda: Clock(0.0, 0))
    reader._looked = PACE / 4
    assert not reader._nothing_new(PACE / 2)


@pytest.mark.parametrize(
    ("after", "pace"), [(-0.1, BUSY_PACE), (0.1, PACE), (QUIET - 0.1, PACE), (QUIET + 0.1, QUIET_PACE)]
)
def test_the_longer_no_other_process_writes_the_fewer_looks(path: Path, after: float, pace: float) -> None:
    reader = Reader(cast(Any, None), File(path, "process", None), lambda: Clock(0.0, 0))
    reader._busy_until = 100.0
    assert reader._pace(100.0 + after) == pace


async def test_an_entry_of_another_process_arrives_while_this_one_never_stops_writing(path: Path) -> None:
    """The reader does not look while the writer sees that it is alone; not for ever."""
    async with SQLiteBus(path) as bus, SQLiteBus(path) as other:
        listener = await Listener(bus, "elsewhere").opened()
        own = bus.topic("own")

        async def write() -> None:
            while True:
                own.on_next("x")
                await asyncio.sleep(0.002)

        writing = asyncio.create_task(write())
        try:
            for number in range(5):
                await asyncio.sleep(0.05)
                await other.publish("elsewhere", number)
                await listener.received(number + 1)
        finally:
            writing.cancel()
    assert listener.values == list(range(5)) and not listener.gaps


async def test_a_process_is_not_alone_because_the_second_half_of_its_transaction_is(path: Path) -> None:
    async with SQLiteBus(path) as bus:
        await bus.publish("topic", "first")
        log: Any = bus._core.runtime.log
        until_now = time.monotonic()
        other = sqlite3.connect(path, isolation_level=None)
        with contextlib.closing(other):
            other.execute("BEGIN IMMEDIATE")
            publish_in(other, "topic", "of another process")
            several = [
                asyncio.create_task(bus.publish("topic", "second")),
                asyncio.create_task(bus.position("new")),
                asyncio.create_task(bus.publish("topic", "third")),
            ]
            while log.unsettled < 2 or not log.trouble:  # the writer takes all of them when it tries again
                await asyncio.sleep(0.001)
            other.execute("COMMIT")
        await asyncio.gather(*several)
        assert log._writer.alone[0] >= until_now
