"""The readers of a topic's live events.

Never: joining or leaving costs more than O(1), or changes an event that is already being delivered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from rx_sse.delivery.batch import EventBatch

FEW = 8
"""Receivers that are kept in a tuple; larger sets are kept in a table."""


class Receiver(Protocol):
    """A reader of live events."""

    @property
    def receive(self) -> Callable[[EventBatch], None]:
        """Accepts a batch. After the reader has left, it does nothing."""
        ...

    def fail(self, error: Exception) -> None:
        """`receive` raised `error`: remove the reader, and report the error."""
        ...


class ReceiverSet:
    """The receivers of one kind that a topic has.

    Leaving is O(1), and so is joining; the tuple that deliveries iterate over is made anew after either.
    """

    __slots__ = ("_table", "_takers", "current", "open")

    def __init__(self, *receivers: Receiver) -> None:
        self.current: tuple[Any, ...] | None = receivers
        """The receivers, unless their tuple has to be made anew: then `members` makes it."""
        self._table: dict[Any, None] | None = None
        self._takers: tuple[Callable[[EventBatch], None], ...] = ()
        self.open: EventBatch | None = None
        """The fan-out's own note: the batch that waits for these receivers and accepts more items."""

    def __len__(self) -> int:
        return len(self._table) if self._table is not None else len(self.current or ())

    def join(self, receiver: Receiver) -> None:
        """Call the receiver from the next event on."""
        self.open = None
        self._takers = ()
        if self._table is None and self.current is not None and len(self.current) < FEW:
            self.current = (*self.current, receiver)
            return
        if self._table is None:
            self._table = dict.fromkeys(self.current or ())
        self._table[receiver] = None
        self.current = None

    def leave(self, receiver: Receiver) -> None:
        """Call the receiver no more, if it was in the set."""
        self._takers = ()
        if self._table is None:
            self.current = tuple([other for other in self.current or () if other is not receiver])
        elif receiver in self._table:
            del self._table[receiver]
            self.current = None
            if not self._table:
                self._table, self.current = None, ()

    def members(self) -> tuple[Any, ...]:
        """The receivers of an event that is delivered now."""
        if self.current is None:
            self.current = tuple(self._table or ())
        return self.current

    def takers(self) -> tuple[Callable[[EventBatch], None], ...]:
        """Their `receive`, in the same order: a delivery does not access the receivers themselves."""
        if not self._takers:
            self._takers = tuple([member.receive for member in self.members()])
        return self._takers
