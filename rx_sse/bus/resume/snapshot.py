"""The state that a page begins with: single flight per topic, principal and context.

The position is taken first, then the snapshot, then follow the entries after the position: a change made
during the snapshot is delivered twice, in the snapshot and as an event, and never zero times. A request
during a snapshot shares it, with its position.

Standard: docs/resume.md §3 ("snapshot").
Never: the snapshot of one user reaches another user, or that of one function the readers of another function,
or a result computed from context variables (a tenant, a language) a reader for whom they have other values.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any

from rx_sse.bus.local_topic import LocalTopic
from rx_sse.bus.log.position import Position
from rx_sse.bus.runtime import Runtime
from rx_sse.reactive.contexts import enter

Done = Callable[[Position, Any], None]


LOOKED_AT = 8
"""Flights of one topic and principal, the newest, that are compared for one in the same context. Where a
variable differs from request to request (a trace), there is none."""


class _Flight:
    """A snapshot in progress, and its waiting readers."""

    __slots__ = ("context", "position", "waiting")

    def __init__(self, context: Context, position: Position, waiting: list[Done]) -> None:
        self.context = context
        self.position = position
        self.waiting = waiting


class Snapshots:
    """Snapshots in progress. Loop thread only."""

    __slots__ = ("_flights", "_runtime")

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._flights: dict[tuple[str, str | None, Any], list[_Flight]] = {}

    def take(
        self,
        snapshot: Callable[[str], Any] | None,
        local: LocalTopic,
        user: str | None,
        context: Context,
        done: Done,
    ) -> None:
        """Make a snapshot of a topic, or join one in progress.

        Args:
            snapshot: the function that makes it, given the topic's name; may be a coroutine function. None as
                its result means that there is no state.
            local: the topic.
            user: the user that it is made for.
            context: the context in which it is made.
            done: called with the position and the value, or the exception.
        """
        assert snapshot is not None and local.position is not None
        key = (local.topic, user, snapshot)
        for flight in self._flights.get(key, [])[-LOOKED_AT:]:
            if _same(flight.context, context):
                flight.waiting.append(done)
                return
        position = local.position
        value: Any
        try:
            value = enter(context, snapshot, local.topic)
        except Exception as error:
            done(position, error)
            return
        if not inspect.isawaitable(value):
            done(position, value)
            return
        begun = _Flight(context, position, [done])
        self._flights.setdefault(key, []).append(begun)
        enter(context, self._runtime.spawn, self._land, key, begun, value)

    async def _land(self, key: Any, flight: _Flight, value: Awaitable[Any]) -> None:
        outcome: Any
        try:
            outcome = await value
        except Exception as error:
            outcome = error
        finally:
            flights = self._flights[key]
            flights.remove(flight)
            if not flights:
                del self._flights[key]
        for done in flight.waiting:
            done(flight.position, outcome)


def _same(one: Context, other: Context) -> bool:
    """Whether all variables have the same values in two contexts."""
    try:
        return one == other
    except Exception:  # values that cannot be compared
        return False
