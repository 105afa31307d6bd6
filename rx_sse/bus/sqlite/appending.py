"""Drafts into the log: positions are assigned, entries inserted, entries over the limits trimmed.

All of it happens inside one transaction that has the write lock, so the chain holds whatever other processes
write to the file. A topic's state is cached between two transactions while no other connection has changed
the file. Rows are inserted many at a time: each statement gives up the interpreter's lock, and under
a busy loop it is a while before the thread has it again.

Standard: docs/resume.md §1, §4.
Never: an entry is trimmed that is so young that another process may not have read it yet.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rx_sse.bus.log.entry import Draft
from rx_sse.bus.log.idempotency import fingerprint
from rx_sse.bus.log.lease import NO_LEASE, Claim
from rx_sse.bus.log.position import (
    MASK,
    SEQ_BITS,
    SHIFT,
    Nonces,
    Position,
    new_position,
    nonce_of,
    seq_of,
)
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.sqlite.lease_rows import LeaseRows
from rx_sse.bus.sqlite.rows import OVERHEAD
from rx_sse.bus.sqlite.schema import has_traces
from rx_sse.bus.sqlite.stored import Stored
from rx_sse.errors import PublishRefused, PublishUnknown

YOUNG = 3000
"""Milliseconds for which an entry stays whatever the limits say: other processes read it within 0.25 s.
"""
SLACK = 64
"""Entries over the limit before they are deleted, in one statement; a quarter of the limit if that is less.
"""
CUT = 1000
"""Entries that one append deletes at most, of a topic."""
ROWS = 64
BLOCK = 256
"""Rows inserted by one statement: so many, and of what is left at most 64. Python keeps the prepared
statement of each number of rows.
"""
LOOK = 20_000
"""Entries that are searched for one whose commit failed: it may be stored all the same."""
KNOWN = 4096
"""Topics that are cached between two transactions."""

_FIELDS = "(id, topic, seq, nonce, prev, at, upto, kind, event, data)"
_WIDTH = 10
_INSERT = {
    count: f"INSERT INTO rx_sse_entries {_FIELDS} VALUES {', '.join(['(?,?,?,?,?,?,?,?,?,?)'] * count)}"
    for count in (*range(1, ROWS + 1), BLOCK)
}
_TOPICS = """
    SELECT t.name, t.id, t.lineage, t.seq, t.nonce, t.entries, t.bytes, t.age,
        n.seq, n.nonce, n.upto, o.seq, o.upto
    FROM rx_sse_topics t
    LEFT JOIN rx_sse_entries n
        ON n.id = (SELECT id FROM rx_sse_entries WHERE topic = t.id ORDER BY seq DESC LIMIT 1)
    LEFT JOIN rx_sse_entries o
        ON o.id = (SELECT id FROM rx_sse_entries WHERE topic = t.id ORDER BY seq LIMIT 1)
    WHERE t.name IN ({})
"""

Outcome = Position | PublishRefused


class TopicState:
    """The state of a topic inside a transaction.

    Attributes:
        id: the id of its row.
        lineage: its birth nonce.
        position: its last position.
        kept: entries, bytes and milliseconds that are kept.
        upto: bytes of all entries so far.
        first, first_upto: the number of the oldest entry, and the bytes up to it.
        quiet_until: no trimming before, in the file's milliseconds.
        retention: the last one given, from which `kept` is made.
    """

    __slots__ = (
        "first",
        "first_upto",
        "id",
        "kept",
        "lineage",
        "position",
        "quiet_until",
        "retention",
        "upto",
    )

    def __init__(self, row: Sequence[Any]) -> None:
        self.id, self.lineage, seq, nonce, *self.kept, last, last_nonce, upto, first, first_upto = row
        self.position = new_position(seq, nonce) if last is None else new_position(last, last_nonce)
        self.upto: int = upto or 0
        self.first: int = seq + 1 if first is None else first
        self.first_upto: int = first_upto or 0
        self.quiet_until = 0
        self.retention: Retention | None = None


def margin(age: int) -> int:
    """Milliseconds for which a topic is kept longer than its entries."""
    return min(60_000, max(age, 1000))


def numbers(retention: Retention) -> list[int]:
    """A retention as in a topic's row: entries, bytes, milliseconds."""
    return [max(retention.entries, 1), retention.bytes, max(int(retention.age * 1000), 1)]


