"""Those who subscribe: what a bus calls, and a subscription to a topic's values.

A subscription to a topic is one object, and a delivery is one call of the observer's own `on_next`.

Standard: the Observable contract (ReactiveX).
Never: a call after `dispose`, `on_error` or `on_completed`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

from reactivex import abc

from rx_sse.bus.dispatch import Audience
from rx_sse.bus.entry import END, Entry
from rx_sse.bus.relay import Relay
from rx_sse.errors import BusClosed
from rx_sse.reactive.contexts import is_sink, kept, kept_observer
from rx_sse.reactive.observer import Callbacks, ignore, unhandled
from rx_sse.wire.burst import Burst

if TYPE_CHECKING:
    from rx_sse.bus.engine import Engine


class Direct(Callbacks, Protocol):
    """An observer that has this one source, which calls it on the loop's thread alone: a connection."""

    def pulled(self, value: Any) -> None:
        """What `on_next` is for everybody else."""
        ...

    def on_burst(self, burst: Burst) -> None:
        """Many events in one call. Does nothing after the observer's end."""
        ...


def is_direct(callbacks: Callbacks) -> TypeGuard[Direct]:
    """Whether the observer takes bursts, and runs no code of a user's."""
    return is_sink(callbacks)


class Subscription(abc.DisposableBase):
    """A subscription to a topic's values, live.

    Args:
        bus: whose topic.
        topic: its name.
        audience: which of the relay's audiences to join.
        callbacks: the observer's.
    """

    __slots__ = (
        "_audience",
        "_bus",
        "_callbacks",
        "_choose",
        "_disposed",
        "_on_next",
        "_relay",
        "_topic",
        "receive",
    )

    def __init__(
        self, bus: Engine, topic: str, choose: Callable[[Relay], Audience], callbacks: Callbacks
    ) -> None:
        self._bus = bus
        self._topic = topic
        self._choose = choose
        self._callbacks = kept_observer(callbacks)
        self._on_next: Callable[[Any], None] = callbacks.on_next
        self._disposed = False
        self._relay: Relay | None = None
        self._audience: Audience | None = None
        receive: Callable[[Burst], None] = callbacks.on_burst if is_direct(callbacks) else kept(self._each)
        self.receive = receive

    def start(self) -> None:
        """Join. On the loop's thread."""
        if self._disposed:
            return
        bus = self._bus
        bus.enter(self)
        self._relay = relay = bus.relay(self._topic)
        relay.hold()
        self._audience = self._choose(relay)
        self._audience.join(self)
        bus.rosters.join(self._topic, None)
        relay.known(self._check_end)

    def dispose(self) -> None:
        """Get nothing any more. On any thread."""
        if not self._disposed:
            self._disposed = True
            self.receive = self._on_next = ignore
            self._bus.run_on_loop(self._leave)

    def fail(self, error: Exception) -> None:
        """The observer raised: it is let go, as reactivex does."""
        self._bus.report(f"rx_sse: an observer of topic {self._topic!r} raised and was let go", error)
        self.dispose()

    def shutdown(self, error: BusClosed) -> None:
        """The bus closes."""
        if not self._disposed:
            self.dispose()
            if self._callbacks.on_error is not unhandled:
                self._callbacks.on_error(error)

    def special(self, entry: Entry) -> None:
        """An entry that is no value."""
        if entry.kind == END:
            self._complete()

    def refuse(self, error: Exception) -> None:
        """The subscription cannot begin."""
        self._disposed = True
        self._callbacks.on_error(error)

    def _each(self, burst: Burst) -> None:
        for item in burst.items:
            on_next = self._on_next  # another one from the moment of its disposal
            on_next(item)

    def _check_end(self) -> None:
        if self._relay is not None and self._relay.ended:
            self._complete()

    def _complete(self) -> None:
        if not self._disposed:
            self.dispose()
            self._callbacks.on_completed()

    def _leave(self) -> None:
        relay, self._relay = self._relay, None
        if relay is not None and self._audience is not None:
            self._audience.leave(self)
            self._bus.rosters.leave(self._topic, None)
            relay.release()
        self._bus.leave(self)
