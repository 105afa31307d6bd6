"""Passes the threads' reports to the loop, in their order.

Never: a thread continues after the loop is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from rx_sse.bus.log.draft import Draft
from rx_sse.bus.sqlite.pages import News
from rx_sse.bus.sqlite.watches import Watches
from rx_sse.bus.sqlite.work import Part
from rx_sse.errors import PublishRefused, UsageError


class Threads(Protocol):
    """The log, which gets the threads' reports on the loop."""

    @property
    def watches(self) -> Watches: ...

    @property
    def own(self) -> tuple[int, int]:
        """The newest row of ids without a hole that are this process's own: the first and the last."""
        ...

    @property
    def alone(self) -> tuple[float, float]:
        """Since when and until when no other process has changed the file."""
        ...

    def opened(self, error: UsageError | None) -> None: ...

    def began(self, last: int) -> None: ...

    def written(self, parts: list[Part], now: int) -> None: ...

    def refused(self, drafts: list[Draft], error: PublishRefused) -> None: ...

    def news(self, entries: Sequence[News]) -> None: ...

    def troubled(self, error: Exception | None) -> None: ...

    def report(self, error: Exception) -> None: ...

    def look(self) -> None:
        """Have the writer check whether the file still exists. Any thread."""
        ...


class Side:
    """A thread's way to the loop.

    Args:
        log: receives the reports.

    Attributes:
        over: set when the thread has ended.
        stop: ends the thread.
    """

    def __init__(self, log: Threads) -> None:
        self._log = log
        self._loop = asyncio.get_running_loop()
        self.over = asyncio.Event()
        self.stop: Callable[[], None] = _nothing

    def ended(self) -> None:
        """The thread ends."""
        self._post(self.over.set)

    def _post(self, function: Callable[..., None], *args: Any) -> None:
        """Call on the loop, if it is still there."""
        try:
            self._loop.call_soon_threadsafe(function, *args)
        except RuntimeError:  # the loop was closed, and the bus was not
            self.stop()


class WriterSide(Side):
    """The reports of the writer."""

    def opened(self, error: UsageError | None) -> None:
        """The file was opened, or never will be."""
        self._post(self._log.opened, error)

    def written(self, parts: list[Part], now: int) -> None:
        """A transaction was committed."""
        self._post(self._log.written, parts, now)

    def refused(self, drafts: list[Draft], error: PublishRefused) -> None:
        """SQLite refuses drafts like these for good."""
        self._post(self._log.refused, drafts, error)

    def trouble(self, error: Exception | None) -> None:
        """Writing fails at the moment; None: it works again."""
        self._post(self._log.troubled, error)


class ReaderSide(Side):
    """The reports of the reader."""

    @property
    def seen(self) -> int | None:
        """The id up to which entries were delivered."""
        return self._log.watches.seen

    @property
    def watching(self) -> bool:
        """Whether any topic is watched."""
        return len(self._log.watches) > 0

    @property
    def alone(self) -> tuple[float, float]:
        """Since when and until when no other process has changed the file."""
        return self._log.alone

    def mine(self, after: int, last: int) -> bool:
        """Whether all entries after an id, up to another, are this process's own."""
        first, end = self._log.own
        return first <= after + 1 and last <= end

    def answered(self, answers: list[tuple[Callable[[Any], None], Any]]) -> None:
        """Queries were answered."""
        self._post(_answer, answers)

    def news(self, entries: Sequence[News]) -> None:
        """There are new entries."""
        self._post(self._log.news, entries)

    def began(self, last: int) -> None:
        """It reads another file, or another content."""
        self._post(self._log.began, last)

    def moved(self) -> None:
        """The file is not the one that was opened."""
        self._log.look()

    def failed(self, error: Exception) -> None:
        """The reader connects anew, after an error that is not SQLite's."""
        self._post(self._log.report, error)


def _nothing() -> None:
    """Used before there is a thread."""


def _answer(answers: list[tuple[Callable[[Any], None], Any]]) -> None:
    for answer, found in answers:
        answer(found)