class Appender:
    """Appends on one connection, inside its transactions.

    Args:
        connection: the connection; used by one thread at a time.
        remember: whether topics are cached from one transaction to the next; only if all transactions of the
            connection are the appender's owner's, who calls `begin` in each. Otherwise one draft at a time is
            appended.
    """

    __slots__ = ("_connection", "_id", "_known", "_nonces", "_remember", "_rows", "_version")

    def __init__(self, connection: sqlite3.Connection, *, remember: bool) -> None:
        self._connection = connection
        self._rows = connection.cursor()
        self._rows.row_factory = None
        self._remember = remember
        self._known: dict[str, TopicState] = {}
        self._nonces = Nonces()
        self._version = -1
        self._id = -1

    def begin(self) -> bool:
        """A transaction has begun: discard cached state that another connection may have changed.

        Returns:
            Whether no other connection has changed the file since the call before.
        """
        version = self._rows.execute("PRAGMA data_version").fetchone()[0]
        alone: bool = version == self._version
        if not alone or len(self._known) > KNOWN:
            self._version = version
            self.forget()
        return alone

    def append(
        self, drafts: Sequence[Draft], now: int, unsure: Mapping[Draft, Position | None] | None = None
    ) -> tuple[list[Outcome], Stored]:
        """Store drafts, in order.

        Args:
            drafts: any number, of any topics.
            now: milliseconds of the file.
            unsure: drafts that may be stored already, because the transaction before failed in its commit;
                with their positions if they were found since.

        Returns:
            The outcome of each draft, and the inserted entries.
        """
        self._prepare(drafts, now)
        id = before = self._id if self._id >= 0 else self._last_id()
        outcomes: list[Outcome] = []
        stored = Stored(id + 1, [], [], [])
        values: list[Any] = []
        touched: dict[str, Retention] = {}
        admitted: set[tuple[str, Claim]] = set()
        known, nonces, traced = self._known, self._nonces, False
        for draft in drafts:
            topic = known[draft.topic]
            if unsure and draft in unsure:
                found = unsure[draft] or self._find(topic, draft.nonce)
                if found is not None:
                    outcomes.append(found)
                    continue
            prev = topic.position
            if draft.claim is not None and not self._admits(draft, draft.claim, admitted, seq_of(prev), now):
                outcomes.append(PublishRefused(NO_LEASE))
                continue
            if draft.key is not None and (outcome := self._seen(draft, now)) is not None:
                outcomes.append(outcome)
                continue
            seq = (prev >> SHIFT) + 1
            if seq >= 1 << SEQ_BITS:
                outcomes.append(PublishRefused(f"{draft.topic}: no sequence number is left"))
                continue
            id += 1
            data = draft.data
            if not (nonce := draft.drawn):
                draft.drawn = nonce = nonces.ready.pop() if nonces.ready else nonces.next()
            topic.position = position = Position(seq << SHIFT | nonce)
            topic.upto = upto = topic.upto + len(data) + OVERHEAD
            if topic.first == seq:
                topic.first_upto = upto
            values += (id, topic.id, seq, nonce, prev & MASK, now, upto, draft.kind, draft.event, data)
            if draft.key is not None:
                self._note(draft, position, now)
            if draft.trace is not None:
                traced = True
            stored.drafts.append(draft)
            stored.positions.append(position)
            stored.before.append(prev)
            outcomes.append(position)
            touched[draft.topic] = draft.retention
        if id > before:
            self._insert(values)
        self._id = id if self._remember else -1
        if traced:
            self._trace(stored)
        for name, retention in touched.items():
            topic = known[name]
            stored.ends[name] = topic.position, topic.lineage
            self._keep(topic, retention, now)
        return outcomes, stored

    def ensure(self, topic: str, retention: Retention, now: int) -> None:
        """Create a topic, if it does not exist."""
        self._load({topic: retention}, now)

    def stored(self, drafts: Iterable[Draft]) -> dict[Draft, Position]:
        """The drafts among these that are stored, with their positions. Outside a transaction."""
        found: dict[Draft, Position] = {}
        wanted = {(draft.topic, draft.nonce): draft for draft in drafts}
        for topic in {draft.topic for draft in wanted.values()}:
            rows = self._rows.execute(
                "SELECT seq, nonce FROM rx_sse_entries WHERE topic = "
                "(SELECT id FROM rx_sse_topics WHERE name = ?) ORDER BY seq DESC LIMIT ?",
                (topic, LOOK),
            )
            for seq, nonce in rows:
                if (draft := wanted.get((topic, nonce))) is not None:
                    found[draft] = new_position(seq, nonce)
        return found

    def forget(self) -> None:
        """Remember nothing: the transaction was rolled back, or a sweep has changed what was known."""
        self._known.clear()
        self._id = -1

    # -- inside ----------------------------------------------------------------------------------------------

    def _prepare(self, drafts: Sequence[Draft], now: int) -> None:
        if not self._remember:
            self.forget()
        missing = {draft.topic: draft.retention for draft in drafts if draft.topic not in self._known}
        if missing:
            self._load(missing, now)

    def _load(self, names: dict[str, Retention], now: int) -> None:
        """Load topics; missing ones are created."""
        wanted = [name for name in names if name not in self._known]
        for begin in range(0, len(wanted), 256):
            part = wanted[begin : begin + 256]
            for name, *row in self._rows.execute(_TOPICS.format(",".join("?" * len(part))), part).fetchall():
                # A connection of the application's may give texts as anything: one topic at a time there.
                self._known[name if self._remember else wanted[0]] = TopicState(row)
        for name in wanted:
            if name not in self._known:
                self._start(name, numbers(names[name]), now)

    def _start(self, name: str, kept: list[int], now: int) -> None:
        nonce, age = self._nonces.next(), kept[2]
        self._rows.execute(
            "INSERT INTO rx_sse_topics (name, lineage, seq, nonce, ended, entries, bytes, age, touched, due) "
            "VALUES (?, ?, 0, ?, 0, ?, ?, ?, ?, ?)",
            (name, nonce, nonce, *kept, now, now + age + margin(age)),
        )
        self._known[name] = TopicState((self._rows.lastrowid, nonce, 0, nonce, *kept, *[None] * 5))

    def _last_id(self) -> int:
        """The id of the last entry, even if it is deleted by now."""
        said = self._rows.execute(
            "SELECT max(coalesce((SELECT max(id) FROM rx_sse_entries), 0), "
            "(SELECT value FROM rx_sse_meta WHERE name = 'floor'))"
        )
        return int(said.fetchone()[0])

    def _insert(self, values: list[Any]) -> None:
        at, left = 0, len(values) // _WIDTH
        while left:
            count = BLOCK if left >= BLOCK else min(left, ROWS)
            end = at + count * _WIDTH
            self._rows.execute(_INSERT[count], values if count * _WIDTH == len(values) else values[at:end])
            at, left = end, left - count

    def _trace(self, stored: Stored) -> None:
        """Note to which traces the publishes of entries belong."""
        if not has_traces(self._rows):
            self._rows.execute("ALTER TABLE rx_sse_entries ADD COLUMN trace TEXT")
        drafts = enumerate(stored.drafts, stored.first)
        traces = [(draft.trace, id) for id, draft in drafts if draft.trace is not None]
        self._rows.executemany("UPDATE rx_sse_entries SET trace = ? WHERE id = ?", traces)

    def _find(self, topic: TopicState, nonce: int) -> Position | None:
        row = self._rows.execute(
            "SELECT seq FROM rx_sse_entries WHERE topic = ? AND seq > ? AND nonce = ?",
            (topic.id, seq_of(topic.position) - LOOK, nonce),
        ).fetchone()
        return None if row is None else new_position(row[0], nonce)

    def _seen(self, draft: Draft, now: int) -> Outcome | None:
        """The outcome of the earlier append with this key, if there was one."""
        row = self._rows.execute(
            "SELECT print = ?, seq, nonce FROM rx_sse_keys WHERE key = ? AND till > ?",
            (fingerprint(draft.kind, draft.event, draft.data), draft.key, now),
        ).fetchone()
        if row is None:
            return None
        if not row[0]:
            return PublishRefused("this idempotency key was used with another payload")
        return new_position(row[1], row[2])

    def _note(self, draft: Draft, position: Position, now: int) -> None:
        till = now + max(int(draft.key_life * 1000), 1)
        self._rows.execute(
            "INSERT OR REPLACE INTO rx_sse_keys VALUES (?, ?, ?, ?, ?)",
            (
                draft.key,
                fingerprint(draft.kind, draft.event, draft.data),
                seq_of(position),
                nonce_of(position),
                till,
            ),
        )

    def _admits(
        self, draft: Draft, claim: Claim, admitted: set[tuple[str, Claim]], entries: int, now: int
    ) -> bool:
        """Whether the lease of a run admits a draft; `admitted` caches it until the run ends."""
        if (draft.topic, claim) in admitted:
            return True
        leases = LeaseRows(self._connection, now)
        if not leases.admits(draft.topic, claim):
            return False
        if claim.end is None:
            admitted.add((draft.topic, claim))
        else:
            leases.end(draft.topic, claim, entries)
            admitted.clear()
        return True

    def _keep(self, topic: TopicState, retention: Retention, now: int) -> None:
        """Trim a topic, and store how long its entries are kept."""
        if retention is not topic.retention:
            topic.retention = retention
            if (said := numbers(retention)) != topic.kept:
                topic.kept = said
                self._rows.execute(
                    "UPDATE rx_sse_topics SET entries = ?, bytes = ?, age = ?, due = min(due, ?) "
                    "WHERE id = ?",
                    (*said, now + said[2], topic.id),
                )
        entries, size, _ = topic.kept
        seq = seq_of(topic.position)
        over = seq + 1 - topic.first > entries + min(SLACK, entries // 4 + 1)
        heavy = topic.upto - topic.first_upto > size + size // 8
        if (over or heavy) and not topic.quiet_until - YOUNG < now < topic.quiet_until:
            self._trim(topic, seq - entries, topic.upto - size, now)

    def _trim(self, topic: TopicState, seq: int, upto: int, now: int) -> None:
        """Delete the oldest entries up to a number, or a sum of bytes; young ones stay, and the last one."""
        kept = self._rows.execute(
            "SELECT seq, upto, at FROM "
            "(SELECT seq, upto, at FROM rx_sse_entries WHERE topic = ? ORDER BY seq LIMIT ?) "
            "WHERE (seq > ? AND upto >= ?) OR (at > ? AND at <= ?) OR seq >= ? ORDER BY seq LIMIT 1",
            (topic.id, CUT + 1, seq, upto, now - YOUNG, now + YOUNG, seq_of(topic.position)),
        ).fetchone()
        if kept is None:  # all that was looked at
            kept = self._rows.execute(
                "SELECT seq, upto, at FROM rx_sse_entries WHERE topic = ? ORDER BY seq LIMIT 1 OFFSET ?",
                (topic.id, CUT),
            ).fetchone()
        first, first_upto, at = kept
        if first > topic.first:
            self._rows.execute("DELETE FROM rx_sse_entries WHERE topic = ? AND seq < ?", (topic.id, first))
        elif now - YOUNG < at <= now:
            topic.quiet_until = at + YOUNG
        topic.first, topic.first_upto = first, first_upto


def maybe_stored(why: str) -> PublishUnknown:
    """The error for a draft in a transaction that has not ended."""
    return PublishUnknown(
        f"it was being written and the disk has not answered{f' ({why})' if why else ''}: it may be stored. "
        "Repeat it with the same idempotency_key"
    )
