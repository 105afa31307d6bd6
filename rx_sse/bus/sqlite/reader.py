"""The thread that reads the file, on a connection of its own: pages, and what other processes have stored.

It checks whether any connection has committed (`PRAGMA data_version`, 4 µs). That covers every way in which
an entry can get into the file, also a transaction of the application's own, and processes that only read pay
for it, not those that write. New entries are read in the order of ids, so nothing is missed, and an entry is
read twice only while this process and others write at the same time.

While others write, it checks every 2 ms. Otherwise the system wakes it: each commit writes to the file's WAL,
which is watched (`wakeup`). A report is a hint: it comes before the commit can be seen, and on some systems
never. So the checks go on, seldom where the watch has proved itself, as often as ever where not.

Standard: docs/decisions/sqlite.md.
Never: more than one answer with new entries is on its way to the loop, so a busy loop is not flooded.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Any, Protocol

from rx_sse.bus.sqlite.file import File, Identity
from rx_sse.bus.sqlite.pages import NEWS, News, Pages
from rx_sse.bus.sqlite.rows import Clock
from rx_sse.bus.sqlite.wakeup import Wakeup

BUSY_PACE = 0.002
PACE = 0.03
QUIET_PACE = 0.06
"""Seconds between two checks: while other processes are writing, otherwise, and once they have written
nothing for a while: then the checks are most of what an idle process costs."""
ALONE = 0.25
"""The same while no topic is watched, or the system reports changes; also between two checks whether the file
still exists."""
LATELY = 1.0
QUIET = 10.0
"""Seconds for which other processes count as writing; and after those, until they count as quiet."""


class _Signal(Enum):
    """What a reader is to do beside answering questions."""

    BEGIN = auto()
    POKE = auto()
    WAKE = auto()
    STOP = auto()


Question = Callable[[Pages, Clock], Any]
Answer = Callable[[Any], None]


class ReaderOwner(Protocol):
    """The owner of a reader, called on the reader's thread."""

    @property
    def seen(self) -> int | None:
        """The id up to which entries were delivered."""
        ...

    @property
    def watching(self) -> bool:
        """Whether any topic is watched."""
        ...

    @property
    def alone(self) -> tuple[float, float]:
        """Since when and until when, in monotonic seconds, no other process has changed the file."""
        ...

    def mine(self, after: int, last: int) -> bool | None:
        """Whether all entries after an id, up to another, are this process's own; None if that is not known
        yet: they were committed a moment ago.
        """
        ...

    def answered(self, answers: list[tuple[Answer, Any]]) -> None:
        """Queries were answered; None where that was not possible."""
        ...

    def news(self, entries: Sequence[News]) -> None:
        """New entries; the owner sets `settled` when it has taken them."""
        ...

    def began(self, last: int) -> None:
        """From now on it reads a file with this last id; it may be another file than before."""
        ...

    def moved(self) -> None:
        """The file was replaced or deleted."""
        ...

    def failed(self, error: Exception) -> None:
        """An unexpected error; it connects anew."""
        ...

    def ended(self) -> None:
        """The thread ends."""
        ...


