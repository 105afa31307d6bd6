"""The loop's side of appending: drafts of a turn, waiting drafts, and their deadlines.

Drafts of one turn are handed to the writer together. While no publisher waits for one, they are handed over
at most every 4 ms: a transaction and what wakes two threads for it cost some 100 µs, whatever it holds. What
comes after a pause is handed over at once.

Standard: docs/resume.md §4.
Never: a publisher waits longer than its timeout. `PublishRefused` says that its draft will not be stored;
`PublishUnknown`, that a transaction was holding it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence

from rx_sse.bus.log.backlog import Backlog
from rx_sse.bus.log.entry import Draft
from rx_sse.bus.log.port import not_stored
from rx_sse.bus.log.position import Position
from rx_sse.bus.sqlite.appending import maybe_stored
from rx_sse.bus.sqlite.writer import Writer
from rx_sse.errors import PublishRefused

SPACING = 0.004
"""Seconds between two transactions for pushes that no publisher waits for."""


class AppendQueue(Backlog):
    """The appends of one log, while it is open.

    Args:
        writer: stores the drafts.
        timeout: seconds after which a waiting publisher gets an error.
        why: returns why the file cannot be written now; empty if it can.
        dropped: called with a topic and the reason, where drafts without a publisher were refused.
    """

    __slots__ = (
        "_deadlines",
        "_dropped",
        "_handed",
        "_loop",
        "_pending",
        "_scheduled",
        "_timeout",
        "_timer",
        "_why",
        "_writer",
    )

    def __init__(
        self,
        writer: Writer,
        timeout: float,
        why: Callable[[], str],
        dropped: Callable[[str, Exception], None],
    ) -> None:
        super().__init__()
        self._writer = writer
        self._timeout = timeout
        self._why = why
        self._dropped = dropped
        self._loop = asyncio.get_running_loop()
        self._pending: list[Draft] = []
        self._scheduled: asyncio.Handle | None = None
        self._handed = 0.0
        self._deadlines: OrderedDict[Draft, float] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def append(self, draft: Draft) -> None:
        """Store a draft after everything before it."""
        self.waiting += 1
        self._bytes += draft.size
        self._pending.append(draft)
        loop = self._loop
        if draft.settle is not None:
            self._deadlines[draft] = loop.time() + self._timeout
            if self._timer is None:
                self._timer = loop.call_later(self._timeout, self._expire)
            if self._scheduled is not None and isinstance(self._scheduled, asyncio.TimerHandle):
                self._scheduled.cancel()
                self._scheduled = None
            if self._scheduled is None:
                self._scheduled = loop.call_soon(self.hand)
        elif self._scheduled is None:
            wait = self._handed + SPACING - loop.time()
            self._scheduled = loop.call_later(wait, self.hand) if wait > 0 else loop.call_soon(self.hand)

    def hand(self) -> None:
        """Pass the collected drafts to the writer, now."""
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        if self._pending:
            self._handed = self._loop.time()
            pending, self._pending = self._pending, []
            self._writer.append(pending)

    def done(self, drafts: Sequence[Draft], outcomes: Sequence[Position | Exception]) -> None:
        """The writer has finished drafts."""
        refused: dict[tuple[str, str], Exception] = {}
        self.went(len(drafts), sum([draft.size for draft in drafts]))
        for draft, outcome in zip(drafts, outcomes, strict=True):
            if draft.settle is not None:
                self._deadlines.pop(draft, None)
                draft.settle(outcome)
            elif isinstance(outcome, Exception):
                refused[draft.topic, str(outcome)] = outcome
        for (topic, _), error in refused.items():
            self._dropped(topic, error)

    def close(self, left: Sequence[Draft], unknown: set[Draft]) -> None:
        """Settle with an error the drafts that the writer did not process."""
        for handle in (self._timer, self._scheduled):
            if handle is not None:
                handle.cancel()
        drafts = [*left, *self._pending]
        outcomes = [maybe_stored("the bus was closed") if it in unknown else _closed() for it in drafts]
        self._pending = []
        self.done(drafts, outcomes)

    # -- inside ----------------------------------------------------------------------------------------------

    def _expire(self) -> None:
        """Settle the drafts that have timed out."""
        self._timer = None
        now = self._loop.time()
        over: list[Draft] = []
        for draft, due in self._deadlines.items():
            if due > now:
                self._timer = self._loop.call_at(due, self._expire)
                break
            over.append(draft)
        with self._writer.lock:
            unknown = set(over).intersection(self._writer.under_way)
            self._writer.expired.update(draft for draft in over if draft not in unknown)
        for draft in over:
            del self._deadlines[draft]
            settle, draft.settle = draft.settle, _ignored if draft in unknown else None
            assert settle is not None
            if draft in unknown:  # it stays, until the transaction has ended
                settle(maybe_stored(self._why()))
                continue
            self.left(draft)
            settle(not_stored(f"{self._why() or 'the file was busy'}, for {self._timeout} s"))


def _closed() -> PublishRefused:
    return not_stored("the bus was closed")


def _ignored(_: Position | Exception) -> None:
    """For a draft whose publisher has got an answer."""
