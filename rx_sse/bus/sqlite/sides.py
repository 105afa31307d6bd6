"""Passes the threads' reports to the loop, in their order.

Never: a thread continues after the loop is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from rx_sse.bus.log.entry import Draft
from rx_sse.bus.sqlite.pages import News
from rx_sse.bus.sqlite.watches import Watches
from rx_sse.bus.sqlite.work import Part
from rx_sse.bus.sqlite.writer import Writer
from rx_sse.errors import PublishRefused, UsageError


class Threads(Protocol):
    """The log, which gets the threads' reports on the loop."""

    @property
    def watches(self) -> Watches: ...

    def opened(self, error: UsageError | None) -> None: ...

    def began(self, last: int) -> None: ...

    def written(self, parts: list[Part], now: int) -> None: ...

    def refused(self, drafts: list[Draft], error: PublishRefused) -> None: ...

    def news(self, entries: Sequence[News]) -> None: ...

    def troubled(self, error: Exception | None) -> None: ...

    def report(self, error: Exception) -> None: ...


class Side:
    """A thread's way to the loop.

    Args:
        log: receives the reports.

    Attributes:
        stop: ends the threads.
    """

    def __init__(self, log: Threads) -> None:
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self.stop: Callable[[], None] = _nothing

    def ended(self) -> None:
        """The thread ends."""
        self._post(self._over.set)

    async def gone(self, limit: float) -> None:
        """Wait until the thread has ended, for `limit` seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._over.wait()

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
    """The reports of the reader, and what it has to know of the writer.

    Args:
        writer: the writer, which ends after the reader.
    """

    def __init__(self, log: Threads, writer: Writer) -> None:
        super().__init__(log)
        self._writer = writer

    def ended(self) -> None:
        """The thread ends."""
        self._writer.stop()
        super().ended()

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
        return self._writer.alone

    def mine(self, after: int, last: int) -> bool | None:
        """Whether all entries after an id, up to another, are this process's own."""
        return self._writer.own.hold(after, last)

    def answered(self, answers: list[tuple[Callable[[Any], None], Any]]) -> None:
        """Queries were answered."""
        self._post(_answer, answers)

    def news(self, entries: Sequence[News]) -> None:
        """There are new entries."""
        self._post(self._log.news, entries)

    def began(self, last: int) -> None:
        """It reads another file, or another content."""
        self._writer.own.clear()
        self._post(self._log.began, last)

    def moved(self) -> None:
        """The file is not the one that was opened."""
        self._writer.look()

    def failed(self, error: Exception) -> None:
        """The reader connects anew, after an error that is not SQLite's."""
        self._post(self._log.report, error)


def _nothing() -> None:
    """Used before there is a thread."""


def _answer(answers: list[tuple[Callable[[Any], None], Any]]) -> None:
    for answer, found in answers:
        answer(found)
