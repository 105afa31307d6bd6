"""A run, in the process of its source.

One task decides how the run ends: its source ends, or it is stopped, or another process owns it by now. So a
stop that races with the natural end has one outcome; and the log stores one end, whichever process writes it.

Never: a source without an owner. The task is done when its source is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from rx_sse.arguments import count, seconds
from rx_sse.bus.log.entry import END, Draft, draft_of
from rx_sse.bus.log.lease import RUNNING, Claim, Lease
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.publisher import PATIENCE, Publisher
from rx_sse.bus.runs.failure import Cause, problem_of_run
from rx_sse.bus.runs.source import Source, read
from rx_sse.errors import BusClosed, Overloaded, PublishRefused, PublishUnknown
from rx_sse.tasks import start
from rx_sse.wire.dumps import Dumps

logger = logging.getLogger("rx_sse")

RENEW = 1.0
"""Seconds between two renewals of a lease, at most."""
CLOSING = 5.0
"""Seconds for a source to close; then the run ends without it."""
TURN = 0.004
"""Seconds after which a source that never waits yields to the loop."""
KEPT = 30 * 86_400.0
ENTRIES = 100_000_000
"""A run keeps everything while it runs, up to its bytes and for a month."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of a run.

    Attributes:
        lease: the duration of the lease, in seconds.
        ttl: seconds that the run is kept after its end.
        max_bytes: bytes of its history.
        resumes: whether another process may continue it.
    """

    lease: float
    ttl: float
    max_bytes: int
    resumes: bool

    @classmethod
    def of(cls, lease: float, ttl: float, max_bytes: int, resumes: bool) -> Terms:
        """The terms in the units of `bus.run`.

        Raises:
            UsageError: a number out of range.
        """
        return cls(
            seconds("lease", lease, zero="would be over at once"),
            seconds("ttl", ttl, zero="would keep nothing of the run for its readers"),
            count("max_bytes", max_bytes),
            resumes,
        )


class Owner:
    """One run of this process.

    Args:
        lease: the lease.
        source: the source.
        terms: its terms.
        publisher: the way into the log.
        renew: renews the lease for a number of seconds.
        find: reads the lease.
        dumps: replaces the JSON encoder.
        context: the context of the call that started it.
        left: called when the run has left this process.

    Attributes:
        cause: the exception with which the source has failed.
    """

    def __init__(
        self,
        lease: Lease,
        source: Source,
        terms: Terms,
        *,
        publisher: Publisher,
        renew: Callable[[float], asyncio.Future[Lease | None]],
        find: Callable[[], asyncio.Future[Lease | None]],
        dumps: Dumps | None,
        context: Context,
        left: Callable[[Owner], None],
    ) -> None:
        self.lease = lease
        self.terms = terms
        self.cause = Cause()
        self._source = source
        self._publisher = publisher
        self._renew = renew
        self._find = find
        self._dumps = dumps
        self._claim = Claim(lease.fence)
        self._retention = Retention(ENTRIES, terms.max_bytes, KEPT)
        self._topic = lease.topic
        self._turn = 0.0
        self._emitted = 0
        self._held: Draft | None = None  # a draft that has found no room yet
        self._verdict: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._context = context
        self._looks = asyncio.Event()
        self.task = start(self._run, name=f"rx_sse run {lease.name}")
        self.task.add_done_callback(lambda task: self._done(task, left))

    def stop(self, reason: str) -> None:
        """Stop it, unless its end has been decided. `""` releases it without an end."""
        if not self._verdict.done():
            self._verdict.set_result(reason)

    def look(self) -> None:
        """Read the lease now: a stop may have been requested."""
        self._looks.set()

    async def _run(self) -> None:
        reading = start(read, self._source, self._emit, self._offer, self._room, context=self._context)
        renewing = start(self._keep)
        try:
            either: set[asyncio.Future[Any]] = {reading, self._verdict}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            natural = reading.done() and not self._verdict.done()
            if natural:
                self._verdict.set_result("completed")
            else:
                await _closed(reading, self.lease.name)
        finally:
            reading.cancel()
            renewing.cancel()
        reason = self._verdict.result()
        if natural:
            await self._end(*_outcome(reading, self.lease.name, self.cause))
        elif reason:
            await self._end("stopped", reason)
        elif self.terms.resumes:
            await self._renew(0.0)

    def _emit(self, value: Any) -> None:
        """Publish a value of an Observable, which cannot wait."""
        if not self._verdict.done():
            self._publisher.push(self._draft(value))

    def _offer(self, value: Any) -> bool:
        """Publish a value of an async iterable; returns whether it has to wait before its next one."""
        if self._verdict.done():
            return True
        draft = self._draft(value)
        if not self._publisher.offer(draft):
            self._held = draft
            return True
        self._emitted += 1
        return not self._emitted & 31

    def _draft(self, value: Any) -> Draft:
        draft = draft_of(self._topic, value, None, self._retention, self._dumps)
        draft.claim = self._claim
        return draft

    async def _room(self) -> None:
        """Wait while the log has no room, and yield to the loop regularly."""
        now = time.perf_counter()
        if now - self._turn > TURN:
            await asyncio.sleep(0)
            self._turn = time.perf_counter()
        while self._held is not None and not self._publisher.offer(self._held):  # noqa: ASYNC110 (its room has no event)
            await asyncio.sleep(PATIENCE)
        self._held = None

    async def _keep(self) -> None:
        """Renew the lease; detect a stop requested by another process, and another owner."""
        pause = min(RENEW, self.terms.lease / 3)
        due = time.monotonic() + pause
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._looks.wait(), due - time.monotonic())
            try:
                if self._looks.is_set():
                    self._looks.clear()
                    lease = await self._find()
                else:
                    due = time.monotonic() + pause
                    lease = await self._renew(self.terms.lease)
            except Overloaded:
                continue
            if lease is not None and lease.asked and lease.fence == self.lease.fence:
                self.stop(lease.asked)
            elif lease is None or lease.fence != self.lease.fence or lease.state != RUNNING:
                logger.warning("run %s has another owner or has ended: its source is closed", self.lease.name)
                self.stop("")
            if self._verdict.done():
                return

    async def _end(self, state: str, reason: str, problem: dict[str, Any] | None = None) -> None:
        said: dict[str, Any] = {"reason": reason, "state": state}
        if problem is not None:
            said["problem"] = problem
        await write_end(self._publisher, self.lease, state, said, self.terms.ttl, self._retention)

    def _done(self, task: asyncio.Task[None], left: Callable[[Owner], None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the owner of run %s failed", self.lease.name, exc_info=error)
        left(self)


async def write_end(
    publisher: Publisher,
    lease: Lease,
    state: str,
    said: dict[str, Any],
    ttl: float,
    retention: Retention | None = None,
) -> bool:
    """Write the end of a run; False if it has ended, or has another owner. Repeats until the log has
    answered."""
    text = json.dumps(said)
    kept = retention or Retention(ENTRIES, 1 << 40, KEPT)
    while True:
        draft = Draft(lease.topic, END, text, None, kept)
        draft.claim = Claim(lease.fence, state, ttl)
        try:
            await publisher.publish(draft)
            return True
        except PublishRefused as error:
            if error.retry_after is None:
                return False
        except BusClosed:
            return False
        except (PublishUnknown, Overloaded):
            pass
        await asyncio.sleep(0.1)


async def _closed(reading: asyncio.Task[None], name: str) -> None:
    """Close a source that is still running."""
    reading.cancel()
    await asyncio.wait({reading}, timeout=CLOSING)
    if not reading.done():
        logger.error("the source of run %s has not closed within %g s", name, CLOSING)
    elif not reading.cancelled() and (error := reading.exception()) is not None:
        logger.error("the source of run %s failed while it was closed", name, exc_info=error)


def _outcome(reading: asyncio.Task[None], name: str, cause: Cause) -> tuple[str, str, dict[str, Any] | None]:
    error: BaseException | None
    error = asyncio.CancelledError() if reading.cancelled() else reading.exception()
    if error is None:
        return "completed", "completed", None
    cause.error = error
    problem = problem_of_run(error)
    logger.error("run %s failed", name, exc_info=error)
    return "failed", "failed", problem
