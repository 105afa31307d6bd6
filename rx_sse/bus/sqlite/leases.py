"""The leases of runs in a file, as a `Leasing`: the writer executes each call, in its place among the drafts.

Never: an answer before its transaction was committed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

from rx_sse.bus.log.lease import Found, Lease, Take
from rx_sse.bus.sqlite.appending import Appender
from rx_sse.bus.sqlite.file import File
from rx_sse.bus.sqlite.lease_rows import LeaseRows
from rx_sse.bus.sqlite.work import Work
from rx_sse.errors import Overloaded, RxSseError


class Worker(Protocol):
    """Executes the calls: the log."""

    @property
    def resting(self) -> bool:
        """Whether the machine has just woken up, so that no owner could renew its lease."""
        ...

    def in_place(self, work: Work) -> bool:
        """Execute it after everything appended before; False if the log is not open."""
        ...


class Leases:
    """The leases of one log.

    Args:
        log: executes the calls.
        file: the file.
    """

    __slots__ = ("_file", "_log")

    def __init__(self, log: Worker, file: File) -> None:
        self._log = log
        self._file = file

    def take(self, name: str, wish: Take, done: Found) -> None:
        """Own a run, if it has no owner."""
        self._ask(lambda rows: rows.take(name, wish), done)

    def renew(self, name: str, fence: int, seconds: float, done: Found) -> None:
        """Renew a lease."""
        self._ask(lambda rows: rows.renew(name, fence, seconds), done)

    def look(self, name: str, done: Found) -> None:
        """The lease of a run."""
        self._ask(lambda rows: rows.look(name), done, reads=True)

    def ask(self, name: str, reason: str, done: Found) -> None:
        """Request the owner of a run to stop it."""
        self._ask(lambda rows: rows.ask(name, reason), done)

    def all(self, *, overdue: bool, done: Callable[[list[Lease]], None]) -> None:
        """The newest leases, or some that are overdue."""
        if overdue and self._log.resting:
            done([])
            return

        def found(leases: Any) -> None:
            done(cast("list[Lease]", leases) if isinstance(leases, list) else [])

        if not self._log.in_place(self._work(lambda rows: rows.all(overdue=overdue), found, True)):
            done([])

    def _ask(
        self, question: Callable[[LeaseRows], Lease | None], done: Found, *, reads: bool = False
    ) -> None:
        if not self._log.in_place(self._work(question, partial(_answer, done), reads)):
            done(Overloaded(f"{self._file.path} is not open yet, so there are no runs", retry_after=1.0))

    def _work(self, question: Callable[[LeaseRows], Any], done: Callable[[Any], None], reads: bool) -> Work:
        def run(connection: sqlite3.Connection, _: Appender) -> Any:
            return question(LeaseRows(connection, self._file.now()))

        return Work(run, done, reads=reads)


def _answer(done: Found, found: Any) -> None:
    if isinstance(found, Exception) and not isinstance(found, RxSseError):
        found = Overloaded(f"SQLite refused it: {found}", retry_after=1.0)
    done(found)
