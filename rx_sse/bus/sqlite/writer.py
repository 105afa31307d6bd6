"""The only thread that writes to the file, on a connection of its own.

A transaction writes everything that waits when it begins: during its commit, the next batch accumulates. If
SQLite refuses temporarily (a lock of another program, a full disk, a missing file), the writer retries until
it works; drafts that have timed out are removed before a transaction begins.

Standard: docs/resume.md §4.
Never: a draft whose publisher got `PublishRefused` is stored. Once a transaction holds a draft, the commit
decides its outcome.
"""

from __future__ import annotations

import contextlib
import math
import queue
import sqlite3
import threading
import time
from collections import deque
from typing import Protocol

from rx_sse.bus.log.entry import Draft
from rx_sse.bus.log.position import Position
from rx_sse.bus.sqlite.acknowledged import Acknowledged
from rx_sse.bus.sqlite.appending import Appender
from rx_sse.bus.sqlite.file import File, Identity, transient
from rx_sse.bus.sqlite.items import Item, drafts_in, drained, front, in_rows, without
from rx_sse.bus.sqlite.own_ids import OwnIds
from rx_sse.bus.sqlite.sweeping import Sweeper
from rx_sse.bus.sqlite.work import MUST_WRITE, Part, Work, appended, ids_of
from rx_sse.errors import PublishRefused, UsageError

MAX_ENTRIES = 1024
MAX_BYTES = 4 * 1024 * 1024
"""Drafts of a transaction: some 5 ms, for which other processes wait."""
FIRST_PAUSE = 0.01
LONGEST_PAUSE = 0.25
"""Seconds before a retry; SQLite has waited for a lock by then."""
LOOK = 0.25
"""Seconds between two checks whether the file is still the one that was opened."""
NEVER = (-math.inf, -math.inf)
"""Not zeros: the clock may have begun a moment ago, with the machine."""


class WriterOwner(Protocol):
    """The owner of a writer, called on the writer's thread."""

    def opened(self, error: UsageError | None) -> None:
        """The file was opened, for the first time or after it was replaced; or can never be."""
        ...

    def written(self, parts: list[Part], now: int) -> None:
        """A transaction was committed: its parts, in order, and the time of its entries."""
        ...

    def refused(self, drafts: list[Draft], error: PublishRefused) -> None:
        """Drafts were removed for good: SQLite refuses drafts like them."""
        ...

    def trouble(self, error: Exception | None) -> None:
        """Writing fails at the moment; None: it works again."""
        ...

    def ended(self) -> None:
        """The thread ends."""
        ...


