"""While no topic is watched, the file is seldom looked at; the first watch changes that at once."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, cast

import pytest

from rx_sse.bus.log.entry import Entry
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.sqlite import reader
from rx_sse.bus.sqlite.file import File
from rx_sse.bus.sqlite.log import SQLiteLog
from rx_sse.bus.sqlite.rows import Clock

from .worker import Worker


class Ear:
    def __init__(self) -> None:
        self.heard = asyncio.Event()

    def arrived(self, entry: Entry) -> None:
        self.heard.set()

    def dirty(self) -> None:
        pass


async def test_the_first_watch_of_a_process_gets_what_another_one_publishes_without_delay(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "ALONE", 600.0)
    log = SQLiteLog(File(path, "process", None), Retention())
    await log.open()
    try:
        assert log._reader is not None
        async with asyncio.timeout(10):
            while log._reader._due < time.monotonic() + 60:
                await asyncio.sleep(0.01)
        ear = Ear()
        log.watch("t", ear)
        worker = await Worker.start(path)
        await worker.publish_until_killed("t", 0, after=1)
        async with asyncio.timeout(10):
            await ear.heard.wait()
    finally:
        await log.close()


def test_the_others_do_not_count_as_quiet_while_no_topic_was_watched(path: Path) -> None:
    known = reader.Reader(cast(Any, None), File(path, "process", None), lambda: Clock(0.0, 0))
    known.wake()
    known._collect()
    assert known._pace(time.monotonic()) == reader.PACE
