"""The user's functions in `bus.events(...)`, and the context in which they run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, NamedTuple

from rx_sse.arguments import function
from rx_sse.bus.gap import Gap
from rx_sse.wire.event import ServerSentEvent

Filter = Callable[[ServerSentEvent], bool]
Map = Callable[[ServerSentEvent], Any]
Snapshot = Callable[[str], Any | Awaitable[Any]]


class Functions(NamedTuple):
    """The user's functions of one `bus.events(...)`."""

    filter: Filter | None
    map: Map | None
    snapshot: Snapshot | None
    on_gap: Callable[[Gap], None] | None


NO_FUNCTIONS = Functions(None, None, None, None)


def functions_of(
    filter: Filter | None, map: Map | None, snapshot: Snapshot | None, on_gap: Callable[[Gap], None] | None
) -> Functions:
    """The functions, checked.

    Raises:
        UsageError: one is something else.
    """
    if filter is None and map is None and snapshot is None and on_gap is None:
        return NO_FUNCTIONS
    function("snapshot", snapshot, "a function of a topic's name that returns its state")
    function("filter", filter, "a function of an event that returns whether the client gets it")
    function("map", map, "a function of an event that returns what is sent instead")
    function("on_gap", on_gap, "a function of a Gap")
    return Functions(filter, map, snapshot, on_gap)


class UserCode:
    """The user's functions in one subscription, and the context in which it was made."""

    __slots__ = ("context", "filter", "map", "on_gap", "snapshot")

    def __init__(self, functions: Functions) -> None:
        self.filter, self.map, self.snapshot, self.on_gap = functions
        self.context = copy_context()

    @property
    def shapes(self) -> bool:
        """Whether events are filtered or mapped."""
        return self.filter is not None or self.map is not None
