"""The system wakes an idle reader when the file changes; where not, the reader checks as often as ever.

Where the paces are ten minutes, what arrives was reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from rx_sse import publish_in
from rx_sse.bus.log.entry import Draft, Entry
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.sqlite import inotify, reader
from rx_sse.bus.sqlite.file import File
from rx_sse.bus.sqlite.inotify import Inotify
from rx_sse.bus.sqlite.log import SQLiteLog
from rx_sse.bus.sqlite.reader import ALONE, BUSY_PACE, PACE, QUIET_PACE, Reader
from rx_sse.bus.sqlite.rows import Clock
from rx_sse.bus.sqlite.wakeup import Wakeup

from ...reader import until
from .worker import Worker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")
LONG = 600.0


class Ear:
    """A watcher of a topic."""

    def __init__(self) -> None:
        self.got: list[str] = []

    def arrived(self, entry: Entry) -> None:
        self.got.append(entry.data)

    def dirty(self) -> None:
        pass


async def asleep(log: SQLiteLog) -> Reader:
    """Its reader, once it waits for nothing but a report."""
    found = log._reader
    assert found is not None

    def waits() -> bool:
        found._wakeup.proved = False  # so it does not check again by itself, soon after it was armed
        return found._wakeup._waiting and found._due > time.monotonic() + LONG / 2

    await until(waits)
    return found


async def on_its_thread(known: Reader, call: Callable[[], object]) -> None:
    """Call it where its watches are set, so that it meets none of them halfway."""
    done = asyncio.get_running_loop().create_future()
    known.ask(lambda pages, clock: call(), done.set_result)
    await done


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    for pace in ("PACE", "QUIET_PACE", "ALONE"):
        monkeypatch.setattr(reader, pace, LONG)


@pytest.fixture
async def log(path: Path) -> AsyncIterator[SQLiteLog]:
    log = SQLiteLog(File(path, "process", None), Retention())
    await log.open()
    yield log
    await log.close()


def publish(path: Path, *values: str) -> None:
    """Publish in a transaction of an application's own."""
    with contextlib.closing(sqlite3.connect(path)) as application, application:
        for value in values:
            publish_in(application, "t", value)


