"""A file that is locked, full, gone, replaced, cut or restored: nothing is lost in silence, or repeated."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from rx_sse import SQLiteBus, SQLitePublisher, publish_in
from rx_sse.bus.bus import core_of
from rx_sse.bus.sqlite.appending import Appender
from rx_sse.bus.sqlite.pages import Pages
from rx_sse.bus.sqlite.work import Work
from rx_sse.errors import PublishRefused, RxSseError
from rx_sse.testing.listener import Listener

from ...reader import until
from ..logs import sqlite_of, writer_of


@pytest.fixture
async def bus(path: Path) -> AsyncIterator[SQLiteBus]:
    async with SQLiteBus(path) as bus:
        yield bus


@contextlib.contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """A transaction of another program's, which has written."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE other (x)")
    yield other
    if other.in_transaction:
        other.execute("ROLLBACK")
    other.close()


def remove(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        with contextlib.suppress(FileNotFoundError):
            (path.parent / name).unlink()


async def test_a_long_transaction_of_another_program_delays_and_loses_nothing(
    bus: SQLiteBus, path: Path
) -> None:
    listener = await Listener(bus, "t").opened()
    with locked(path):
        for number in range(50):
            bus.topic("t").on_next(number)
        with pytest.raises(PublishRefused, match="nothing was stored") as refused:
            await bus.publish("t", "refused")
        assert refused.value.retry_after and "locked" in str(refused.value)
        opened = await Listener(bus, "t", last=5).opened()
        assert opened.error is None, "reading needs no lock"
        await until(lambda: not bus.ready())
    await listener.received(50)
    await until(bus.ready)
    await bus.publish("t", 50)
    await listener.received(51)
    assert listener.values == list(range(51)) and not listener.gaps


async def test_a_start_while_the_file_is_locked_waits_for_it(path: Path) -> None:
    async with SQLiteBus(path):
        pass
    with locked(path) as other:
        async with SQLiteBus(path, publish_timeout=0.3) as bus:
            bus.topic("t").on_next(1)
            with pytest.raises(PublishRefused):
                await bus.publish("t", 2)
            listener = Listener(bus, "new")
            assert not listener.written, "it got an invalid position"
            other.execute("ROLLBACK")
            await listener.opened()
            await bus.publish("t", 2)
            first = await Listener(bus, "t", last=5).received(2)
            assert first.values == [1, 2]
    async with SQLiteBus(path) as bus:
        await bus.publish("t", 3)


async def test_a_full_disk_refuses_and_heals_by_itself(bus: SQLiteBus, path: Path) -> None:
    listener = await Listener(bus, "t").opened()
    await bus.publish("t", 0)
    errors: list[Any] = []
    bus.errors.subscribe(errors.append)
    writer = writer_of(bus)
    loop = asyncio.get_running_loop()

    def limit(connection: sqlite3.Connection, pages: int) -> int:
        count = connection.execute("PRAGMA page_count").fetchone()[0]
        return int(connection.execute(f"PRAGMA max_page_count = {pages or count}").fetchone()[0])

    full = loop.create_future()
    writer.work(Work(lambda connection, _: limit(connection, 0), full.set_result, reads=True))
    await full
    taken = 1
    with pytest.raises(PublishRefused, match="full"):
        for taken in range(1, 200):
            await bus.publish("t", {"n": taken, "pad": "x" * 500})
    assert not bus.ready()
    bus.topic("t").on_next({"n": "pushed", "pad": "x" * 5000})
    healed = loop.create_future()
    writer.work(
        Work(lambda connection, _: limit(connection, 1_000_000), lambda it: healed.set_result(it), reads=True)
    )
    await healed
    await until(bus.ready)
    await bus.publish("t", "after")
    await listener.until(lambda it: bool(it.events) and it.events[-1].data == "after")
    got = [event.json()["n"] for event in listener.events[1:-1]]
    assert got == [*range(1, taken), "pushed"] and not listener.gaps
    assert any("full" in str(it.error) for it in errors), "it was not reported"


async def test_a_file_that_is_deleted_is_made_anew_and_readers_are_told(bus: SQLiteBus, path: Path) -> None:
    listener = await Listener(bus, "t").opened()
    for number in range(5):
        await bus.publish("t", number)
    await listener.received(5)
    cursor = listener.cursor
    remove(path)
    await until(lambda: path.exists() and bool(listener.gaps))
    await until(bus.ready)
    await bus.publish("t", "new")
    await listener.received(6)
    assert listener.events[-1].data == "new" and len(listener.gaps) == 1
    late = await Listener(bus, "t", cursor=cursor).until(lambda it: bool(it.gaps))
    assert late.gaps, "a cursor of the file that is gone was taken for one of this"
    with SQLitePublisher(path) as publisher:
        publisher.publish("t", "from elsewhere")
    await listener.received(7)


async def test_what_is_accepted_after_a_file_was_replaced_is_in_the_new_one(
    bus: SQLiteBus, path: Path
) -> None:
    """Otherwise it is in a file that other processes have left, and their clients hear nothing of it."""
    await bus.publish("t", "before")
    remove(path)
    await bus.publish("t", "after")
    file = sqlite3.connect(path)
    assert file.execute("SELECT data FROM rx_sse_entries WHERE kind = 't'").fetchall() == [("after",)]
    file.close()


async def test_a_publisher_goes_on_with_the_file_that_is_there(path: Path) -> None:
    with SQLitePublisher(path) as publisher:
        publisher.publish("t", 1)
        remove(path)
        publisher.publish("t", 2)
    async with SQLiteBus(path) as bus:
        listener = await Listener(bus, "t", last=5).received(1)
        assert listener.values == [2]


async def test_a_publisher_leaves_a_file_that_is_replaced_as_it_begins(path: Path) -> None:
    """Between its look at the file and its transaction: others have left the old one, and hear nothing."""
    with SQLitePublisher(path) as publisher:
        publisher.publish("t", 1)
        connection = publisher._state.connection
        assert connection is not None
        connection.set_trace_callback(lambda it: remove(path) if it == "BEGIN IMMEDIATE" else None)
        publisher.publish("t", 2)
    async with SQLiteBus(path) as bus:
        listener = await Listener(bus, "t", last=5).received(1)
        assert listener.values == [2]


async def test_a_backup_put_in_its_place_is_noticed(path: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    async with SQLiteBus(path) as bus:
        for number in range(5):
            await bus.publish("t", number)
        source, target = sqlite3.connect(path), sqlite3.connect(backup)
        source.backup(target)
        source.close()
        target.close()
        listener = await Listener(bus, "t").opened()
        for number in range(5, 10):
            await bus.publish("t", number)
        await listener.received(5)
        remove(path)
        shutil.copy(backup, path)
        await until(lambda: bool(listener.gaps))
        assert listener.gaps[0].json()["reason"] == "withdrawn"
        await until(bus.ready)
        await bus.publish("t", 10)
        await listener.received(6)
        assert listener.values == [5, 6, 7, 8, 9, 10], "what was delivered came again"


@pytest.mark.parametrize("more", [0, 1, 9], ids=["then nothing", "then one", "then more than before"])
@pytest.mark.parametrize("how", ["replaced", "written over"])
async def test_entries_that_a_restored_backup_lost_are_told_to_clients_of_other_processes(
    path: Path, tmp_path: Path, how: str, more: int
) -> None:
    """Only the process that stored them knows that they existed, and none of its clients is in the topic."""
    backup = tmp_path / "backup.db"
    async with SQLiteBus(path) as bus:
        cursor = await bus.publish("t", 0)
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(backup)) as target,
        ):
            source.backup(target)
        for topic in ("t", "t", "beside"):
            await bus.publish(topic, "lost")
        if how == "replaced":
            remove(path)
            shutil.copy(backup, path)
        else:
            with (
                contextlib.closing(sqlite3.connect(backup)) as source,
                contextlib.closing(sqlite3.connect(path)) as target,
            ):
                source.backup(target)
        for number in range(more):  # before anybody has looked at the file again
            await bus.publish("t", number)
        async with SQLiteBus(path) as other:
            listener = await Listener(other, "t", cursor=cursor).opened()
            await until(lambda: bool(listener.gaps))
            await bus.publish("t", 99)
            await listener.received(more + 1)
            assert listener.values == [*range(more), 99]
            assert [gap.json()["reason"] for gap in listener.gaps] == ["withdrawn"]


