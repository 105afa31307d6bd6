"""The state that a page begins with: single flight per topic and principal.

The position is taken first, then the snapshot, then come the entries after the position: what changed while
the snapshot was made is told twice, once in it and once as an event, and never not at all. Whoever asks while
one is being made shares it, with its position.

Standard: resume rules §3 ("snapshot").
Never: the snapshot of one user reaches another, or that of one function the readers of another.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from rx_sse.bus.cursor import Position
from rx_sse.bus.relay import Relay

if TYPE_CHECKING:
    from rx_sse.bus.engine import Engine

Done = Callable[[Position, Any], None]


class Snapshots:
    """Snapshots that are being made. Loop thread only."""

    __slots__ = ("_bus", "_flights")

    def __init__(self, bus: Engine) -> None:
        self._bus = bus
        self._flights: dict[tuple[str, str | None, Any], tuple[Position, list[Done]]] = {}

    def take(self, snapshot: Callable[[str], Any] | None, relay: Relay, user: str | None, done: Done) -> None:
        """Make a snapshot of a topic, or join one in the making.

        Args:
            snapshot: makes it, given the topic's name; may be a coroutine function. None as its value means
                that there is none.
            relay: the topic.
            user: for whom.
            done: told the position and the value, or the exception.
        """
        assert snapshot is not None and relay.position is not None
        key = (relay.topic, user, snapshot)
        if (flight := self._flights.get(key)) is not None:
            flight[1].append(done)
            return
        position = relay.position
        value: Any
        try:
            value = snapshot(relay.topic)
        except Exception as error:
            done(position, error)
            return
        if not inspect.isawaitable(value):
            done(position, value)
            return
        waiting = [done]
        self._flights[key] = (position, waiting)
        self._bus.spawn(self._land, key, position, value, waiting)

    async def _land(self, key: Any, position: Position, value: Awaitable[Any], waiting: list[Done]) -> None:
        outcome: Any
        try:
            outcome = await value
        except Exception as error:
            outcome = error
        finally:
            del self._flights[key]
        for done in waiting:
            done(position, outcome)