def in_checkpointed(path: Path) -> None:
    """Publish when the WAL was emptied, and once more when it begins anew."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as application:
        assert application.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        assert Path(f"{path}-wal").stat().st_size == 0
        publish_in(application, "t", "1")


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(
    "how", [pytest.param(lambda path: publish(path, "1"), id="publish_in"), in_checkpointed]
)
async def test_a_transaction_of_the_applications_own_wakes_an_idle_reader(
    log: SQLiteLog, path: Path, how: Callable[[Path], None]
) -> None:
    log.watch("t", ear := Ear())
    await asleep(log)
    await asyncio.to_thread(how, path)
    await until(lambda: ear.got == ["1"])


@pytest.mark.usefixtures("slow")
async def test_another_process_wakes_an_idle_reader(log: SQLiteLog, path: Path) -> None:
    worker = await Worker.start(path)
    log.watch("t", ear := Ear())
    await asleep(log)
    await worker.publish_until_killed("t", 7, after=1)
    await until(lambda: ear.got[:1] == ["7"])


@pytest.mark.usefixtures("slow")
async def test_it_is_woken_again_once_the_others_have_stopped_writing(
    log: SQLiteLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "LATELY", 0.02)
    log.watch("t", ear := Ear())
    for number in range(3):
        await asleep(log)
        await asyncio.to_thread(publish, path, str(number))
        await until(lambda count=number + 1: len(ear.got) == count)
    assert ear.got == ["0", "1", "2"]


@pytest.mark.usefixtures("slow")
async def test_a_link_to_the_file_is_followed_like_sqlite_does(path: Path) -> None:
    File(path, "process", None).connect().close()
    link = path.with_name("link.db")
    link.symlink_to(path)
    log = SQLiteLog(File(link, "process", None), Retention())
    await log.open()
    try:
        log.watch("t", ear := Ear())
        await asleep(log)
        await asyncio.to_thread(publish, path, "1")
        await until(lambda: ear.got == ["1"])
    finally:
        await log.close()


@pytest.mark.usefixtures("slow")
async def test_a_question_is_answered_while_it_waits_for_a_report(log: SQLiteLog) -> None:
    log.watch("t", Ear())
    known = await asleep(log)
    answered = asyncio.get_running_loop().create_future()
    known.ask(lambda pages, clock: pages.last_id(), lambda found: answered.set_result(found))
    async with asyncio.timeout(20):
        assert await answered == 0


# -- trust ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "pace"),
    [
        pytest.param({}, PACE, id="proved nothing"),
        pytest.param({"proved": True}, ALONE, id="proved"),
        pytest.param({"proved": True, "armed_at": 99.9}, 0.1, id="armed a moment ago"),
        pytest.param({"proved": True, "armed_at": 100.0}, BUSY_PACE, id="just armed"),
        pytest.param({"proved": True, "armed": False}, PACE, id="not armed"),
        pytest.param({"proved": True, "doubtful": True}, PACE, id="doubtful"),
        pytest.param({"proved": True, "looked": 0.0}, PACE, id="the last check is not complete"),
        pytest.param({"proved": True, "busy_until": 101.0}, BUSY_PACE, id="others are writing"),
        pytest.param({"busy_until": 80.0}, QUIET_PACE, id="proved nothing, for long"),
    ],
)
def test_the_checks_are_few_only_while_a_watch_that_has_proved_itself_is_armed(
    path: Path, state: dict[str, Any], pace: float
) -> None:
    known = Reader(cast(Any, None), File(path, "process", None), lambda: Clock(0.0, 0))
    known._wakeup.armed, known._wakeup.proved = state.get("armed", True), state.get("proved", False)
    known._armed_at, known._looked = state.get("armed_at", 50.0), state.get("looked", 100.0)
    known._busy_until, known._doubtful = state.get("busy_until", 99.0), state.get("doubtful", False)
    assert known._pace(100.0) == pytest.approx(pace)


def deafen(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """From now on watches are accepted, and report nothing: they are of another file."""
    other = path.with_name("another")
    other.touch()
    watch = Inotify.watch
    monkeypatch.setattr(Inotify, "watch", lambda self, _: watch(self, str(other)))


async def test_a_watch_that_never_reports_is_not_trusted(
    log: SQLiteLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deafen(monkeypatch, path)
    log.watch("t", ear := Ear())
    log.append(Draft("t", "t", "own", None, Retention()))
    await until(lambda: ear.got == ["own"])
    known = log._reader
    assert known is not None
    looks = known.looks
    await until(lambda: known._wakeup.armed and known.looks > looks + 2)
    assert not known._wakeup.proved and known._pace(known._looked) in (PACE, QUIET_PACE)
    await asyncio.to_thread(publish, path, "of another")
    await until(lambda: ear.got == ["own", "of another"])


async def test_a_watch_that_missed_a_change_is_trusted_when_it_has_reported_one_like_it(
    log: SQLiteLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "LATELY", 0.01)
    log.watch("t", ear := Ear())
    known = log._reader
    assert known is not None
    await until(lambda: known._wakeup.armed)
    log.append(Draft("t", "t", "own", None, Retention()))
    await until(lambda: known._wakeup.proved and ear.got == ["own"])
    assert not known._doubtful

    with monkeypatch.context() as deaf:
        deafen(deaf, path)

        def deafened() -> None:
            known._wakeup.arm("")  # in place of the one that hears
            known._armed_at = time.monotonic() - 1
            known._reported = False  # the own one may have been reported twice, before and after it was seen

        await on_its_thread(known, deafened)
        await asyncio.to_thread(publish, path, "missed")
        await until(lambda: known._doubtful)
    await until(lambda: len(ear.got) == 2)
    await on_its_thread(known, lambda: known._wakeup.arm(f"{path}-wal"))

    log.append(Draft("t", "t", "own again", None, Retention()))
    await until(lambda: len(ear.got) == 3)
    assert known._doubtful, "its own changes are no proof any more"
    async with asyncio.timeout(60):
        while known._doubtful:  # one that is written while the last report is on its way has no report
            await until(lambda: known._wakeup.armed)
            count = len(ear.got) + 1
            await asyncio.to_thread(publish, path, "reported")
            await until(lambda count=count: len(ear.got) == count)
    assert ear.got[:4] == ["own", "missed", "own again", "reported"]


@pytest.mark.parametrize("missing", ["library", "instance", "watch", "eventfd"])
async def test_without_inotify_it_checks_as_often_as_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    class Library:
        def inotify_init1(self, flags: int) -> int:
            return -1

    def refuses(*_: object) -> int:
        raise OSError(24, "Too many open files")

    if missing == "library":
        monkeypatch.setattr(inotify, "_LIBRARY", None)
    elif missing == "instance":
        monkeypatch.setattr(inotify, "_LIBRARY", Library())
    elif missing == "watch":
        monkeypatch.setattr(inotify, "MODIFY", 0)
        monkeypatch.setattr(inotify, "ONESHOT", 0)
    else:
        monkeypatch.setattr(os, "eventfd", refuses)
    before = descriptors()
    log = SQLiteLog(File(path, "process", None), Retention())
    await log.open()
    try:
        log.watch("t", ear := Ear())
        known = log._reader
        assert known is not None
        looks = known.looks
        await until(lambda: known.looks > looks + 2)
        assert not known._wakeup.armed and known._pace(known._looked) == PACE
        if missing != "watch":  # they are of no use; one is open for an instant while it tries again
            await until(lambda: descriptors() == before)
        await asyncio.to_thread(publish, path, "1")
        await until(lambda: ear.got == ["1"])
    finally:
        await log.close()
    assert descriptors() == before


def test_a_process_whose_writer_knows_that_it_is_alone_is_not_woken_by_itself(path: Path) -> None:
    class Owner:
        alone = (4.0, 10.0)
        watching = True

    owner: Any = Owner()
    known = Reader(owner, File(path, "process", None), lambda: Clock(0.0, 0))
    known._looked, known._wal = 5.0, str(path.parent)
    known._look(10.001)
    assert not known._wakeup.armed and known._due == 10.0 + PACE


# -- descriptors ---------------------------------------------------------------------------------------------


def descriptors() -> Counter[str]:
    """How many of either kind this process has open."""
    found: Counter[str] = Counter()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")
            if target.startswith("anon_inode:"):
                found[target] += 1
    return found


async def test_there_are_two_descriptors_while_a_topic_is_watched_and_none_before_and_after(
    path: Path,
) -> None:
    before = descriptors()
    log = SQLiteLog(File(path, "process", None), Retention())
    await log.open()
    known = log._reader
    assert known is not None
    looks = known.looks
    await until(lambda: known.looks > looks)
    assert descriptors() == before
    log.watch("t", Ear())
    await until(lambda: known._wakeup.armed)
    assert sum((descriptors() - before).values()) == 2
    await log.close()
    assert descriptors() == before


def test_they_are_closed_where_the_loop_was_closed_under_an_open_log(path: Path) -> None:
    before = descriptors()
    loop = asyncio.new_event_loop()
    log = SQLiteLog(File(path, "process", None), Retention())
    loop.run_until_complete(log.open())
    known = log._reader
    assert known is not None
    log.watch("t", Ear())
    loop.run_until_complete(until(lambda: known._wakeup.armed))
    loop.close()
    known.stop()
    known.thread.join(20.0)
    assert descriptors() == before


# -- the wait ------------------------------------------------------------------------------------------------


@pytest.fixture
def wakeup(path: Path) -> Any:
    made = Wakeup()
    path.touch()
    assert made.arm(str(path))
    yield made
    made.close()


def test_a_call_between_the_last_look_and_the_wait_is_not_missed(wakeup: Wakeup) -> None:
    def idle() -> bool:
        caller = threading.Thread(target=wakeup.call)
        caller.start()
        caller.join()
        return True

    begin = time.monotonic()
    assert not wakeup.wait(LONG, idle)
    assert time.monotonic() - begin < LONG / 2
    assert not wakeup.wait(0.0, lambda: True)


def test_no_call_of_many_threads_is_missed(wakeup: Wakeup) -> None:
    jobs: queue.SimpleQueue[int] = queue.SimpleQueue()
    threads, each = 4, 500

    def put() -> None:
        for number in range(each):
            jobs.put(number)
            wakeup.call()

    callers = [threading.Thread(target=put) for _ in range(threads)]
    for caller in callers:
        caller.start()
    got = 0
    begin = time.monotonic()
    while got < threads * each:
        wakeup.wait(LONG, jobs.empty)
        with contextlib.suppress(queue.Empty):
            while True:
                jobs.get_nowait()
                got += 1
    assert time.monotonic() - begin < LONG / 2
    for caller in callers:
        caller.join()


def test_a_call_of_a_closed_one_writes_to_nothing(wakeup: Wakeup) -> None:
    wakeup.close()
    wakeup.call()
    assert not wakeup.armed and not wakeup.changed()


def test_a_change_is_reported_once_until_it_is_armed_again(wakeup: Wakeup, path: Path) -> None:
    path.write_text("1")
    path.write_text("2")
    assert wakeup.wait(LONG, lambda: True) and not wakeup.armed and wakeup.proved
    assert not wakeup.changed()
    path.write_text("3")
    assert not wakeup.wait(0.0, lambda: True)
    assert wakeup.arm(str(path)) and not wakeup.changed()
    path.write_text("4")
    assert wakeup.changed()


def test_a_report_of_a_watch_that_was_given_up_counts_for_nothing(wakeup: Wakeup, path: Path) -> None:
    path.write_text("1")
    wakeup.forget()
    other = path.with_name("other")
    other.touch()
    assert wakeup.arm(str(other)) and not wakeup.changed() and not wakeup.proved
    os.unlink(path)
    assert not wakeup.changed()


def test_a_change_that_is_no_write_is_not_reported(wakeup: Wakeup, path: Path) -> None:
    with path.open():
        os.chmod(path, 0o600)
        os.unlink(path)
        assert not wakeup.changed() and wakeup.armed
    assert wakeup.changed() and not wakeup.armed and not wakeup.proved, "the watch ends with the file"


def test_a_missing_file_is_not_watched(wakeup: Wakeup, path: Path) -> None:
    assert not wakeup.arm(f"{path}-none") and not wakeup.armed
