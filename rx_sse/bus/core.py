"""The core of a bus: its parts, and their lifecycle.

Only this file knows all parts; each part receives the parts that it uses. Nothing of asyncio exists before
`start`, and nothing after `close`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextvars import Context
from typing import Any, NoReturn

from rx_sse.arguments import count, function, seconds
from rx_sse.bus.log.entry import Draft
from rx_sse.bus.log.port import Flushing, Log, Opening, Probing, Retaining, Sweeping
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.measures import BusMeasures
from rx_sse.bus.publisher import Publisher
from rx_sse.bus.quotas import Quotas
from rx_sse.bus.resume.limiter import ReplayLimiter
from rx_sse.bus.resume.snapshot import Snapshots
from rx_sse.bus.revocation import Revocations
from rx_sse.bus.rosters import Rosters
from rx_sse.bus.runs.runs import Runs
from rx_sse.bus.runtime import Runtime
from rx_sse.bus.topics import Topics
from rx_sse.errors import BusClosed, UsageError
from rx_sse.wire.counted import counted
from rx_sse.wire.dumps import Dumps

TICK = 1.0
FLUSH = 2.0
"""Seconds within which `close()` must have stored everything pushed before."""


class Core:
    """The parts of a bus.

    Its arguments are those of `Bus`.

    Raises:
        UsageError: a number out of range.
    """

    def __init__(
        self,
        log: Log,
        retention: Retention,
        *,
        publish_timeout: float,
        position_timeout: float,
        grace: float,
        max_token_life: float,
        blind_limit: float,
        ring_bytes: int,
        clock: Callable[[], float],
        rosters: Callable[[Runtime, float], Rosters],
        check_workers: Callable[[], None],
    ) -> None:
        self.log = log
        self.check_workers = check_workers
        self.dumps: Dumps | None = None
        """Replaces the JSON encoder for pushed values, and for the results of `map` and `snapshot`."""
        self.position_timeout = seconds("position_timeout", position_timeout)
        self._publish_timeout = seconds("publish_timeout", publish_timeout)
        self.runtime = runtime = Runtime(log, retention, clock, count("ring_bytes", ring_bytes, least=0))
        self.retentions = runtime.retentions
        self.topics = Topics(runtime)
        self.rosters = rosters(runtime, seconds("grace", grace))
        self.snapshots = Snapshots(runtime)
        self.limiter = ReplayLimiter(runtime.now)
        self.quotas = Quotas()
        self.measures = BusMeasures()
        self.revocations = Revocations(
            runtime,
            self.topics,
            seconds("max_token_life", max_token_life, zero="would forget every revocation at once"),
            seconds("blind_limit", blind_limit),
        )
        self.publisher: Publisher | None = None
        """The way into the log, while the bus runs."""
        self.runs = Runs(runtime, self.topics, lambda: self.publisher, lambda: self.dumps)
        self._tick: asyncio.TimerHandle | None = None
        self._owners: set[object] = set()

    # -- state -----------------------------------------------------------------------------------------------

    def ready(self) -> bool:
        """Whether an event published now reaches this process's listeners."""
        return self.runtime.running and (not isinstance(self.log, Probing) or self.log.ready)

    def deaf(self) -> bool:
        """Whether only this process receives nothing: then it should get no new clients."""
        return self.runtime.running and isinstance(self.log, Probing) and self.log.deaf

    def encode_with(self, dumps: Dumps | None) -> None:
        """Replace the JSON encoder.

        Raises:
            UsageError: it is not a function.
        """
        function("dumps", dumps, "a function of a value that returns JSON text")
        self.dumps = dumps

    # -- lifecycle -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin, on the running loop. A second start on the same loop does nothing.

        Raises:
            UsageError: it is running on another loop.
        """
        loop = asyncio.get_running_loop()
        runtime = self.runtime
        if runtime.loop is not None and runtime.running:
            if runtime.loop is loop:
                return
            if not runtime.loop.is_closed():
                raise UsageError(
                    "this bus runs on another loop: a bus belongs to one loop, another loop needs its own bus"
                )
            await self._abandon()
        self.publisher = Publisher(runtime, runtime.attach(loop), self._publish_timeout)
        if isinstance(self.log, Opening):
            try:
                await self.log.open()
            except BaseException:
                self._let_go()
                raise
        self.revocations.start()
        self._tick = loop.call_later(TICK, self._ticked, context=Context())

    async def close(self) -> None:
        """Refuse new pushes, deliver everything pushed before, then end every subscription, with `BusClosed`
        and never with a `stream-end`. Entries that were accepted and could not be stored in time are reported
        in `errors`.
        """
        runtime, inbox = self.runtime, self.runtime.inbox
        if inbox is None:
            return
        if runtime.loop is not None and runtime.loop.is_closed():
            await self._abandon()
            return
        runtime.require_loop()
        await self.runs.close()
        publisher = self.publisher
        if publisher is not None:
            publisher.close()
        self.rosters.farewell()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH):
                await self.delivered()
        subscribers = list(runtime.subscribers)
        self.publisher = runtime.inbox = None
        dropped = inbox.close()
        for subscriber in subscribers:
            try:
                subscriber.shutdown(BusClosed("the bus was closed"))
            except Exception as error:
                runtime.raised("rx_sse: an observer raised at the end of its bus", error)
        await runtime.cancel_tasks()
        self._let_go()
        await self.log.close()
        if dropped:
            values = counted(dropped, "value")
            runtime.error(BusClosed(f"the bus closed before {values} that had been pushed could be stored"))

    async def start_for(self, owner: object) -> None:
        """Start, and run until the last owner has called `close_for`: several applications of one process may
        share a bus.
        """
        await self.start()
        self._owners.add(owner)

    async def close_for(self, owner: object) -> None:
        """Close, unless the bus has another owner."""
        self._owners.discard(owner)
        if not self._owners:
            await self.close()

    async def delivered(self) -> None:
        """Wait until everything pushed before has been stored and delivered."""
        await self._passed()
        if isinstance(self.log, Flushing):
            await self.log.flushed()
            await self._passed()

    def retained(self) -> None:
        """The retention of some topics has changed."""
        self.topics.retain()
        if isinstance(self.log, Retaining):
            self.log.retained()

    # -- publishing ------------------------------------------------------------------------------------------

    async def publish(self, draft: Draft) -> Any:
        """Publish on the bus's loop, and wait until the log has it: its position."""
        self.runtime.require_loop()
        if self.publisher is None:
            raise BusClosed("the bus is closed")
        return await self.publisher.publish(draft)

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            "a bus and its topics cannot be copied, pickled or sent to another process: make a bus there "
            "(SQLiteBus and RedisBus reach this one), or publish with SQLitePublisher or RedisPublisher"
        )

    # -- inside ----------------------------------------------------------------------------------------------

    async def _passed(self) -> None:
        """Wait until everything in the inbox has been delivered."""
        runtime = self.runtime
        if runtime.inbox is None or runtime.loop is None:
            return
        future: asyncio.Future[None] = runtime.loop.create_future()
        fanout = runtime.fanout
        # Through the inbox, then behind the waiting deliveries: the last call resolves it.
        if runtime.inbox.put(lambda last: fanout.hand((last,), None, _resolve), future, exempt=True):
            await future

    async def _abandon(self) -> None:
        """Its loop has ended without `close()`: nothing on it can be awaited."""
        self._let_go()
        await self.log.close()

    def _let_go(self) -> None:
        """Discard everything that belonged to the loop."""
        if self._tick is not None:
            self._tick.cancel()
        self._tick = self.publisher = None
        self.revocations.stop()
        self.runs.let_go()
        self.topics.close()
        self.runtime.detach()
        self._owners.clear()

    def _ticked(self) -> None:
        """Once a second: expire."""
        loop = self.runtime.loop
        if loop is not None:
            self._tick = loop.call_later(TICK, self._ticked, context=Context())
            self.tick(loop.time())

    def tick(self, now: float) -> None:
        """Release whatever has expired at `now`, by the loop's clock."""
        self.runtime.shrink()
        self.runtime.wall_clock.note()
        self.topics.sweep(now)
        self.rosters.sweep(now)
        self.runs.sweep(now)
        self.limiter.sweep()
        self.revocations.sweep(now, self.ready())
        self._sweep()
        self.runtime.shrink()

    def _sweep(self) -> None:
        if self.runtime.running and isinstance(self.log, Sweeping) and self.log.sweep():
            self.runtime.after(0.01, self._sweep)


def _resolve(future: asyncio.Future[None], _: object) -> None:
    if not future.done():
        future.set_result(None)
