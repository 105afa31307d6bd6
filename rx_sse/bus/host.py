"""What the parts of a bus see of the bus: its log, its loop, and whom to tell.

All that decides about positions, replay and gaps (`relay`, `reader`) is ordinary synchronous code over this;
a test puts a model in its place and decides itself when the log answers and when the loop turns.

Standard: none.
Never: a task, a lock or an await on this side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from rx_sse.bus.cursor import Position
from rx_sse.bus.dispatch import Dispatcher
from rx_sse.bus.entry import Gap
from rx_sse.bus.log import Log, Retention
from rx_sse.bus.run import Budget

if TYPE_CHECKING:
    from rx_sse.bus.relay import Relay


class Host(Protocol):
    """The bus, as its parts see it. Loop thread only."""

    @property
    def log(self) -> Log: ...

    @property
    def dispatcher(self) -> Dispatcher: ...

    @property
    def rings(self) -> Budget:
        """What all rings share."""
        ...

    @property
    def retention(self) -> Retention:
        """How much of a topic may be shown to who comes back; a ring keeps no more."""
        ...

    def clock(self) -> float:
        """Monotonic seconds, the same as the log's."""
        ...

    def soon(self, action: Callable[[], None]) -> object:
        """In the loop's next turn."""
        ...

    def later(self, action: Callable[[], None]) -> object:
        """In a while, when a log that could not answer is worth asking again."""
        ...

    def withdrawn(self, topic: str, upto: Position) -> None:
        """The log took back what this process delivered, up to a position: append a gap entry that says
        so.
        """
        ...

    def lost(self, gap: Gap) -> None:
        """A gap came up that no connection tells its client of."""
        ...

    def unused(self, relay: Relay) -> None:
        """A relay has no reader any more."""
        ...

    def counted(self, what: str) -> None:
        """Count something for `stats()`."""
        ...