class Writer:
    """Writes, while the log is open.

    Args:
        owner: receives the results.
        file: the file.

    Attributes:
        lock: held for an instant while drafts are chosen for a transaction, and while they are expired.
        expired: drafts that must not be stored any more, until they are found in the queue. Under the lock.
        under_way: drafts of a transaction whose outcome is not known. Under the lock.
        own: the ids of the entries that it has stored.
        commits: number of transactions.
        acknowledged: the last positions that it has stored. Its thread alone.
        alone: since when and until when, in monotonic seconds, no other connection has changed the file.
    """

    def __init__(self, owner: WriterOwner, file: File) -> None:
        self._owner = owner
        self._file = file
        self._jobs: queue.SimpleQueue[Item | None] = queue.SimpleQueue()
        self._items: deque[Item] = deque()
        self._unsure: dict[Draft, Position | None] = {}
        self._sought = True  # whether these were looked for
        self._stopping = False
        self._sweep = False
        self._connection: sqlite3.Connection | None = None
        self._identity: Identity | None = None
        self._looked = -math.inf
        self._troubled = False
        self.lock = threading.Lock()
        self.expired: set[Draft] = set()
        self.under_way: list[Draft] = []
        self.own = OwnIds()
        self.acknowledged = Acknowledged()
        self.commits = 0
        self.alone = NEVER
        self.thread = threading.Thread(target=self._run, name="rx_sse sqlite writer", daemon=True)

    # -- any thread ------------------------------------------------------------------------------------------

    def append(self, drafts: list[Draft]) -> None:
        """Store drafts after everything before."""
        self._jobs.put(drafts)

    def work(self, work: Work) -> None:
        """Execute a work after everything before."""
        self._jobs.put(work)

    def sweep(self) -> None:
        """Delete expired rows, when there is time."""
        self._sweep = True
        self._jobs.put([])

    def look(self) -> None:
        """Check at once whether the file still exists."""
        self._looked = -math.inf
        self._jobs.put([])

    def stop(self) -> None:
        """End, after one more attempt to write waiting drafts."""
        self._jobs.put(None)

    def left(self) -> list[Draft]:
        """The drafts that it did not process; those not under way it never will. Under the lock."""
        jobs = drained(self._jobs)
        if None in jobs:
            self.stop()  # a thread that is held up is still to come to this
        drafts = [it for it in drafts_in([*self._items, *jobs]) if it not in self.expired]
        self.expired.update(set(drafts).difference(self.under_way))
        return drafts

    # -- its own ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = 0.0
        try:
            while True:
                self._collect(pause)
                if self._stopping:
                    self._last()
                    return
                try:
                    self._open()
                    self._write()
                    self._let_go()
                    pause = 0.0
                    self._works()
                except UsageError as error:
                    self._owner.opened(error)
                    self._fails(error)
                    pause = LONGEST_PAUSE
                except Exception as error:  # reported like SQLite's own errors; the thread does not end
                    self._fails(error)
                    pause = min(max(pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
        finally:
            self._close()
            self._owner.ended()

    def _last(self) -> None:
        """Before it ends: try once more to write waiting drafts."""
        with contextlib.suppress(Exception):
            if self._connection is not None and self._items:
                self._write()

    def _collect(self, pause: float) -> None:
        """Take waiting items; wait for them if there is nothing to do, and for `pause` at the least."""
        deadline = time.monotonic() + pause
        idle = self._connection is not None and not self._troubled
        try:
            if pause:
                while not self._stopping and (left := deadline - time.monotonic()) > 0:
                    self._take(self._jobs.get(timeout=left))
            elif idle and not (self._items or self._sweep):
                self._take(self._jobs.get())
            while not self._stopping:
                self._take(self._jobs.get_nowait())
        except queue.Empty:
            return

    def _take(self, job: Item | None) -> None:
        if job is None:
            self._stopping = True
        elif job != []:
            self._items.append(job)

    def _open(self) -> None:
        """Connect, unless the connection already is to the file at the path."""
        now = time.monotonic()
        if self._connection is not None:
            if now - self._looked < LOOK:
                return
            self._looked = now
            if self._file.identity() == self._identity:
                return
            self._close()
        self._file.check()
        self._connection, self._identity = connection, _ = self._file.connect_known()
        self.own.clear()
        self.acknowledged.doubt()
        self._unsure = dict.fromkeys(self._unsure)
        self._appender = Appender(connection, remember=True)
        self._sweeper = Sweeper(connection)
        self._looked = now
        self._owner.opened(None)

    def _write(self) -> None:
        """One transaction, of as many items as fit."""
        assert self._connection is not None
        connection = self._connection
        if not self._troubled and all(isinstance(it, Work) and it.reads for it in self._items):
            self._read()
        if not (self._items or self._troubled):
            return
        if not self._sought:
            self._seek()
        began = time.monotonic()
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error:
            self._read()
            raise
        if self._file.identity() != self._identity:  # others may use the new file: write nothing here
            connection.execute("ROLLBACK")
            self._looked = -math.inf
            return
        items = self._chosen()
        committing = False
        try:
            now = self._file.now()
            begin = time.monotonic()
            if self._appender.begin():
                self.alone = (self.alone[0], begin)
            else:
                self.alone = (begin, begin)
                self.own.split()
            parts = [self._part(part, now) for part in in_rows(items)]
            self.own.commits(*ids_of(parts))
            if self._troubled:  # a transaction without a change would prove nothing
                connection.execute("UPDATE rx_sse_meta SET value = value WHERE name = 'floor'")
            committing = True
            connection.execute("COMMIT")
        except BaseException as error:
            self._undo(connection, committing and not transient(error))
            if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError | sqlite3.InterfaceError):
                self._blame(items, error)
                return
            raise
        self._file.commits.observe(time.monotonic() - began)
        self._committed(items, parts, now)

    def _committed(self, items: list[Item], parts: list[Part], now: int) -> None:
        self.commits += 1
        for _ in items:
            self._items.popleft()
        self.own.committed()
        if self.acknowledged.note(parts):  # a backup was written over the open file
            self._owner.opened(None)
        self._unsure.clear()
        self._owner.written(parts, now)
        with self.lock:
            self.under_way = []

    def _part(self, part: Item, now: int) -> Part:
        assert self._connection is not None
        if isinstance(part, list):
            return appended(part, *self._appender.append(part, now, self._unsure))
        try:
            return part.done, part.run(self._connection, self._appender)
        except (ValueError, TypeError) as error:
            return part.done, error

    def _seek(self) -> None:
        """Look for the drafts whose commit failed: they may be stored all the same, and trimmed by the time
        that writing works again.
        """
        self._unsure |= self._appender.stored(self._unsure)
        self._sought = True

    def _read(self) -> None:
        """Execute works that need no transaction."""
        assert self._connection is not None
        answers: list[Part] = []
        left: deque[Item] = deque()
        for item in self._items:
            if isinstance(item, Work) and item.reads:
                try:
                    found = item.run(self._connection, self._appender)
                except (sqlite3.Error, ValueError, TypeError) as error:
                    found = error
                if found is not MUST_WRITE:
                    answers.append((item.done, found))
                    continue
            left.append(item)
        self._items = left
        if answers:
            self._owner.written(answers, 0)

    def _chosen(self) -> list[Item]:
        """The items of this transaction, from the front of the queue."""
        with self.lock:
            if self.expired:
                gone = self.expired.intersection(drafts_in(self._items))
                self._items = without(self._items, gone)
                self.expired -= gone  # others may not have been collected yet
            items = front(self._items, MAX_ENTRIES, MAX_BYTES)
            self.under_way = drafts_in(items)
        return items

    def _undo(self, connection: sqlite3.Connection, committing: bool) -> None:
        """A transaction failed. If it was in the commit, it may be found stored all the same; not where the
        disk was full, or the file locked: then SQLite has undone it.
        """
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        self._appender.forget()
        self.own.failed()
        with self.lock:
            if committing:
                self._unsure = dict.fromkeys(self.under_way) | self._unsure
                self._sought = False
            self.under_way = list(self._unsure)

    def _blame(self, items: list[Item], error: sqlite3.Error) -> None:
        """SQLite refuses one of these for good: find it, one by one."""
        drafts = [it for it in drafts_in(items) if self._refuses(it)]
        works = [it for it in items if isinstance(it, Work) and self._refuses(it)]
        with self.lock:
            self._items = without(self._items, {*drafts, *works})
            self.under_way = list(self._unsure)
        if drafts:
            self._owner.refused(drafts, PublishRefused(f"SQLite refused it: {error}; nothing was stored"))
        answers: list[Part] = [(it.done, error) for it in works]
        if answers:
            self._owner.written(answers, 0)

    def _refuses(self, item: Draft | Work) -> bool:
        """Whether SQLite refuses an item for good, even alone."""
        assert self._connection is not None
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            if isinstance(item, Draft):
                self._appender.append([item], self._file.now())
            else:
                item.run(self._connection, self._appender)
        except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError):
            return True
        except (ValueError, TypeError):
            return False
        finally:
            self._connection.execute("ROLLBACK")
            self._appender.forget()
        return False

    def _let_go(self) -> None:
        """One slice of a sweep, if one was requested."""
        if not self._sweep:
            return
        assert self._connection is not None
        now = self._file.now()
        if self._sweeper.due(now):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._sweeper.slice(now)
                self._connection.execute("COMMIT")
            except BaseException:
                self._undo(self._connection, False)
                raise
            self._appender.forget()
            self._sweep = self._sweeper.due(now)
        else:
            self._sweep = False
        self._sweeper.give_back()

    def _works(self) -> None:
        if self._troubled:
            self._troubled = False
            self._owner.trouble(None)

    def _fails(self, error: Exception) -> None:
        self._troubled = True
        self._owner.trouble(error)

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