async def test_what_others_wrote_into_a_restored_backup_hides_nothing_that_it_has_lost(
    path: Path, tmp_path: Path
) -> None:
    """The ids go on rising then, and this process writes to the topic again before it has looked."""
    backup, seen = tmp_path / "backup.db", list[str | None]()
    async with SQLiteBus(path) as bus:
        await bus.publish("t", 0)
        with (
            contextlib.closing(sqlite3.connect(path)) as source,
            contextlib.closing(sqlite3.connect(backup)) as target,
        ):
            source.backup(target)
        await bus.publish("t", "lost")
        with contextlib.closing(sqlite3.connect(backup)) as others, others:
            for number in range(20):
                publish_in(others, "elsewhere", number)
        remove(path)
        shutil.move(backup, path)
        await bus.publish("t", 1)

        async def told() -> bool:
            seen[:] = [entry.event for entry in await bus.history("t")]
            return "stream-gap" in seen

        async with asyncio.timeout(20):
            while not await told():
                await asyncio.sleep(0.02)
        assert seen == [None, None, "stream-gap"]


async def test_a_topic_of_another_life_in_a_new_file_has_no_gap(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    async with SQLiteBus(other) as beside:
        for number in range(3):
            await beside.publish("t", f"of the other file, {number}")
    async with SQLiteBus(path) as bus:
        await bus.publish("t", 0)
        remove(path)
        shutil.move(other, path)
        watches = sqlite_of(bus).watches
        await until(lambda: watches.seen == 3 and bus.ready())
        for _ in range(2):  # the second is behind whatever the first may have waited for
            await bus.publish("t", 1)
        assert [entry.event for entry in await bus.history("t")] == [None] * 5


async def test_what_another_process_writes_into_a_backup_copied_into_the_open_file_is_delivered(
    path: Path,
) -> None:
    """It gets the ids of entries that were this process's own, until the backup replaced them."""
    with contextlib.closing(sqlite3.connect(":memory:")) as backup:
        async with SQLiteBus(path) as bus:
            listener = await Listener(bus, "t").opened()
            await bus.publish("elsewhere", 0)
            with contextlib.closing(sqlite3.connect(path)) as file:
                file.backup(backup)
            for number in range(9):
                await bus.publish("elsewhere", number)
            watches = sqlite_of(bus).watches
            restarts = watches.restarts
            with contextlib.closing(sqlite3.connect(path)) as file:
                backup.backup(file)
            await until(lambda: watches.restarts > restarts)
            async with SQLiteBus(path) as other:
                for number in range(3):
                    await other.publish("t", number)
                await listener.received(3)
            assert listener.values == [0, 1, 2] and not listener.gaps


async def test_a_client_ahead_of_a_restored_backup_is_told(path: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup.db"
    async with SQLiteBus(path) as bus:
        await bus.publish("t", 0)
    shutil.copy(path, backup)
    async with SQLiteBus(path) as bus:
        behind = await bus.publish("t", 1)
    remove(path)
    shutil.copy(backup, path)
    async with SQLiteBus(path) as bus:
        await bus.publish("t", "another 1")
        back = await Listener(bus, "t", cursor=behind).opened()
        assert len(back.gaps) == 1


@pytest.mark.parametrize("kept", [0.0, 0.35, 0.8, 0.99])
async def test_a_power_cut_takes_the_last_commits_and_clients_behind_it_are_told(
    path: Path, tmp_path: Path, kept: float
) -> None:
    """The file and its WAL as they were at an earlier moment: the WAL's tail is cut off."""
    cut = tmp_path / "cut.db"
    ids: list[str] = []
    async with SQLiteBus(path) as bus:
        for number in range(200):
            ids.append(await bus.publish("t", number))
        shutil.copy(path, cut)
        shutil.copy(f"{path}-wal", f"{cut}-wal")
    os.truncate(f"{cut}-wal", int(os.stat(f"{cut}-wal").st_size * kept))
    async with SQLiteBus(cut) as bus:
        page = await bus.history("t", limit=500)
        left = len(page)
        assert [entry.data for entry in page] == [str(number) for number in range(left)] and left < 200
        await bus.publish("t", "after")
        for place in (left - 1, left, 150, 199):
            if place < 0:
                continue
            back = await Listener(bus, "t", cursor=ids[place]).opened()
            await bus.publish("t", f"live {place}")
            await back.until(lambda it: bool(it.events) and it.events[-1].data[:4] == "live")
            assert len(back.gaps) == (place >= left), f"{place} of {left}"
            again = [int(event.data) for event in back.events if event.data.isdigit()]
            assert again == list(range(place + 1, left)), "something is missing, or came again"


@pytest.mark.parametrize("step", [3600.0, -3600.0])
async def test_a_clock_that_is_set_loses_nothing_in_silence(
    path: Path, step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, real_ns = time.time, time.time_ns
    async with SQLiteBus(path, ttl=1800.0, history=10) as bus:
        listener = await Listener(bus, "t").opened()
        for number in range(30):
            await bus.publish("t", number)
        cursor = listener.cursor
        monkeypatch.setattr(time, "time", lambda: real() + step)
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + int(step * 1e9))
        core_of(bus).tick(asyncio.get_running_loop().time())
        for number in range(30, 40):
            await bus.publish("t", number)
        await listener.received(40)
        assert listener.values == list(range(40)) and not listener.gaps
        back = await Listener(bus, "t", cursor=cursor).received(10)
        assert back.values == list(range(30, 40)) and not back.gaps, "the clock ended the history's life"
    async with SQLiteBus(path, ttl=1800.0, history=10) as bus:
        back = await Listener(bus, "t", cursor=cursor).received(10)
        assert back.values == list(range(30, 40)) and not back.gaps


async def test_a_damaged_row_is_a_gap_in_its_place(bus: SQLiteBus, path: Path) -> None:
    first = await bus.publish("t", 0)
    for number in range(1, 6):
        await bus.publish("t", number)
    file = sqlite3.connect(path)
    with file:
        file.execute("UPDATE rx_sse_entries SET kind = 'j', data = '{broken' WHERE seq = 3")
        file.execute("DELETE FROM rx_sse_entries WHERE seq = 5")
    file.close()
    async with SQLiteBus(path) as other:
        back = await Listener(other, "t", cursor=first).until(
            lambda it: bool(it.events) and it.events[-1].data == "5"
        )
        assert [event.data for event in back.events] == ["1", "3", "5"] and len(back.gaps) == 2


async def test_a_tables_row_that_sqlite_refuses_is_its_publishers_alone(bus: SQLiteBus, path: Path) -> None:
    """An application's trigger refuses one topic; the others of the same batch are stored."""
    file = sqlite3.connect(path)
    with file:
        file.execute(
            "CREATE TRIGGER no_pears BEFORE INSERT ON rx_sse_entries WHEN NEW.data = '\"pear\"' OR "
            "NEW.data = 'pear' BEGIN SELECT RAISE(ABORT, 'no pears'); END"
        )
    file.close()
    outcomes = await asyncio.gather(
        *(bus.publish("fruit", it) for it in ("apple", "pear", "plum")), return_exceptions=True
    )
    assert isinstance(outcomes[1], RxSseError) and "no pears" in str(outcomes[1])
    listener = await Listener(bus, "fruit", last=5).received(2)
    assert [event.data for event in listener.events] == ["apple", "plum"]


def test_a_bus_goes_on_in_another_loop_and_after_a_loop_that_was_not_closed(path: Path) -> None:
    bus = SQLiteBus(path)

    async def use(number: int) -> list[Any]:
        await bus.start()
        await bus.publish("t", number)
        listener = await Listener(bus, "t", last=10).received(number + 1)
        return listener.values

    assert asyncio.run(use(0)) == [0]
    assert asyncio.run(use(1)) == [0, 1]

    async def last() -> None:
        async with bus:
            await bus.publish("t", 2)

    asyncio.run(last())


async def test_a_thread_goes_on_after_an_error_that_is_not_sqlites(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SQLiteBus(path) as bus, SQLiteBus(path) as other:
        told: list[str] = []
        bus.errors.subscribe(lambda error: told.append(str(error.error)))
        listener = await Listener(bus, "t").opened()
        with monkeypatch.context() as broken:
            broken.setattr(Appender, "append", lambda *_, **__: 1 // 0)
            waiting = asyncio.create_task(bus.publish("t", "of the writer"))
            await until(lambda: bool(told))
            assert "division" in told[0] and not bus.ready()
        await waiting
        with monkeypatch.context() as broken:
            broken.setattr(Pages, "news", lambda *_: [][0])
            await other.publish("t", "of another process")
            await until(lambda: len(told) > 1)
            assert "index" in told[1]
        await listener.received(2)
        await other.publish("t", "later")
        await listener.received(3)
        assert [event.data for event in listener.events] == ["of the writer", "of another process", "later"]
        assert not listener.gaps and bus.ready()


@pytest.mark.parametrize(
    "hostile", ["CAST(x'22ff22' AS TEXT)", "x'ff'", "'[' || printf('%.*c', 100000, '[')"]
)
async def test_a_row_that_another_program_broke_is_one_gap_and_the_others_are_read(
    path: Path, hostile: str
) -> None:
    async with SQLiteBus(path) as bus:
        first = await bus.publish("t", 0)
        for number in range(1, 4):
            await bus.publish("t", number)
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute(f"UPDATE rx_sse_entries SET data = {hostile} WHERE seq = 3")
    async with SQLiteBus(path) as bus:
        listener = await Listener(bus, "t", cursor=first).opened()
        await bus.publish("t", 4)
        await listener.received(3)
        assert [event.data for event in listener.events] == ["1", "3", "4"]
        assert [gap.json()["reason"] for gap in listener.gaps] == ["unreadable"]
        assert len((await bus.history("t")).entries) == 5
