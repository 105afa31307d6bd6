"""The loop of a running bus, and everything that its parts share.

Asyncio begins here: the inbox that receives pushes, the fan-out, timers, tasks, the record of errors. It
knows no part, so that it can be passed to every part.

Never: a timer or a task for a topic.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Protocol, TypeVarTuple, Unpack

from reactivex import Observable, Subject

from rx_sse.bus.gap import Gap
from rx_sse.bus.log.history import MemoryBudget, shrunk
from rx_sse.bus.log.port import Dated, Log, Resident
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.log.retentions import Retentions
from rx_sse.bus.log.wall_clock import WallClock
from rx_sse.delivery.fanout import FanOut
from rx_sse.delivery.inbox import Inbox
from rx_sse.delivery.loop import running_loop
from rx_sse.errors import BusClosed, UsageError
from rx_sse.reactive.contexts import Kept
from rx_sse.tasks import start

logger = logging.getLogger("rx_sse")

LATER = 0.25
"""Seconds after which a query is repeated that a log could not answer."""
Args = TypeVarTuple("Args")

NOT_RUNNING = "the bus is not running: start it with setup(app, bus=bus) or `async with bus`"


@dataclass(frozen=True, slots=True)
class BusError:
    """An error that is reported nowhere else.

    Attributes:
        topic: its topic, if it belongs to one.
        gap: events that are missing for a reader without a connection, or None.
        error: the exception, or None.
    """

    topic: str | None
    gap: Gap | None
    error: Exception | None

    def __str__(self) -> str:
        if self.gap is not None:
            return f"rx_sse: topic {self.topic}: events are missing ({self.gap.reason})"
        place = "" if self.topic is None else f"topic {self.topic}: "
        return f"rx_sse: {place}{type(self.error).__name__}: {self.error}"


class Subscriber(Protocol):
    """A subscription to a topic."""

    def shutdown(self, error: BusClosed) -> None:
        """The bus closes."""
        ...


class Runtime:
    """What the parts of one bus share. Loop thread only, unless stated otherwise.

    Args:
        log: stores the entries.
        retention: how much of a topic is kept, unless a rule applies to it.
        clock: monotonic seconds, the same as the log's.
        ring_bytes: recent entries of all topics that are kept ready for reconnects.

    Attributes:
        resident: the log, if its entries are in this process.
        retentions: how much of which topic is kept.
        wall: converts an entry's `at` to seconds of the epoch.
        inbox: the queue between threads and the loop, while the bus runs.
        questions: futures that are resolved when the log answers or the bus closes.
        counts: counters by name.
    """

    def __init__(self, log: Log, retention: Retention, clock: Callable[[], float], ring_bytes: int) -> None:
        self.log = log
        self.resident = log if isinstance(log, Resident) else None
        self.retentions = Retentions(retention)
        self.clock = clock
        self.wall_clock = WallClock(clock)
        self.wall = log.wall if isinstance(log, Dated) else self.wall_clock.wall
        self.rings = MemoryBudget(ring_bytes)
        self.fanout = FanOut(self.soon, self.now)
        self.inbox: Inbox | None = None
        self.counts: dict[str, int] = {}
        self.subscribers: dict[Subscriber, None] = {}
        self.questions: set[asyncio.Future[Any]] = set()
        self._peak = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._later: list[Callable[[], None]] = []
        self._errors: Subject[BusError] = Subject()
        self._context = Context()  # empty: the work done here is done for many subscriptions

    # -- lifecycle -------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether the bus was started and not yet closed."""
        return self.inbox is not None

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop that it runs on."""
        return self._loop

    def attach(self, loop: asyncio.AbstractEventLoop) -> Inbox:
        """Begin on a loop."""
        self._loop = loop
        self.fanout.now = loop.time
        self.inbox = inbox = Inbox(loop, after=self.fanout.turn, slice=self.fanout.slice)
        return inbox

    def detach(self) -> None:
        """Discard everything that belonged to the loop."""
        if self.inbox is not None:
            self.inbox.close()
        if self._loop is not None and not self._loop.is_closed():
            for question in self.questions:
                if not question.done():
                    question.set_exception(BusClosed("the bus was closed before the log had answered"))
        self.questions.clear()
        self._loop = self.inbox = None
        self.fanout.now = self.now
        self.fanout.clear()
        self.subscribers.clear()
        self._later.clear()

    async def cancel_tasks(self) -> None:
        """Cancel the background tasks, and wait until they have ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)

    # -- the loop --------------------------------------------------------------------------------------------

    def now(self) -> float:
        """The loop's clock."""
        return 0.0 if self._loop is None else self._loop.time()

    def retention_of(self, topic: str) -> Retention:
        """How much of a topic is kept. From any thread."""
        return self.retentions.of(topic)

    def soon(self, action: Callable[[], None]) -> object:
        """Call it in the loop's next turn."""
        assert self._loop is not None
        return self._loop.call_soon(action, context=self._context)

    def after(self, seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        """Call it once, after a delay."""
        assert self._loop is not None
        return self._loop.call_later(seconds, action, context=self._context)

    def later(self, action: Callable[[], None]) -> object:
        """Call it when it is worth querying a log again that could not answer: one timer for all."""
        self._later.append(action)
        return self.after(LATER, self._asked_again) if len(self._later) == 1 else None

    def spawn(self, function: Callable[[Unpack[Args]], Coroutine[Any, Any, None]], *args: *Args) -> None:
        """Run a coroutine function as a background task, in the current context; it ends with the bus."""
        task = start(function, *args, loop=self._loop)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def require_loop(self) -> None:
        """Raise unless this is the loop that the bus runs on."""
        if self.inbox is None and self._loop is None:
            raise BusClosed(NOT_RUNNING)
        self._require_here()
        if running_loop() is not self._loop and not (self.inbox is not None and self.inbox.here):
            raise UsageError(
                "this bus belongs to another loop: subscribe and publish there; on_next works from everywhere"
            )

    def require_no_other_loop(self) -> None:
        """Raise on the thread of another loop, and if the bus is not running. On any thread."""
        if self.inbox is None:
            raise BusClosed(NOT_RUNNING)
        self._require_here()
        if (loop := running_loop()) is not None and loop is not self._loop:
            raise UsageError(
                "this bus belongs to another loop: subscribe there; on_next works from everywhere"
            )

    def _require_here(self) -> None:
        if self.inbox is not None and (why := self.inbox.gone) is not None:
            raise BusClosed(f"the bus does not run here: {why}")

    def run_on_loop(self, action: Callable[[], None]) -> None:
        """Now, on the loop's thread; otherwise through the inbox, behind what this thread has pushed."""
        inbox = self.inbox
        if inbox is None or inbox.here:
            action()
        else:
            inbox.put(_run, action, exempt=True)

    # -- reports ---------------------------------------------------------------------------------------------

    @property
    def errors(self) -> Observable[BusError]:
        """Errors that are reported nowhere else."""
        return Kept(self._errors)

    def counted(self, what: str) -> None:
        """Count something for `stats()`."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def lost(self, gap: Gap) -> None:
        """Report a gap that is sent to no client."""
        self._report(BusError(gap.topic, gap, None))

    def error(self, error: Exception, topic: str | None = None) -> None:
        """Report an error that is reported nowhere else. On any thread."""
        self.run_on_loop(lambda: self._report(BusError(topic, None, error)))

    def raised(self, message: str, error: Exception) -> None:
        """Report an exception of a user's function to the loop's exception handler."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_exception_handler({"message": message, "exception": error})

    def shrink(self) -> None:
        """Release memory that was needed when there was much more of everything."""
        self.subscribers, self._peak = shrunk(self.subscribers, self._peak)
        self.rings.shrink()

    def _report(self, what: BusError) -> None:
        self.counted("troubles")
        if not self._errors.observers:
            logger.warning("%s", what)
        try:
            self._errors.on_next(what)
        except Exception as error:
            self.raised("rx_sse: an observer of bus.errors raised", error)

    def _asked_again(self) -> None:
        later, self._later = self._later, []
        for action in later:
            action()


def _run(action: Callable[[], None]) -> None:
    action()
