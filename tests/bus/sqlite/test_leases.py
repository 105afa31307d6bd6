"""The leases of runs in a file: what an older file gets, what is over, what a fence keeps out."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import reactivex as rx

from rx_sse import SQLiteBus
from rx_sse.bus.bus import core_of
from rx_sse.bus.log.entry import Draft
from rx_sse.bus.log.lease import MOST, Claim, Take
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.sqlite.appending import Appender
from rx_sse.bus.sqlite.lease_rows import LeaseRows
from rx_sse.bus.sqlite.schema import LAYOUT, create
from rx_sse.bus.sqlite.sweeping import Sweeper
from rx_sse.errors import PublishRefused
from rx_sse.notebook import history

KEPT = Retention()


def asked(path: Path, question: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as file:
        return file.execute(question).fetchall()


def as_older(path: Path) -> None:
    """The file as the version before runs has made it."""
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("DROP TABLE rx_sse_leases")
        file.execute("UPDATE rx_sse_meta SET value = 1 WHERE name = 'layout'")


async def test_a_file_of_the_older_layout_gets_the_leases_and_keeps_what_it_has(path: Path) -> None:
    async with SQLiteBus(path) as bus:
        cursor = await bus.publish("t", 1)
    as_older(path)
    assert [event.data for event in history(path, "t").values] == ["1"]
    async with SQLiteBus(path) as bus:
        assert (await bus.position("t")) == cursor
        assert (await (await bus.run("a", rx.of(1, 2))).result()).entries == 2
    assert asked(path, "SELECT value FROM rx_sse_meta WHERE name = 'layout'") == [(LAYOUT,)]


async def test_a_run_survives_its_process_and_is_forgotten_after_its_time(
    path: Path, forward: Callable[[float], None]
) -> None:
    async with SQLiteBus(path) as bus:
        run = await bus.run("a", rx.of(1, 2), ttl=60.0)
        await run.result()
        topic = run.topic
    async with SQLiteBus(path) as bus:
        found = await bus.find_run("a")
        assert found is not None and (found.state, found.entries) == ("completed", 2)
        assert len((await bus.history(topic)).entries) == 3
        forward(70.0)
        async with asyncio.timeout(20):
            while asked(path, "SELECT 1 FROM rx_sse_topics WHERE name LIKE 'run:%'"):
                core_of(bus).tick(asyncio.get_running_loop().time())
                await asyncio.sleep(0.005)
                forward(0.1)
        assert await bus.find_run("a") is None and await bus.runs() == []
        assert asked(path, "SELECT count(*) FROM rx_sse_entries") == [(0,)]
        again = await bus.run("a", rx.of(3))
        assert again.started and (await again.result()).entries == 1


def rows_of(path: Path, now: int) -> tuple[sqlite3.Connection, LeaseRows]:
    connection = sqlite3.connect(path, isolation_level=None)
    create(connection)
    return connection, LeaseRows(connection, now)


def draft(value: str, claim: Claim) -> Draft:
    made = Draft("run:a", "t", value, None, KEPT)
    made.claim = claim
    return made


def test_a_batch_stores_nothing_behind_an_end_and_nothing_of_an_outdated_owner(path: Path) -> None:
    connection, rows = rows_of(path, 1000)
    appender = Appender(connection, remember=True)
    assert rows.take("a", Take("one", 1.0, resumes=True)).fence == 1
    late = LeaseRows(connection, 3000)
    assert late.take("a", Take("two", 1.0, resumes=True)).fence == 2
    drafts = [draft("1", Claim(1)), draft("2", Claim(2)), draft("lost", Claim(2, "lost", 9.0))]
    drafts += [
        draft("end", Claim(2, "completed", 9.0)),
        draft("3", Claim(2)),
        draft("x", Claim(2, "stopped")),
    ]
    outcomes, stored = appender.append(drafts, 3000)
    assert [draft.data for draft in stored.drafts] == ["2", "end"]
    assert [isinstance(it, PublishRefused) for it in outcomes] == [True, False, True, False, True, True]
    found = late.look("a")
    assert found is not None and (found.state, found.entries) == ("completed", 1)
    outcomes, _ = appender.append([drafts[3]], 3000, {drafts[3]: None})
    assert not isinstance(outcomes[0], Exception), "its commit failed and it was stored all the same"
    connection.close()


def test_the_runs_that_ended_first_are_forgotten_where_there_are_too_many(path: Path) -> None:
    connection, rows = rows_of(path, 1000)
    connection.execute("BEGIN IMMEDIATE")
    for number in range(MOST + 2):
        rows.take(f"r{number}", Take("one", 1.0))
        LeaseRows(connection, 1000 + number).end(f"run:r{number}", Claim(1, "completed", 3600.0), 0)
    connection.execute("COMMIT")
    sweeper = Sweeper(connection)
    assert sweeper.due(1000)
    sweeper.slice(1000)
    assert not sweeper.due(1000)
    assert rows.look("r0") is None and rows.look("r1") is None and rows.look("r2") is not None
    assert len(rows.all(overdue=False)) == MOST
    connection.close()


async def test_a_process_that_starts_ends_a_run_that_the_file_still_has(path: Path) -> None:
    connection, rows = rows_of(path, 1000)  # long ago
    rows.take("a", Take("one", 10.0))
    Appender(connection, remember=False).append([draft("1", Claim(1))], 1000)
    connection.close()
    async with SQLiteBus(path) as bus:
        found = await bus.find_run("a")
        assert found is not None and (found.state, found.entries) == ("lost", 1)
        assert [entry.event for entry in (await bus.history("run:a")).entries] == [None, "stream-end"]
