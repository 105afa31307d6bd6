"""From one entry to its thousands of readers.

The relay of a topic hands over an entry for the readers that it has at that moment; they are called later,
one by one, directly, in order: when the loop has done what brought the entry. Entries that come meanwhile
join it in one burst, so a reader is called once for all of them, and what is the same for all readers is made
once a burst. After a slice of a few milliseconds the rest goes on in the turn after, so ten thousand readers
never hold the loop. Whoever joins later is not among an earlier burst's readers, and whoever left is skipped:
that is why joining and leaving need no lock and cost nothing here.

Standard: the Observable contract's "one at a time" (ReactiveX).
Never: a reader that raises is heard of by another one; it is let go, and its exception goes to the loop's
exception handler.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from rx_sse.wire.burst import Burst

SLICE = 0.004
CHECK_EVERY = 32
"""Deliveries between two looks at the clock."""
BURST_ITEMS = 128
BURST_BYTES = 65_536
"""A burst is a quarter of an outbox at most, and one write."""
WORTH_A_WRITE = 8
"""Items for which a burst is written on its own, even if other bursts of the same turn may follow."""


class Receiver(Protocol):
    """A reader of live entries."""

    @property
    def receive(self) -> Callable[[Burst], None]:
        """Takes a burst. Once the reader has left, it does nothing."""
        ...

    def fail(self, error: Exception) -> None:
        """`receive` raised: leave, and report it."""
        ...


class Audience:
    """The readers of one kind that a topic has.

    Joining and leaving is O(1); the lists that deliveries walk over are made anew at the first delivery after
    either.
    """

    __slots__ = ("_members", "_snapshot", "_takers", "open")

    def __init__(self) -> None:
        self._members: dict[Any, None] = {}
        self._snapshot: tuple[Any, ...] | None = ()
        self._takers: tuple[Callable[[Burst], None], ...] = ()
        self.open: Job | None = None
        """The dispatcher's own note: what waits for these readers, and can take more."""

    def __len__(self) -> int:
        return len(self._members)

    def join(self, receiver: Receiver) -> None:
        """Be called from the next entry on."""
        self._members[receiver] = None
        self._snapshot = None
        self.open = None

    def leave(self, receiver: Receiver) -> None:
        """Be called no more, if it was."""
        if receiver in self._members:
            del self._members[receiver]
            self._snapshot = None

    def members(self) -> tuple[Any, ...]:
        """Who is to be called for an entry that comes now."""
        if self._snapshot is None:
            self._snapshot = tuple(self._members)
            self._takers = tuple([member.receive for member in self._snapshot])
        return self._snapshot

    def takers(self) -> tuple[Callable[[Burst], None], ...]:
        """Their `receive`, in the same order: a delivery does not look at the readers themselves."""
        self.members()
        return self._takers


class Job:
    """What waits for some readers."""

    __slots__ = ("at", "audience", "call", "payload", "receivers", "size", "takers")

    def __init__(
        self,
        receivers: Sequence[Any],
        payload: Any,
        call: Callable[[Any, Any], None] | None,
        audience: Audience | None,
        size: int,
    ) -> None:
        self.receivers = receivers
        self.takers = () if audience is None else audience.takers()
        self.payload = payload
        self.call = call
        self.audience = audience
        self.size = size
        self.at = 0  # how many have been called


