"""The leases of runs in a file: a row for each start of a run; the newest row counts.

Standard: `rx_sse.bus.log.lease`; times are the file's milliseconds, `began` and `since` those of the epoch.
Never: a change outside of a transaction that has the write lock. So only one process owns a run, and an entry
is stored only while its owner does.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from rx_sse.bus.log.lease import LOST, MOST, RUNNING, Claim, Lease, Take
from rx_sse.bus.names import run_of, run_topic
from rx_sse.bus.sqlite.file_clock import wall

OVERDUE = 100
"""Expired leases in one query."""

_ROW = "name, generation, fence, state, owner, until, began, since, resumes, key, entries, asked"
_LOOK = f"SELECT {_ROW} FROM rx_sse_leases WHERE name = ? ORDER BY generation DESC LIMIT 1"
_OVERDUE = f"SELECT {_ROW} FROM rx_sse_leases WHERE till IS NULL AND until <= ? LIMIT {OVERDUE}"
_NEWEST = f"""
    SELECT {_ROW} FROM rx_sse_leases AS l
    WHERE generation = (SELECT max(generation) FROM rx_sse_leases WHERE name = l.name)
    ORDER BY since DESC LIMIT {MOST}
"""
_HEAD = """
    SELECT coalesce((SELECT seq FROM rx_sse_entries WHERE topic = t.id ORDER BY seq DESC LIMIT 1), t.seq)
    FROM rx_sse_topics t WHERE t.name = ?
"""


class LeaseRows:
    """The leases on one connection, at one moment.

    Args:
        connection: the writer's connection.
        now: milliseconds of the file.
    """

    __slots__ = ("_now", "_rows")

    def __init__(self, connection: sqlite3.Connection, now: int) -> None:
        self._rows = connection.cursor()
        self._rows.row_factory = None
        self._now = now

    def look(self, name: str) -> Lease | None:
        """See `Leasing.look`."""
        row = self._rows.execute(_LOOK, (name,)).fetchone()
        return None if row is None else self._lease(row)

    def take(self, name: str, wish: Take) -> Lease:
        """See `Leasing.take`."""
        found = self.look(name)
        if found is None:
            self._start(name, self._unused(name), 1, wish)
        elif found.state == RUNNING:
            if found.owner == wish.owner or (found.overdue and found.resumes and wish.resumes):
                self._set(found, wish.seconds, wish.owner, found.fence + (found.owner != wish.owner))
        elif wish.restart or (wish.key and wish.key != found.key):
            self._start(name, found.generation + 1, found.fence + 1, wish)
        taken = self.look(name)
        assert taken is not None
        return taken

    def renew(self, name: str, fence: int, seconds: float) -> Lease | None:
        """See `Leasing.renew`."""
        found = self.look(name)
        if found is None or found.fence != fence or found.state != RUNNING:
            return found
        self._set(found, seconds, found.owner, fence)
        return self.look(name)

    def ask(self, name: str, reason: str) -> Lease | None:
        """See `Leasing.ask`."""
        self._rows.execute(
            "UPDATE rx_sse_leases SET asked = ? WHERE name = ? AND till IS NULL", (reason, name)
        )
        return self.look(name)

    def all(self, *, overdue: bool) -> list[Lease]:
        """See `Leasing.all`."""
        found = self._rows.execute(_OVERDUE, (self._now,)) if overdue else self._rows.execute(_NEWEST)
        return [self._lease(row) for row in found.fetchall()]

    def admits(self, topic: str, claim: Claim) -> bool:
        """Whether a draft with this claim may be stored."""
        found = self.look(run_of(topic))
        if found is None or found.fence != claim.fence or found.state != RUNNING:
            return False
        return claim.end != LOST or found.overdue

    def end(self, topic: str, claim: Claim, entries: int) -> None:
        """The stored draft ends its run, which had `entries` entries."""
        self._rows.execute(
            "UPDATE rx_sse_leases SET state = ?, since = ?, entries = ?, till = ? "
            "WHERE name = ? AND till IS NULL",
            (claim.end, wall(), entries, self._now + int(claim.life * 1000), run_of(topic)),
        )

    # -- inside ----------------------------------------------------------------------------------------------

    def _start(self, name: str, generation: int, fence: int, wish: Take) -> None:
        until, now = self._now + int(wish.seconds * 1000), wall()
        self._rows.execute(
            f"INSERT INTO rx_sse_leases ({_ROW}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '')",
            (name, generation, fence, RUNNING, wish.owner, until, now, now, wish.resumes, wish.key),
        )

    def _set(self, lease: Lease, seconds: float, owner: str, fence: int) -> None:
        self._rows.execute(
            "UPDATE rx_sse_leases SET until = ?, owner = ?, fence = ? WHERE name = ? AND generation = ?",
            (self._now + int(seconds * 1000), owner, fence, lease.name, lease.generation),
        )

    def _unused(self, name: str) -> int:
        """The first generation whose topic is empty: an expired one may not have been swept yet."""
        generation = 1
        while self._count(run_topic(name, generation)):
            generation += 1
        return generation

    def _count(self, topic: str) -> int:
        """The entries that a topic has had."""
        row = self._rows.execute(_HEAD, (topic,)).fetchone()
        return 0 if row is None else int(row[0])

    def _lease(self, row: Sequence[Any]) -> Lease:
        name, generation, fence, state, owner, until, began, since, resumes, key, entries, asked = row
        return Lease(
            name,
            generation,
            fence,
            state,
            owner,
            (until - self._now) / 1000,
            began / 1000,
            since / 1000,
            bool(resumes),
            key,
            self._count(run_topic(name, generation)) if state == RUNNING else entries,
            asked,
        )
