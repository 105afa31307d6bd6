"""The two neighbours of a connection's cursor: the connection itself, and the subscriptions that belong to
it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rx_sse.wire.event import ServerSentEvent


class Outlet(Protocol):
    """The connection, as the bus sees it. Loop thread only."""

    def control(self, event: ServerSentEvent) -> None:
        """Write `event` in its place in the order, outside the limits."""
        ...

    def live_only(self) -> None:
        """From now on the stream cannot be resumed; `control` sends the event that informs the client."""
        ...

    @property
    def drained(self) -> bool:
        """Nothing is queued and the transport accepts bytes."""
        ...

    def on_drained(self, callback: Callable[[], None]) -> None:
        """Call back once, from the flush that empties the queue."""
        ...

    def replaying(self, begun: bool) -> None:
        """The next events were read when the queue was empty, and are outside the limits; or no longer."""
        ...


class Attached(Protocol):
    """A subscription, as the stream's cursor sees it."""

    ready: bool

    @property
    def refs(self) -> tuple[str, ...]:
        """Its topics, by reference."""
        ...

    def release(self) -> None:
        """The opening `stream-cursor` is written: begin."""
        ...