class Dispatcher:
    """Calls readers, in slices.

    Args:
        soon: has a function called in the loop's next turn.
        now: the loop's clock.
    """

    __slots__ = ("_jobs", "_now", "_running", "_scheduled", "_soon", "_waiting", "delivered", "lone", "size")

    def __init__(
        self, soon: Callable[[Callable[[], None]], object], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._soon = soon
        self._now = now
        self._jobs: deque[Job] = deque()
        self._running = False
        self._scheduled = False
        self._waiting = 0
        self.lone: Burst | None = None
        """The burst that is being delivered, if nothing else is on its way to anybody in this turn."""
        self.delivered = 0
        self.size = 0

    def __len__(self) -> int:
        """Items that wait."""
        return self._waiting

    def broadcast(self, audience: Audience, item: Any, size: int = 0) -> None:
        """Deliver an item to those who are in an audience now, after everything handed to them before.

        Args:
            audience: who gets it.
            item: what; it joins those that wait for the same readers.
            size: bytes that it holds while it waits.
        """
        self._waiting += 1
        self.size += size
        job = audience.open
        if job is not None:
            items = job.payload.items
            items.append(item)
            job.size += size
            if len(items) >= BURST_ITEMS or job.size >= BURST_BYTES:
                audience.open = None
        else:
            audience.open = job = Job(audience.members(), Burst(item), None, audience, size)
            self._add(job)

    def tell(self, audience: Audience, payload: Any, call: Callable[[Any, Any], None]) -> None:
        """Have `call(reader, payload)` called for those who are in an audience now, after everything handed
        to them before."""
        audience.open = None
        self.hand(audience.members(), payload, call)

    def hand(self, receivers: Sequence[Any], payload: Any, call: Callable[[Any, Any], None]) -> None:
        """Have `call(receiver, payload)` called for some, after everything handed over before."""
        self._waiting += 1
        self._add(Job(receivers, payload, call, None, 0))

    def clear(self) -> None:
        """Forget what waits."""
        for job in self._jobs:
            if job.audience is not None:
                job.audience.open = None
        self._jobs.clear()
        self._waiting = self.size = 0

    def _add(self, job: Job) -> None:
        self._jobs.append(job)
        if not self._running and not self._scheduled:
            self._scheduled = True
            self._soon(self._scheduled_turn)

    def _scheduled_turn(self) -> None:
        self._scheduled = False
        self.turn()

    def turn(self) -> None:
        """Work for a slice of time, now instead of in the next turn of the loop."""
        if not self._jobs or self._running:
            return
        self._running = True
        end = time.perf_counter() + SLICE
        try:
            while self._jobs:
                job = self._jobs[0]
                if not job.at:
                    self._begin(job)
                if not self._work(job, end):
                    return
                if self._jobs and self._jobs[0] is job:  # unless a reader closed the bus
                    self._jobs.popleft()
                    self.size -= job.size
                    self._waiting -= 1 if job.call is not None else len(job.payload.items)
                if time.perf_counter() > end:
                    return
        finally:
            self._running = False
            if self._jobs and not self._scheduled:
                self._scheduled = True
                self._soon(self._scheduled_turn)

    def _begin(self, job: Job) -> None:
        """Nothing joins it any more."""
        if (audience := job.audience) is not None and audience.open is job:
            audience.open = None
        if job.call is None:
            burst: Burst = job.payload
            burst.prompt = len(self._jobs) == 1 or len(burst.items) >= WORTH_A_WRITE

    def _work(self, job: Job, end: float) -> bool:
        """Call its readers; False if time is up before all are called."""
        receivers, payload = job.receivers, job.payload
        step = CHECK_EVERY
        if job.call is None:
            payload.at = self._now()
            step = max(1, step // len(payload.items))
        while job.at < len(receivers):
            begin = job.at
            job.at = min(begin + step, len(receivers))
            if job.call is not None:
                self._deliver(job, begin, job.at)
            else:
                if payload.prompt and len(payload.items) == 1:
                    self.lone = payload
                try:
                    self._deliver(job, begin, job.at)
                finally:
                    self.lone = None
                    payload.write()
            if job.at < len(receivers) and time.perf_counter() > end:
                return False
        return True

    def _deliver(self, job: Job, at: int, end: int) -> None:
        payload, call = job.payload, job.call
        self.delivered += (end - at) * (1 if call is not None else len(payload.items))
        while at < end:
            try:
                # The loop stands inside the `try`: entering one for each reader would cost as much as the
                # call.
                if call is None:
                    for receive in job.takers[at:end]:
                        at += 1
                        receive(payload)
                else:
                    for receiver in job.receivers[at:end]:
                        at += 1
                        call(receiver, payload)
            except Exception as error:
                job.receivers[at - 1].fail(error)
