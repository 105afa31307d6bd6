"""The inside of a bus: its loop, and all that lives on it.

Here is where asyncio begins: the inbox through which pushes come, the relays in use and those that linger,
one timer for everything that is over, the tasks of snapshots. Nothing of it exists before `start`, and
nothing after `close`.

Standard: none.
Never: a timer or a task for a topic.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, Self

from reactivex import Observable, Subject

from rx_sse.arguments import count, function, seconds
from rx_sse.bus.cursor import Position
from rx_sse.bus.dispatch import Dispatcher
from rx_sse.bus.entry import GAP, Gap, gap_data
from rx_sse.bus.keys import hashed_key
from rx_sse.bus.log import Draft, Log, Opening, Probing, Retention, Sweeping
from rx_sse.bus.presence import Rosters
from rx_sse.bus.publisher import Publisher, draft_of
from rx_sse.bus.relay import Relay
from rx_sse.bus.replays import Replays
from rx_sse.bus.report import Trouble
from rx_sse.bus.revocation import Revocations
from rx_sse.bus.run import Budget, shrunk
from rx_sse.bus.snapshot import Snapshots
from rx_sse.bus.topic import running_loop
from rx_sse.delivery.inbox import Inbox
from rx_sse.errors import BusClosed, UsageError
from rx_sse.wire.dumps import Dumps

logger = logging.getLogger("rx_sse")

TICK = 1.0
LATER = 0.25
"""Seconds after which a log that could not answer is asked again."""
LINGER = 30.0
"""Seconds that a topic keeps its ring after the last listener: page loads and reconnects find it warm."""
FLUSH = 2.0
"""Seconds that `close()` gives to what was pushed before."""


class _Guest(Protocol):
    """Somebody who listens."""

    def shutdown(self, error: BusClosed) -> None: ...


class Engine:
    """What runs under a `Bus`.

    Args:
        log: where entries are kept.
        retention: how much of a topic is kept.
        publish_timeout: seconds that a publisher waits for room.
        position_timeout: seconds that a stream waits for the bus to tell its position; then it is shed.
        grace: seconds that a listener may be away without having left (`presence`).
        max_token_life: seconds that a token may live at most; revocations of users are kept so long.
        blind_limit: seconds that a process which is cut off goes on with the revocations that it knows.
        ring_bytes: recent entries of all topics that are kept ready for reconnects.
        clock: monotonic seconds, the same as the log's.

    Raises:
        UsageError: a number that makes no sense.
    """

    def __init__(
        self,
        log: Log,
        retention: Retention | None = None,
        *,
        publish_timeout: float = 5.0,
        position_timeout: float = 5.0,
        grace: float = 10.0,
        max_token_life: float = 86_400.0,
        blind_limit: float = 300.0,
        ring_bytes: int = 64 * 1024 * 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.log = log
        self.clock = clock
        self.retention = retention or Retention()
        self.dumps: Dumps | None = None
        """Replaces the JSON encoder for what is pushed, and for what `map` and `snapshot` return."""
        self.position_timeout = seconds("position_timeout", position_timeout)
        self._publish_timeout = seconds("publish_timeout", publish_timeout)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._owners: set[object] = set()
        self.inbox: Inbox | None = None
        """Where threads cross, while it runs."""
        self.publisher: Publisher | None = None
        """The way into the log, while it runs."""
        self._tick: asyncio.TimerHandle | None = None
        self._relays: dict[str, Relay] = {}
        self._idle: OrderedDict[Relay, float] = OrderedDict()
        self._guests: dict[_Guest, None] = {}
        self._peaks = (0, 0, 0)
        self._tasks: set[asyncio.Task[None]] = set()
        self._later: list[Callable[[], None]] = []
        self.counts: dict[str, int] = {}
        """What was counted, by name."""
        self._errors: Subject[Trouble] = Subject()
        self.rings = Budget(count("ring_bytes", ring_bytes, least=0))
        self.dispatcher = Dispatcher(self.soon, self.now)
        self.rosters = Rosters(self, seconds("grace", grace))
        self.snapshots = Snapshots(self)
        self.replays = Replays(self.now)
        self.revocations = Revocations(
            self,
            seconds("max_token_life", max_token_life, zero="would forget every revocation at once"),
            seconds("blind_limit", blind_limit),
        )

    # -- what it is doing ------------------------------------------------------------------------------------

    def ready(self) -> bool:
        """Whether what is published now reaches this process's listeners."""
        return self.inbox is not None and (not isinstance(self.log, Probing) or self.log.ready)

    def deaf(self) -> bool:
        """Whether this process gets nothing though others do: then it should get no more clients."""
        return self.inbox is not None and isinstance(self.log, Probing) and self.log.deaf

    @property
    def running(self) -> bool:
        """Whether it was started and not yet closed."""
        return self.inbox is not None

    @property
    def errors(self) -> Observable[Trouble]:
        """What went wrong and has no other place: failures of sources, of `filter` and `map`, gaps that no
        connection tells.
        """
        return self._errors

    @property
    def topics_in_use(self) -> int:
        """Topics with listeners in this process, or lingering."""
        return len(self._relays)

    @property
    def subscriptions(self) -> int:
        """Feeds and subscriptions to values."""
        return len(self._guests)

    def encode_with(self, dumps: Dumps | None) -> None:
        """Replace the JSON encoder.

        Raises:
            UsageError: it is no function.
        """
        function("dumps", dumps, "a function of a value that returns JSON text")
        self.dumps = dumps

    # -- its life --------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin, on the running loop. A second start on the same loop does nothing.

        Raises:
            UsageError: it is running on another loop.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not None and self.inbox is not None:
            if self._loop is loop:
                return
            if not self._loop.is_closed():
                raise UsageError(
                    "this bus runs on another loop: a bus has one loop, another loop needs its own bus"
                )
            self._let_go()  # that loop ended without close(): nothing of it can be waited for
            await self.log.close()
        self._loop = loop
        self.inbox = Inbox(loop, after=self.dispatcher.turn)
        self.publisher = Publisher(self, self.inbox, self._publish_timeout)
        if isinstance(self.log, Opening):
            try:
                await self.log.open()
            except BaseException:
                self._let_go()
                raise
        self.revocations.start()
        self._tick = loop.call_later(TICK, self._ticked)

    async def close(self) -> None:
        """Stop taking, deliver what was pushed, then end every subscription, with `BusClosed` and never with
        a `stream-end`.
        """
        inbox = self.inbox
        if inbox is None:
            return
        self.require_loop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH):
                await self.delivered()
        guests = list(self._guests)
        if self.publisher is not None:
            self.publisher.closed = True
        self.publisher = self.inbox = None
        inbox.close()
        for guest in guests:
            try:
                guest.shutdown(BusClosed("the bus was closed"))
            except Exception as error:
                self.report("rx_sse: an observer raised at the end of its bus", error)
        for task in list(self._tasks):
            task.cancel()
        self._let_go()
        await self.log.close()

    async def start_for(self, owner: object) -> None:
        """Begin, and go on until the last owner has called `close_for`: several applications of one process
        may share a bus.
        """
        await self.start()
        self._owners.add(owner)

    async def close_for(self, owner: object) -> None:
        """Close, unless somebody else still owns it."""
        self._owners.discard(owner)
        if not self._owners:
            await self.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- what its parts call (`Host`) ------------------------------------------------------------------------

    @property
    def history(self) -> int:
        """Entries that a topic keeps."""
        return self.retention.entries

    def push(self, topic: str, value: Any) -> None:
        """`Topic.on_next`."""
        publisher = self.publisher
        if publisher is None:
            raise BusClosed("the bus is not running: start it with setup(app, bus=bus) or `async with bus`")
        publisher.push(draft_of(topic, value, None, self.retention, self.dumps))

    def relay(self, topic: str) -> Relay:
        """The topic in this process."""
        relay = self._relays.get(topic)
        if relay is None:
            relay = self._relays[topic] = Relay(topic, self)
        if relay.users == 0:
            self.unused(relay)
        return relay

    def unused(self, relay: Relay) -> None:
        """Nobody uses it now; it lingers."""
        self._idle.pop(relay, None)
        self._idle[relay] = self.now() + LINGER

    def now(self) -> float:
        """The loop's clock."""
        return 0.0 if self._loop is None else self._loop.time()

    def soon(self, action: Callable[[], None]) -> object:
        """In the loop's next turn."""
        assert self._loop is not None
        return self._loop.call_soon(action)

    def after(self, seconds: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        """In a while, once."""
        assert self._loop is not None
        return self._loop.call_later(seconds, action)

    def later(self, action: Callable[[], None]) -> object:
        """When a log that could not answer is worth asking again: one timer for all who wait."""
        self._later.append(action)
        return self.after(LATER, self._asked_again) if len(self._later) == 1 else None

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside everything; it ends with the bus."""
        assert self._loop is not None
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def enter(self, guest: _Guest) -> None:
        """Somebody listens."""
        self._guests[guest] = None

    def leave(self, guest: _Guest) -> None:
        """Somebody does no more."""
        self._guests.pop(guest, None)

    def counted(self, what: str) -> None:
        """Count something for `stats()`."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def withdrawn(self, topic: str, upto: Position) -> None:
        """Tell the readers behind a fork that the log took entries back."""
        key = hashed_key(None, topic, f"withdrawn {upto.seq}-{upto.nonce}")
        self.log.append(Draft(topic, GAP, gap_data("withdrawn", upto), None, self.retention, key=key))

    def lost(self, gap: Gap) -> None:
        """A gap that no connection tells."""
        self._tell(Trouble(gap.topic, gap, None))

    def trouble(self, error: Exception, topic: str | None = None) -> None:
        """An error that belongs to nobody. From any thread."""
        self.run_on_loop(lambda: self._tell(Trouble(topic, None, error)))

    def report(self, message: str, error: Exception) -> None:
        """An exception of somebody else's code."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_exception_handler({"message": message, "exception": error})

    def require_loop(self) -> None:
        """Raise unless this is the loop that the bus runs on."""
        if self.inbox is None and self._loop is None:
            raise BusClosed("the bus is not running: start it with setup(app, bus=bus) or `async with bus`")
        if running_loop() is not self._loop and not (self.inbox is not None and self.inbox.here):
            raise UsageError(
                "this bus belongs to another loop: subscribe and publish there; on_next works from everywhere"
            )

    def require_no_other_loop(self) -> None:
        """Raise on the thread of another loop, and if the bus is not running."""
        if self.inbox is None:
            raise BusClosed("the bus is not running: start it with setup(app, bus=bus) or `async with bus`")
        if (loop := running_loop()) is not None and loop is not self._loop:
            raise UsageError(
                "this bus belongs to another loop: subscribe there; on_next works from everywhere"
            )

    def run_on_loop(self, action: Callable[[], None]) -> None:
        """Now, on the loop's thread; otherwise through the inbox, behind what this thread has pushed."""
        inbox = self.inbox
        if inbox is None or inbox.here:
            action()
        else:
            inbox.put(_run, action)

    # -- inside ----------------------------------------------------------------------------------------------

    async def delivered(self) -> None:
        """Wait until what was pushed before has been delivered."""
        if self.inbox is None or self._loop is None:
            return
        future = self._loop.create_future()
        # Through the inbox, then behind the deliveries that wait: whoever is called last resolves it.
        if self.inbox.put(lambda last: self.dispatcher.hand((last,), None, _resolve), future):
            await future

    def _let_go(self) -> None:
        """Forget all that belonged to the loop."""
        if self._tick is not None:
            self._tick.cancel()
        if self.inbox is not None:
            self.inbox.close()
        self._tick = self._loop = self.inbox = self.publisher = None
        self.dispatcher.clear()
        self.revocations.stop()
        for relay in list(self._relays.values()):
            relay.close()
        self._relays.clear()
        self._idle.clear()
        self._guests.clear()
        self._later.clear()
        self._owners.clear()

    def _asked_again(self) -> None:
        later, self._later = self._later, []
        for action in later:
            action()

    def _ticked(self) -> None:
        """Once a second: what is over."""
        if self._loop is None:
            return
        self._tick = self._loop.call_later(TICK, self._ticked)
        self.tick(self._loop.time())

    def tick(self, now: float) -> None:
        """Let go of what is over at `now`, by the loop's clock."""
        self._shrink()
        while self._idle and (relay := next(iter(self._idle))) and self._idle[relay] <= now:
            del self._idle[relay]
            if relay.users == 0:  # otherwise somebody came back
                del self._relays[relay.topic]
                relay.close()
        self.rosters.sweep(now)
        self.replays.sweep()
        self.revocations.sweep(now, self.ready())
        self._sweep()
        self.rings.shrink()
        self._shrink()

    def _shrink(self) -> None:
        """Give back the memory of a time when there was much more of everything."""
        relays, idle, guests = self._peaks
        self._relays, relays = shrunk(self._relays, relays)
        self._idle, idle = shrunk(self._idle, idle)
        self._guests, guests = shrunk(self._guests, guests)
        self._peaks = (relays, idle, guests)

    def _sweep(self) -> None:
        if self.inbox is not None and isinstance(self.log, Sweeping) and self.log.sweep():
            self.after(0.01, self._sweep)

    def _tell(self, trouble: Trouble) -> None:
        self.counted("troubles")
        if not self._errors.observers:
            logger.warning("%s", trouble)
        try:
            self._errors.on_next(trouble)
        except Exception as error:
            self.report("rx_sse: an observer of bus.errors raised", error)


def _run(action: Callable[[], None]) -> None:
    action()


def _resolve(future: asyncio.Future[None], _: object) -> None:
    if not future.done():
        future.set_result(None)
