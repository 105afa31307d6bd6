"""The log in a file: the four verbs of the port, over a thread that writes and one that reads.

Entries stored by this process are delivered to its watchers when they are committed, without being read
again, unless another process has stored entries in between: then both are read, in the order of ids. So every
topic's entries arrive in their order, whichever process stored them.

Standard: the port of `bus.log`; docs/resume.md §1, §4, §5; docs/decisions/sqlite.md.
Never: a statement on the loop's thread; an exception of SQLite out of a callback.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

from rx_sse.bus.log.entry import Draft
from rx_sse.bus.log.port import Listener, Page, Query
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.log.withdrawn import withdrawn
from rx_sse.bus.sqlite.acknowledged import Lost
from rx_sse.bus.sqlite.append_queue import AppendQueue
from rx_sse.bus.sqlite.appending import Appender
from rx_sse.bus.sqlite.file import File, locked
from rx_sse.bus.sqlite.leases import Leases
from rx_sse.bus.sqlite.pages import NEWS, News, Pages
from rx_sse.bus.sqlite.presence import present
from rx_sse.bus.sqlite.reader import Reader
from rx_sse.bus.sqlite.rows import Clock
from rx_sse.bus.sqlite.sides import ReaderSide, Side, WriterSide
from rx_sse.bus.sqlite.sweeping import touch
from rx_sse.bus.sqlite.watches import Watches
from rx_sse.bus.sqlite.work import MUST_WRITE, Appended, Part, Work
from rx_sse.bus.sqlite.writer import Writer
from rx_sse.errors import PublishRefused, RxSseError, UsageError

OPEN = 2.0
"""Seconds that a start waits for the file; then it continues in the background."""
STOP = 3.0
"""Seconds that a close waits for a thread that is waiting for the disk."""
REPORT = 10.0
"""Seconds for which the same error is not reported again."""
REST = 3
"""Seconds after the machine woke up before anything expires: by then all processes have touched their
topics."""
LOCKED = 1.0
"""Seconds for which another program may hold the lock before the bus is not ready."""


class SQLiteLog:
    """A log in a file.

    Args:
        file: the file.
        retention: how much of a topic is kept.
        timeout: seconds after which a waiting publisher gets an error.
        clock: monotonic seconds.

    Attributes:
        on_trouble: called with an error, and the topic if it belongs to one.
        retention_of: returns the retention of a topic; that of the bus, if it has rules.
        watches: the topics that are watched.
        leases: the leases of runs.
    """

    def __init__(
        self,
        file: File,
        retention: Retention,
        *,
        timeout: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.on_trouble: Callable[[Exception, str | None], None] = _no_trouble
        self.retention_of: Callable[[str], Retention] = lambda topic: retention
        self.watches = Watches(clock, lambda topic: self.retention_of(topic).age)
        self.leases = Leases(self, file)
        self._file = file
        self._dates = Clock(0.0, 0)
        self._timeout = timeout
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = 0
        self._writer: Writer | None = None
        self._reader: Reader | None = None
        self._queue: AppendQueue | None = None
        self._sides: tuple[Side, ...] = ()
        self._touched: dict[str, None] = {}
        self._met: asyncio.Event | None = None
        self._refusal: UsageError | None = None
        self._trouble: Exception | None = None
        self._trouble_since = 0.0
        self._reported = ("", -REPORT)
        self._opened = False
        self._rest = 0

    # -- the port --------------------------------------------------------------------------------------------

    def append(self, draft: Draft) -> None:
        """Store `draft` after everything that was appended before."""
        assert self._queue is not None
        self._queue.append(draft)

    def read(self, query: Query, done: Callable[[Page | None], None]) -> None:
        """Query a page; a missing topic is created.

        A query for the present position is queued among the appends: a caller that sends it and then
        publishes finds its events after that position.
        """
        writer, reader = self._writer, self._reader
        if writer is None or reader is None or self._queue is None or not self._opened:
            done(None)
            return

        def answered(found: Any) -> None:
            if isinstance(found, tuple):
                page, touched = cast("tuple[Page, int]", found)
                self._touch(query.topic, touched)
                done(page)
            elif found is _MISSING:
                ask_writer()
            else:
                if isinstance(found, Exception):
                    self._failed(found)
                done(None)

        def work(connection: sqlite3.Connection, appender: Appender) -> Any:
            clock = self._dates
            found = Pages(connection).page(query, clock)
            if found is None and connection.in_transaction:
                appender.ensure(query.topic, self.retention_of(query.topic), self._file.now())
                found = Pages(connection).page(query, clock)
            return found or MUST_WRITE

        def ask_writer() -> None:
            if not self.in_place(Work(work, answered, reads=True)):
                done(None)

        if query.after is None and query.last == 0:
            ask_writer()
        else:
            reader.ask(lambda pages, clock: pages.page(query, clock) or _MISSING, answered)

    def in_place(self, work: Work) -> bool:
        """Execute a work after everything that was appended before; False if the log is not open."""
        if self._writer is None or self._queue is None or not self._opened:
            return False
        self._queue.hand()
        self._writer.work(work)
        return True

    def watch(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Notify `listener` of every new entry. Entries before the first page that it queries are in that
        page: queries are answered in their order, each from a later state of the file.
        """
        first = len(self.watches) == 0
        stop = self.watches.watch(topic, listener)
        if first and self._reader is not None:
            self._reader.wake()
        return stop

    async def open(self) -> None:
        """Open the file; if it is locked, or on a full disk, retry in the background.

        Raises:
            UsageError: the path can never hold a log.
        """
        self._loop = asyncio.get_running_loop()
        self._pid = os.getpid()
        self._met, self._refusal, self._trouble, self._opened = asyncio.Event(), None, None, False
        self.watches.seen = None
        writing = WriterSide(self)
        self._writer = Writer(writing, self._file)
        reading = ReaderSide(self, self._writer)
        self._reader = Reader(reading, self._file, lambda: self._dates)
        self._sides = writing, reading
        self._queue = AppendQueue(self._writer, self._timeout, self._why, self._dropped)
        writing.stop = reading.stop = self._reader.stop
        self._writer.thread.start()
        self._reader.thread.start()
        try:
            async with asyncio.timeout(OPEN):
                await self._met.wait()
        except TimeoutError:
            return
        finally:
            self._met = None
        if self._refusal is not None:
            refusal = self._refusal
            await self.close()
            raise refusal

    async def close(self) -> None:
        """Release everything; waiting appends are settled with an error."""
        loop, self._loop = self._loop, None
        writer, reader, append_queue, sides = self._writer, self._reader, self._queue, self._sides
        self._writer = self._reader = None
        self._opened = False
        self.watches.clear()
        self._touched.clear()
        if writer is None or reader is None or append_queue is None:
            return
        reader.stop()  # then the writer: the last to close removes the WAL, and of two at once neither does
        if loop is None or loop.is_closed() or self._pid != os.getpid():
            self._queue = None
            return  # the threads end by themselves; in a child of a fork there are none
        try:
            await sides[1].gone(STOP)
        finally:
            writer.stop()
        await sides[0].gone(STOP)
        with writer.lock:
            left, unknown = writer.left(), set(writer.under_way)
        append_queue.close(left, unknown)
        self._queue = None

    def retained(self) -> None:
        """The retention of topics has changed: store it in the file, for publishers without a bus."""
        self.watches.retained()
        if self._writer is not None:
            self._writer.work(Work(lambda connection, _: self._file.note(connection), _ignore))

    @property
    def ready(self) -> bool:
        """Whether entries appended now reach the watchers of this process."""
        if self._loop is None or self.watches.seen is None:
            return False
        return self._trouble is None or (
            locked(self._trouble) and self._clock() - self._trouble_since < LOCKED
        )

    @property
    def resting(self) -> bool:
        """Whether the machine has just woken up, so that nothing expires yet."""
        return self._rest > 0

    @property
    def deaf(self) -> bool:
        """Always false: without access to the file, this process cannot publish either."""
        return False

    @property
    def full(self) -> bool:
        """Whether no more may be appended now. From any thread."""
        waiting = self._queue
        return waiting is not None and waiting.full

    async def flushed(self) -> None:
        """Wait until everything appended before is settled."""
        if self._queue is not None:
            await self._queue.settled()

    def sweep(self) -> bool:
        """Once a second: keep watched topics alive, and delete expired ones."""
        if self._writer is None or not self._opened:
            return False
        dates = self._now()
        woke = self._dates.differs(dates)
        if woke:  # the machine slept, and watched topics were not touched
            self._dates = dates
            self._rest = REST
        self._touched |= dict.fromkeys(self.watches.due(everything=woke))
        if self._touched:
            names, self._touched = list(self._touched), {}
            self._writer.work(Work(lambda connection, _: touch(connection, names, self._file.now()), _ignore))
        if self._rest:
            self._rest -= 1
        else:
            self._writer.sweep()
        return False

    def present(
        self,
        process: str,
        life: float,
        said: dict[str, tuple[str, bool]],
        told: Callable[[str, list[bytes]], None],
    ) -> None:
        """Report the listeners of this process, and query those of the others; see `presence`."""
        if self._writer is None or self._reader is None:
            return
        present(self._writer, self._reader, self._file, process, life, said, told)

    # -- state -----------------------------------------------------------------------------------------------

    @property
    def unsettled(self) -> int:
        """Appends that are not settled."""
        return 0 if self._queue is None else self._queue.waiting

    @property
    def trouble(self) -> str:
        """Why the file cannot be written now; empty if it can."""
        return self._why()

    # -- called by the threads, on the loop ------------------------------------------------------------------

    def opened(self, error: UsageError | None) -> None:
        """The writer has opened the file, or never will."""
        if error is not None:
            self._refusal = error
            if self._met is not None:
                self._met.set()
            return
        self.watches.seen = None
        self._opened = True
        self._dates = self._now()
        if self._reader is not None:
            self._reader.begin()

    def began(self, last: int) -> None:
        """The reader reads a file with this last id; its content may be arbitrary."""
        if self._met is not None:
            self._met.set()
        self.watches.begin(last)
        if self._writer is not None:
            self._writer.work(self._writer.acknowledged.look(self._withdraw))

    def written(self, parts: list[Part], now: int) -> None:
        """A transaction was committed."""
        for part in parts:
            if not isinstance(part, Appended):
                part[0](part[1])
            elif self._queue is not None:
                if not self.watches.stored(part.stored, self._dates.at(now)) and self._reader:
                    self._reader.poke()
                if part.plain:
                    self._queue.went(len(part.drafts), part.size)
                else:
                    self._queue.done(part.drafts, part.outcomes)

    def refused(self, drafts: list[Draft], error: PublishRefused) -> None:
        """SQLite refuses drafts like these for good."""
        if self._queue is not None:
            self._queue.done(drafts, [error] * len(drafts))

    def news(self, entries: Sequence[News]) -> None:
        """Entries that other processes have stored, or that are between theirs."""
        reader = self._reader
        if reader is None:
            return
        reader.settled = True
        self.watches.news(entries)
        if len(entries) == NEWS:
            reader.poke()

    def troubled(self, error: Exception | None) -> None:
        """The file cannot be written now; None: it can again."""
        if error is not None and self._trouble is None:
            self._trouble_since = self._clock()
        self._trouble = error
        if error is not None and (not locked(error) or self._clock() - self._trouble_since >= LOCKED):
            self.report(error)

    def report(self, error: Exception) -> None:
        """Report an error, and the same one only periodically."""
        said, now = str(error), self._clock()
        if said != self._reported[0] or now - self._reported[1] >= REPORT:
            self._reported = (said, now)
            self._failed(error)

    # -- inside ----------------------------------------------------------------------------------------------

    def _now(self) -> Clock:
        return Clock(self._clock(), self._file.now())

    def _touch(self, topic: str, touched: int) -> None:
        """A topic was read: its life restarts."""
        if self._file.now() - touched > self.retention_of(topic).age * 125:  # an eighth of it
            self._touched[topic] = None

    def _withdraw(self, lost: Any) -> None:
        """The file has lost entries of this process: report the gap to the readers of all processes."""
        if self._queue is not None and isinstance(lost, list):
            for topic, upto in cast("Lost", lost):
                self.append(withdrawn(topic, upto, self.retention_of(topic)))

    def _dropped(self, topic: str, error: Exception) -> None:
        self.on_trouble(error, topic)

    def _failed(self, error: Exception) -> None:
        told = error if isinstance(error, RxSseError) else RxSseError(f"{self._file.path}: {error}")
        self.on_trouble(told, None)

    def _why(self) -> str:
        return "" if self._trouble is None else f"{self._file.path}: {self._trouble}"


_MISSING = object()


def _no_trouble(error: Exception, topic: str | None) -> None:
    """The default `on_trouble`."""


def _ignore(_: Any) -> None:
    """Ignore an answer that is not needed."""
