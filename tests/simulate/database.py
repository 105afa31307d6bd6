"""The file of a `SQLiteBus` in virtual time: the library's own threads and SQLite itself, over a disk that is
slow, full, locked by others, that fails in the middle of a commit, and that a power cut leaves in an earlier
state.

Every connection is made by `Database.connect`, so it sees each statement: where a thread waits, and what was
committed, in the order of the commits.
"""

from __future__ import annotations

import contextlib
import os
import queue
import random
import shutil
import sqlite3
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import rx_sse
from rx_sse.bus.log.position import new_position
from rx_sse.bus.sqlite import file_clock, reader, writer
from rx_sse.errors import PublishRefused

from .chain import Chain, Item
from .loop import Loop
from .threads import Group, Threads
from .trace import Trace
from .wakeup import Wakeups

MEMORY = Path("/dev/shm")
"""Files here cost no disk."""
WRITES = ("INSERT", "UPDATE", "DELETE")


def failure(name: str, text: str) -> sqlite3.OperationalError:
    """An error of SQLite's."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorname = name
    return error


class Cursor(sqlite3.Cursor):
    """Every statement goes through the disk."""

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        connection = self.connection
        assert isinstance(connection, Connection)
        found = connection.database.statement(connection, sql, partial(super().execute, sql, parameters))
        connection.database.threads.lose_processor()
        return found

    def plain(self, sql: str) -> list[Any]:
        """What a statement finds, without the disk."""
        return super().execute(sql).fetchall()


class Connection(sqlite3.Connection):
    """A connection of the library's, or of an application.

    Attributes:
        database: which made it.
        life: of the file, counted by its replacements.
        cursors: made by it.
    """

    database: Database
    life = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.cursors: weakref.WeakSet[sqlite3.Cursor] = weakref.WeakSet()

    def cursor(self, factory: Any = None) -> Any:
        cursor = super().cursor(Cursor)
        self.cursors.add(cursor)
        return cursor

    def close(self) -> None:
        """A cursor in the middle of its rows would keep a transaction open: a thread can be killed there."""
        for cursor in list(self.cursors):
            cursor.close()
        super().close()

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        return self.cursor().execute(sql, parameters)


class Database:
    """A file, who writes to it, and what happens to it.

    Args:
        loop, chance, chains, trace: the run's.
        threads: those of the library.
        durable: whether a commit that returned survives a power cut.
    """

    def __init__(
        self,
        loop: Loop,
        chance: random.Random,
        chains: Callable[[str], Chain],
        trace: Trace,
        *,
        durable: bool,
    ) -> None:
        self.loop = loop
        self.chance = chance
        self.chains = chains
        self.trace = trace
        self.durable = durable
        self.threads = Threads(loop, chance)
        self.wakeups = Wakeups(self.threads, chance)
        self.faulty = True
        self.failing = ""
        """The error of SQLite that every write gets now; empty if none."""
        self.unsettled = 0.0
        """Until then processes may still write to a file that was replaced."""
        self._connect = sqlite3.connect
        self._directory = Path(tempfile.mkdtemp(prefix="rx_sse_", dir=MEMORY if MEMORY.is_dir() else None))
        self.path = self._directory / "app.db"
        self._life = 0
        self._seen = 0
        self._old_seen = 0
        self._begun: set[str] = set()
        self._branch: dict[str, set[int]] = {}
        self._outside: list[tuple[Item, float]] = []
        self._foreign: sqlite3.Connection | None = None
        self._boot(0)
        self._anchor = self._open()

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """While it is, the library's connections, threads and clocks are of this world."""
        wall = self.loop.wall_time
        parts: dict[str, Any] = {
            "threading": SimpleNamespace(Thread=self.threads.thread, Lock=threading.Lock),
            "queue": SimpleNamespace(SimpleQueue=self.threads.queue, Empty=queue.Empty),
        }
        with (
            mock.patch.object(sqlite3, "connect", self.connect),
            # Looking for what is new is nearly all that happens in virtual time.
            mock.patch.multiple(reader, **parts, PACE=0.12, QUIET_PACE=0.24, BUSY_PACE=0.03),
            mock.patch.object(reader, "Wakeup", self.wakeups.wakeup),
            mock.patch.multiple(writer, **parts),
            mock.patch.object(time, "monotonic", self.threads.monotonic),
            mock.patch.object(time, "time_ns", lambda: int(wall() * 1e9)),
            mock.patch.object(time, "clock_gettime_ns", lambda _: int(self.loop.time() * 1e9)),
            mock.patch.object(file_clock, "BOOT_ID", self._directory / "boot"),
        ):
            try:
                yield
            finally:
                self.threads.end()
                self._anchor.close()
                if self._foreign is not None:
                    self._foreign.close()
                shutil.rmtree(self._directory, ignore_errors=True)

    def connect(self, path: Any, **options: Any) -> sqlite3.Connection:
        """What `sqlite3.connect` does; a lock is not waited for inside SQLite."""
        options |= {"timeout": 0.0, "factory": Connection}
        connection = self._connect(path, **options)
        assert isinstance(connection, Connection)
        connection.database = self
        connection.life = self._life
        Cursor(connection).plain("PRAGMA wal_autocheckpoint = 0")  # so the WAL has everything since the start
        return connection

    # -- what a statement meets ------------------------------------------------------------------------------

    def statement(self, connection: Connection, sql: str, run: Callable[[], Any]) -> Any:
        """Execute it, when the disk lets it."""
        if sql == "COMMIT":  # the WAL is written, then synchronized, and after that the commit can be seen
            self.wakeups.report(connection.life)
        if self.threads.current is None:
            return self._committed(connection, sql, run)
        chance = self.chance
        if self.faulty and chance.random() < 0.01:
            self.threads.pause(chance.uniform(0.0, 0.05))
        if self.failing and sql.startswith(WRITES):
            if connection.in_transaction and chance.random() < 0.3:
                Cursor(connection).plain("ROLLBACK")  # some errors end the transaction by themselves
            raise failure(self.failing, "the disk does not take it")
        if sql == "COMMIT" and self.faulty and chance.random() < 0.04:
            return self._commit_badly(connection, sql, run)
        return self._committed(connection, sql, run)

    def _commit_badly(self, connection: Connection, sql: str, run: Callable[[], Any]) -> Any:
        """A commit that takes its time before or after it is true, or fails before or after."""
        chance = self.chance
        how = chance.choice(("slow", "late", "fails", "torn"))
        if how in ("slow", "late"):
            self.trace.note("database", "a commit is {}", how)
        seconds = chance.choice((0.01, 0.3, 2.0))
        if how == "slow":
            self.threads.pause(seconds)
        elif how == "fails":
            raise failure("SQLITE_IOERR", "disk I/O error, and nothing was committed")
        found = self._committed(connection, sql, run)
        if how == "torn":
            raise failure("SQLITE_IOERR", "disk I/O error, and it was committed")
        if how == "late":
            self.threads.pause(seconds)
        return found

    def _committed(self, connection: Connection, sql: str, run: Callable[[], Any]) -> Any:
        before = connection.in_transaction
        found = run()
        if before and not connection.in_transaction and not sql.startswith("ROLLBACK"):
            self._note(connection)
        return found

    # -- the truth -------------------------------------------------------------------------------------------

    def _note(self, connection: Connection) -> None:
        """Something was committed: what is in the file now was accepted."""
        look = Cursor(connection).plain
        now = self.loop.time()
        present = connection.life == self._life
        seen = self._seen if present else self._old_seen
        if not look("SELECT 1 FROM sqlite_master WHERE name = 'rx_sse_entries'"):
            return
        for id, topic, seq, nonce, prev, kind, data in look(
            "SELECT e.id, t.name, e.seq, e.nonce, e.prev, e.kind, e.data FROM rx_sse_entries e "
            f"JOIN rx_sse_topics t ON t.id = e.topic WHERE e.id > {seen} ORDER BY e.id"
        ):
            assert id == seen + 1, f"the entry behind {seen} has the id {id}"
            seen = id
            if topic.startswith("!"):
                continue
            chain = self.chains(topic)
            self._begun.add(topic)
            item = chain.stored(kind, data, new_position(seq, nonce), prev, now)
            if present:
                self._branch.setdefault(topic, set()).add(nonce)
            if self.threads.current is None:
                self._outside.append((item, now))
            self.trace.note("database", "stored {} {}-{:x}", item.payload or kind, seq, nonce)
        if present:
            self._seen = seen
        else:
            self._old_seen = seen
        for topic, nonce in look("SELECT name, nonce FROM rx_sse_topics WHERE seq = 0"):
            if not topic.startswith("!"):
                self._begun.add(topic)
                self.chains(topic).zero(nonce, now)
        for topic, first in self._firsts(connection).items():
            self._trimmed(self.chains(topic), first, now)

    def _firsts(self, connection: sqlite3.Connection) -> dict[str, int]:
        """The number of the oldest entry of each topic that a reader gets."""
        rows = sqlite3.Cursor(connection)
        found = rows.execute(
            "SELECT t.name, max(min(e.seq), max(e.seq) - t.entries + 1) FROM rx_sse_topics t "
            "JOIN rx_sse_entries e ON e.topic = t.id GROUP BY t.id"
        ).fetchall()
        return {topic: first for topic, first in found if not topic.startswith("!")}

    def _trimmed(self, chain: Chain, first: int, now: float) -> None:
        for item in reversed(chain.items):
            if item.seq < first:
                if item.gone is not None:
                    return
                item.leave(now)

    # -- what happens to it ----------------------------------------------------------------------------------

    def fail(self, name: str, seconds: float) -> None:
        """Every write fails for so long."""
        self.trace.note("database", "{} for {:.2f} s", name, seconds)
        self.failing = name
        self.loop.call_later(seconds, self._fail_no_more)

    def _fail_no_more(self) -> None:
        self.failing = ""

    def lock(self, seconds: float, topic: str, data: str, *, commit: bool) -> None:
        """A transaction of an application's own, which publishes, and is in the way for so long."""
        if self._foreign is not None:
            return
        connection = self.connect(self.path, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            rx_sse.publish_in(connection, topic, data)
        except (sqlite3.OperationalError, PublishRefused):  # another one is in its way
            connection.close()
            return
        self.trace.note(
            "database", "locked for {:.2f} s, then {}", seconds, "COMMIT" if commit else "ROLLBACK"
        )
        self._foreign = connection
        self.loop.call_later(seconds, self._unlock, connection, "COMMIT" if commit else "ROLLBACK")

    def _unlock(self, connection: sqlite3.Connection, how: str) -> None:
        if connection is self._foreign:
            connection.execute(how)
            connection.close()
            self._foreign = None

    def publish_from_outside(self, topic: str, data: str) -> None:
        """A script that publishes, in a transaction of its own."""
        connection = self.connect(self.path, isolation_level=None)
        try:
            rx_sse.publish_in(connection, topic, data)
        except PublishRefused:
            self.trace.note("a script", "could not publish")
        finally:
            connection.close()

    def stall(self, group: Group, seconds: float) -> None:
        """The threads of a process do not run for so long."""
        self.trace.note("database", "threads stalled for {:.2f} s", seconds)
        group.stalled = self.loop.time() + seconds

    def backup(self) -> None:
        """Make a copy that may be restored later."""
        self.trace.note("database", "backup")
        copy = self._connect(self._directory / "backup.db")
        self._anchor.backup(copy)
        copy.close()

    def restore(self) -> bool:
        """Put the backup in the place of the file, under those who have it open; whether that was done. Not
        under a transaction of an application's own, which would commit into nothing.
        """
        backup = self._directory / "backup.db"
        if not backup.exists() or self._foreign is not None:
            return False
        self.trace.note("database", "the backup is restored")
        self._anchor.close()
        for end in ("", "-wal", "-shm"):
            Path(f"{self.path}{end}").unlink(missing_ok=True)
        os.replace(backup, self.path)
        self.wakeups.report(self._life)
        self._life = self.wakeups.life = self._life + 1
        self._old_seen = self._seen
        now = self.loop.time()
        self._begin()
        for item, at in self._outside:
            if at > now - 5.0:  # no process may have read it
                item.unsayable = True
        self.unsettled = now + 5.0
        return True

    def cut_power(self, kill: Callable[[], None]) -> bool:
        """The machine is gone, with all processes, in the middle of whatever they did; whether anything that
        was accepted is gone as well.
        """
        kept, wal = self.path.read_bytes(), Path(f"{self.path}-wal").read_bytes()
        kill()
        if self._foreign is not None:
            self._foreign.close()
            self._foreign = None
        self._anchor.close()
        for end in ("", "-wal", "-shm"):
            Path(f"{self.path}{end}").unlink(missing_ok=True)
        chance = self.chance
        most = 0 if self.durable else chance.choice((100, 5_000, 50_000, len(wal)))
        wal = wal[: max(len(wal) - chance.randint(0, most), 0)]
        self.path.write_bytes(kept)
        Path(f"{self.path}-wal").write_bytes(wal + chance.randbytes(chance.choice((0, 10, 5000))))
        self._life = self.wakeups.life = self._life + 1
        self._boot(self._life)
        lost = self._begin(dead=True)
        self.trace.note("database", "power cut: {} entries are gone", lost)
        return lost > 0

    def _boot(self, number: int) -> None:
        (self._directory / "boot").write_text(f"boot {number}", "ascii")

    def _open(self) -> sqlite3.Connection:
        connection = self._connect(self.path, isolation_level=None)
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA journal_mode = WAL")
        return connection

    def _begin(self, *, dead: bool = False) -> int:
        """The file is another one: how many entries that could be read are not in it."""
        self._anchor = anchor = self._open()
        there: dict[str, set[int]] = {}
        self._seen = 0
        firsts: dict[str, int] = {}
        if anchor.execute("SELECT 1 FROM sqlite_master WHERE name = 'rx_sse_entries'").fetchone():
            firsts = self._firsts(anchor)
            self._seen = anchor.execute(
                "SELECT max(coalesce((SELECT max(id) FROM rx_sse_entries), 0), "
                "(SELECT value FROM rx_sse_meta WHERE name = 'floor'))"
            ).fetchone()[0]
            for topic, nonce in anchor.execute(
                "SELECT t.name, e.nonce FROM rx_sse_entries e JOIN rx_sse_topics t ON t.id = e.topic"
            ):
                there.setdefault(topic, set()).add(nonce)
        self._forget_unknown(anchor)
        lost = 0
        for topic, here in there.items():  # a backup may have what a power cut had taken
            if not topic.startswith("!"):
                known = self.chains(topic).by_nonce
                self._branch.setdefault(topic, set()).update(nonce for nonce in here if nonce in known)
        for topic, nonces in self._branch.items():
            chain = self.chains(topic)
            here = there.get(topic, set())
            for nonce in [it for it in nonces if it not in here]:
                item = chain.by_nonce[nonce]
                if item.seq < firsts.get(topic, 0):
                    continue
                nonces.discard(nonce)
                lost += 1
                item.unsayable |= dead
        return lost

    def _forget_unknown(self, anchor: sqlite3.Connection) -> None:
        """A topic that had begun, and of which the file knows nothing, begins anew: no cursor holds."""
        begun: set[str] = set()
        if anchor.execute("SELECT 1 FROM sqlite_master WHERE name = 'rx_sse_topics'").fetchone():
            begun = {name for (name,) in anchor.execute("SELECT name FROM rx_sse_topics")}
        for topic in self._begun - begun:
            self.chains(topic).forget(self.loop.time())
        self._begun &= begun

    def lost(self, topic: str, nonce: int) -> bool:
        """Whether an entry was accepted, and taken back."""
        return nonce in self.chains(topic).by_nonce and nonce not in self._branch.get(topic, set())

    def excuse(self) -> None:
        """Note what went with a branch behind what the present one still has."""
        firsts = self._firsts(self._anchor)
        for topic, nonces in self._branch.items():
            self.chains(topic).took_back(nonces, firsts.get(topic, 0))

    def heal(self) -> None:
        """From now on nothing goes wrong."""
        self.faulty = self.threads.faulty = False
        self.loop.crowded = 0.0
        self.failing = ""
        if self._foreign is not None:
            self._unlock(self._foreign, "ROLLBACK")


class Life:
    """One life of a process over the file: what its harness does to it.

    Attributes:
        group: its threads.
        abandoned: always empty: what it could not store, it reports in `bus.errors`.
        crowded: never.
    """

    crowded = False

    def __init__(self, group: Group) -> None:
        self.group = group
        self.abandoned: list[str] = []

    def kill(self) -> None:
        """The process is gone."""
        self.group.kill()
