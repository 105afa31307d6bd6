"""What a file has kept, as a recording: read-only, also while the application runs."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import rx_sse
from rx_sse import SQLiteBus
from rx_sse.errors import TopicNameError, UsageError
from rx_sse.notebook import Diagram, history

HOUR = timedelta(hours=1)


def age(path: Path, *ages: float) -> None:
    """Date the entries of all topics: so many seconds ago, in their order."""
    now = datetime.now(UTC).timestamp()
    with sqlite3.connect(path) as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM rx_sse_entries ORDER BY id")]
        times = [(round((now - seconds) * 1000), id) for seconds, id in zip(ages, ids, strict=True)]
        connection.executemany("UPDATE rx_sse_entries SET at = ? WHERE id = ?", times)
    connection.close()


async def test_it_is_what_the_stream_had_while_the_application_runs(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with SQLiteBus(path) as bus:
        ids = [
            await bus.publish("orders", {"n": 1}),
            await bus.publish("orders", "two", event="named"),
        ]
        await bus.publish("other", 3)
        before = await bus.history("orders")
        recording = history(path, "orders")
        events = recording.values
        assert [(e.id, e.event, e.data) for e in events] == [
            (ids[0], None, '{"n":1}'),
            (ids[1], "named", "two"),
        ]
        assert events[0].json() == {"n": 1} and recording.name == "orders"
        took = (before[1].time - before[0].time).total_seconds()
        assert recording.moments[0].at == 0 and abs(recording.moments[1].at - took) < 0.002
        await bus.publish("orders", 4)
        assert len(history(path, "orders")) == 3
        assert await bus.history("orders", limit=2) is not None


async def test_nothing_is_written_or_left_beside_a_file_that_nobody_has_open(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with SQLiteBus(path) as bus:
        await bus.publish("t", 1)
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert os.listdir(tmp_path) == ["app.db"]
    assert len(history(path, "t")) == 1
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before and os.listdir(tmp_path) == ["app.db"]


KILLED = """
import asyncio, os, sys
from rx_sse import SQLiteBus

async def main():
    bus = SQLiteBus(sys.argv[1])
    await bus.start()
    for n in range(10):
        await bus.publish("t", n)
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


def test_what_a_killed_process_has_left_is_there(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=60)
    assert done.returncode == -9
    assert [event.json() for event in history(path, "t").values] == list(range(10))


async def test_a_part_of_it_by_time(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with SQLiteBus(path, ttl=1e6) as bus:
        for n in range(5):
            await bus.publish("t", n)
    age(path, 7200.0, 3700.0, 3500.0, 1800.0, 60.0)

    def values(**given: Any) -> list[int]:
        return [event.json() for event in history(path, "t", **given).values]

    assert values() == [0, 1, 2, 3, 4]
    assert values(since=HOUR) == [2, 3, 4]
    assert values(since=2.5 * HOUR, until=HOUR) == [0, 1]
    assert values(until=datetime.now(UTC) - timedelta(minutes=10)) == [0, 1, 2, 3]
    assert values(since=timedelta(seconds=10)) == []
    hour = history(path, "t", since=HOUR)
    assert abs(hour.seconds - 3600) < 0.01 and abs(hour.moments[0].at - 100) < 5
    assert abs(history(path, "t").seconds - 7140) < 5


async def test_operators_run_over_it_in_virtual_time(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with SQLiteBus(path, ttl=1e6) as bus:
        for n in range(60):
            await bus.publish("t", n)
    age(path, *[3600.0 - 10 * n for n in range(60)])
    before = history(path, "t", since=2 * HOUR)
    after = before.through(rx_sse.throttle_latest(60), name="told")
    assert 8 <= len(after) <= 12 and after.values[-1].json() == 59
    drawn = repr(Diagram({"orders": before, "told": after}, before.seconds))
    assert "orders" in drawn and "told" in drawn


async def test_a_clock_that_was_set_back_stands_still_and_marks_are_no_events(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with SQLiteBus(path, ttl=1e6) as bus:
        for n in range(3):
            await bus.publish("t", n)
        await bus.end("t")
        await bus.publish("t", 3)
    age(path, 50.0, 20.0, 40.0, 15.0, 10.0)
    assert [round(moment.at) for moment in history(path, "t")] == [0, 30, 30, 40]


async def test_what_the_log_has_lost_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with SQLiteBus(path) as bus:
        await bus.publish("t", 1)
        await bus.publish("t", 2)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE rx_sse_entries SET kind = 'from another version' WHERE seq = 1")
    connection.close()
    with pytest.warns(RuntimeWarning, match="t: the log has lost events"):
        assert [event.json() for event in history(path, "t").values] == [2]


async def test_what_is_no_history_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with SQLiteBus(path) as bus:
        await bus.publish("orders", 1)
    text, empty = tmp_path / "text.db", tmp_path / "empty.db"
    text.write_text("no database at all, but a text of more than a few bytes" * 50)
    sqlite3.connect(empty).execute("CREATE TABLE other (x)").connection.close()
    for given, topic, told in (
        (tmp_path / "none.db", "orders", "there is no such file"),
        (tmp_path, "orders", "there is no such file"),
        (text, "orders", "is no SQLite database"),
        (empty, "orders", "holds no topics"),
        (path, "ordres", r"has no topic 'ordres'; there are 'orders'"),
        (7, "orders", "is not a path"),
    ):
        with pytest.raises(UsageError, match=told):
            history(given, topic)  # type: ignore[arg-type]
    assert not (tmp_path / "none.db").exists()
    with pytest.raises(TopicNameError):
        history(path, "!revocations")
    senseless: list[dict[str, Any]] = [
        {"since": datetime(2026, 1, 2)},
        {"until": 3},
        {"since": HOUR, "until": 2 * HOUR},
        {"since": datetime.now(UTC) + HOUR},
    ]
    for times in senseless:
        with pytest.raises(UsageError, match=r"since=|until="):
            history(path, "orders", **times)


async def test_it_disturbs_no_publisher(tmp_path: Path) -> None:
    """Read again and again while a hundred events are published: none is refused or late."""
    path = tmp_path / "app.db"
    async with SQLiteBus(path) as bus:
        await bus.publish("t", -1)

        async def publish() -> None:
            for n in range(100):
                await bus.publish("t", n)

        publishing = asyncio.create_task(publish())
        lengths = [1]
        while not publishing.done():
            lengths.append(len(await asyncio.to_thread(history, path, "t")))
        await publishing
        assert lengths == sorted(lengths) and len(history(path, "t")) == 101
