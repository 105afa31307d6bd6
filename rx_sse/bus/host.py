"""The interface of the bus for its parts: its log, its loop, and where to report.

All decisions about positions, replay and gaps (`local_topic`, `resume`) are made in ordinary synchronous code
over this interface; a test puts a model in its place and controls when the log answers and when the loop
turns.

Never: a task, a lock or an await on this side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rx_sse.bus.gap import Gap
from rx_sse.bus.log.history import MemoryBudget
from rx_sse.bus.log.port import Log, Page, Resident
from rx_sse.bus.log.retention import Retention
from rx_sse.delivery.fanout import FanOut


class Host(Protocol):
    """The bus, as its parts see it. Loop thread only."""

    @property
    def log(self) -> Log: ...

    @property
    def resident(self) -> Resident | None:
        """The log, if its entries are in this process."""
        ...

    @property
    def fanout(self) -> FanOut: ...

    @property
    def rings(self) -> MemoryBudget:
        """The memory that all rings share."""
        ...

    def retention_of(self, topic: str) -> Retention:
        """How much of a topic is kept, and may be replayed to a client that reconnects."""
        ...

    def clock(self) -> float:
        """Monotonic seconds, the same as the log's."""
        ...

    def soon(self, action: Callable[[], None]) -> object:
        """Call it in the loop's next turn."""
        ...

    def later(self, action: Callable[[], None]) -> object:
        """Call it after a delay, when it is worth querying a log again that could not answer."""
        ...

    def lost(self, gap: Gap) -> None:
        """Report a gap that is sent to no client."""
        ...

    def counted(self, what: str) -> None:
        """Count something for `stats()`."""
        ...


class Wary(Protocol):
    """A reader that must see the entries of a repair before they are delivered."""

    def consider(self, page: Page) -> None: ...