class Reader:
    """Reads, while the log is open.

    Args:
        owner: receives the results.
        file: the file.
        dates: the present conversion from the file's milliseconds to the monotonic seconds of the bus.

    Attributes:
        settled: whether the last new entries were taken.
        looks: number of checks.
    """

    def __init__(self, owner: ReaderOwner, file: File, dates: Callable[[], Clock]) -> None:
        self._owner = owner
        self._file = file
        self._dates = dates
        self._jobs: queue.SimpleQueue[tuple[Question, Answer] | _Signal] = queue.SimpleQueue()
        self._wakeup = Wakeup()
        self._connection: sqlite3.Connection | None = None
        self._identity: Identity | None = None
        self._open = False
        self._stopping = False
        self._version = -1
        self._busy_until = 0.0
        self._due = 0.0
        self._begin_due = 0.0
        self._look_due = 0.0
        self._looked = 0.0
        self._armed_at = 0.0
        self._reported = False  # the system has reported a write, and no commit was seen since
        self._doubtful = False  # it has not reported one that was there
        self._behind = False  # entries of this process were not delivered, because others precede them
        self.settled = True
        self.looks = 0
        self.thread = threading.Thread(target=self._run, name="rx_sse sqlite reader", daemon=True)

    # -- any thread ------------------------------------------------------------------------------------------

    def ask(self, question: Question, answer: Answer) -> None:
        """Answer a question; None if that is not possible now."""
        self._put((question, answer))

    def begin(self) -> None:
        """Connect again: the file exists."""
        self._put(_Signal.BEGIN)

    def poke(self) -> None:
        """Read now what the watchers have not got, also entries of this process."""
        self._put(_Signal.POKE)

    def wake(self) -> None:
        """A topic is watched, and none was before: check now, and from now on as often as that needs."""
        self._put(_Signal.WAKE)

    def stop(self) -> None:
        """End."""
        self._put(_Signal.STOP)

    def _put(self, job: tuple[Question, Answer] | _Signal) -> None:
        self._jobs.put(job)
        self._wakeup.call()

    # -- its own ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stopping:
                try:
                    self._turn()
                except Exception as error:  # the thread does not end: it connects again, and reads from there
                    self._close()
                    self._owner.failed(error)
        finally:
            self._close()
            self._wakeup.close()
            self._owner.ended()

    def _turn(self) -> None:
        questions = self._collect()
        if self._stopping:
            return
        now = time.monotonic()
        if self._connection is None and self._open and now >= self._begin_due:
            self._begin()  # the last attempt failed
        if questions:
            self._answer(questions)
            now = time.monotonic()
        if now >= self._due and self._connection is not None:
            self._look(now)

    def _collect(self) -> list[tuple[Question, Answer]]:
        """The waiting queries; waits for them until the next check is due."""
        questions: list[tuple[Question, Answer]] = []
        wait = max(self._due - time.monotonic(), 0.0) if self._connection is not None else ALONE
        try:
            job = self._next(wait)
            while True:
                if isinstance(job, tuple):
                    questions.append(job)
                elif job is _Signal.BEGIN:
                    self._begin()
                elif job is _Signal.STOP:
                    self._stopping = True
                    return questions
                else:
                    self._due = 0.0
                    self._behind = self._behind or job is _Signal.POKE
                    if job is _Signal.WAKE:  # the others were not watched, so they do not count as quiet
                        self._busy_until = max(self._busy_until, time.monotonic())
                job = self._jobs.get_nowait()
        except queue.Empty:
            return questions

    def _next(self, wait: float) -> tuple[Question, Answer] | _Signal:
        """The next job. Raises `queue.Empty` if there is none within `wait`, or the file has changed."""
        if not self._wakeup.armed:
            return self._jobs.get(timeout=wait)
        if self._wakeup.wait(wait, self._jobs.empty):
            self._reported = True
            self._due = 0.0
        return self._jobs.get_nowait()

    def _begin(self) -> None:
        """Connect to the file at the path now."""
        self._close()
        self._open, self._begin_due = True, time.monotonic() + ALONE
        try:
            identity = self._file.identity()
            connection = self._file.connect_reading()
            pages = Pages(connection)
            self._version = pages.version()
            last = pages.last_id()
        except sqlite3.Error:
            return
        self._connection, self._pages, self._identity = connection, pages, identity
        self._wal = f"{os.path.realpath(self._file.path)}-wal"  # SQLite follows links, too
        self._doubtful = self._reported = False
        self._after = last
        self._looked = 0.0
        self._busy_until = time.monotonic()
        self.settled = True
        self._owner.began(last)

    def _answer(self, questions: list[tuple[Question, Answer]]) -> None:
        answers: list[tuple[Answer, Any]] = []
        clock = self._dates()
        for question, answer in questions:
            found: Any = None
            if self._connection is not None:
                try:
                    found = question(self._pages, clock)
                except Exception as error:
                    found = error
            answers.append((answer, found))
        if answers:
            self._owner.answered(answers)

    def _look(self, now: float) -> None:
        """Read new entries, if there are any."""
        owner = self._owner
        if self._nothing_new(now):
            return
        self.looks += 1
        if now >= self._look_due:
            self._look_due = now + ALONE
            if self._file.identity() != self._identity:
                owner.moved()
        after, version, armed = self._after, self._version, self._wakeup.armed
        if owner.watching and not armed and now >= self._busy_until and self._wakeup.arm(self._wal):
            self._armed_at = now  # before the check: what is committed after that is reported
        try:
            if self.settled and owner.seen is not None:
                self._looked = now if self._follow(owner.seen) else 0.0
                if self._version != version:
                    if self._after > after:
                        self._judge(now, armed)
                    self._reported = False
        except (sqlite3.Error, ValueError):
            self._version, self._looked, self._behind = -1, 0.0, True  # it is checked again
        self._due = time.monotonic() + (self._pace(now) if owner.watching else ALONE)

    def _pace(self, now: float) -> float:
        if now < self._busy_until:
            return BUSY_PACE
        if self._looked == now and self._wakeup.armed and self._wakeup.proved and not self._doubtful:
            # What was written before it was armed may be committed later: its fsync may take long.
            return min(max(now - self._armed_at, BUSY_PACE), ALONE)
        return PACE if now < self._busy_until + QUIET else QUIET_PACE

    def _judge(self, now: float, armed: bool) -> None:
        """Other processes' entries were found: whether the system has reported them, as it should."""
        if self._reported or (armed and self._wakeup.changed()):
            self._doubtful = False
        elif armed and now - self._armed_at > LATELY:
            self._doubtful = True

    def _nothing_new(self, now: float) -> bool:
        """Whether the writer has seen, in its own transactions, that no other process has written since the
        last look.
        """
        since, until = self._owner.alone
        if self._behind or not since < self._looked or until + PACE <= now or now < self._busy_until:
            return False
        self._due = until + PACE
        return True

    def _follow(self, seen: int) -> bool:
        """Report new entries; returns whether those are all."""
        behind, self._behind = self._behind, False
        version = self._pages.version()
        if version == self._version and not behind:
            return True
        last = self._pages.last_id()
        after = max(seen, self._after)
        if last < after:  # the file's content went back
            self._version = version
            self._after = last
            self._owner.began(last)
            return True
        # Its own are delivered by the loop, unless that has said that it could not: it has them no more.
        mine = not behind and last > after and self._owner.mine(after, last)
        if mine is None:
            return False
        if last > after and not mine:
            entries = self._pages.news(after, self._dates())
            if entries:
                self._after = entries[-1][0]
                self._busy_until = time.monotonic() + LATELY
                self.settled = False
                self._owner.news(entries)
            if len(entries) == NEWS:
                return False  # there are more: the version is not stored
        self._version = version
        return True

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        self._wakeup.forget()
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
