"""What was accepted: the truth about one topic, as the log had it.

Every entry has its place in the order in which the log took it, its nonce as soon as that is known, and the
moment from which a reader could no longer get it. A moment at which cursors lost their meaning though nothing
went (the log was forgotten, or began again) is noted as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field

from rx_sse.bus.log.entry import END, TEXT
from rx_sse.bus.log.position import Position, nonce_of, seq_of


def name_of(data: str) -> str:
    """The name of an event: its text without the padding."""
    return data.split(" ", 1)[0]


@dataclass(slots=True)
class Item:
    """One accepted entry.

    Attributes:
        index: its place.
        payload: its text; None for an entry that is no event: a gap, an end.
        at: when it was accepted.
        gone: since when a reader cannot get it.
        seq: its number in the log, where that is known.
        end: whether it ends the topic.
        taken_back: whether it is not in the branch that stayed.
        unsayable: whether it went with a branch of the log, and nobody can tell: the branch that stayed no
            longer reaches back to it, so that it may as well have been trimmed, or its publisher died with
            the master.
        again: whether it was stored once more, after the log had lost it.
        first: when it was accepted at this position for the first time; later, the log had lost it.
    """

    index: int
    payload: str | None
    at: float
    gone: float | None = None
    seq: int = 0
    end: bool = False
    again: bool = False
    unsayable: bool = False
    taken_back: bool = False
    first: float = math.inf

    def leave(self, at: float) -> None:
        """From now on a reader cannot get it."""
        if self.gone is None:
            self.gone = at


@dataclass
class Chain:
    """One topic.

    Args:
        topic: its name.
        kept: entries that the log keeps, where that alone makes entries go; None where the log says what
            went.

    Attributes:
        items: in the order of acceptance.
        forgotten: when all cursors lost their meaning.
        branched: whether the log took back what it had accepted: then only the loose account holds.
    """

    topic: str
    kept: int | None = None
    items: list[Item] = field(default_factory=list)
    forgotten: list[float] = field(default_factory=list)
    branched: bool = False
    born: int = 0
    """The index at which the present life of the topic began."""
    births: list[tuple[float, int]] = field(default_factory=lambda: [(0.0, 0)])
    """When each of its lives began, and at which index."""
    by_payload: dict[str, Item] = field(default_factory=dict)
    by_nonce: dict[int, Item] = field(default_factory=dict)
    zeros: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Positions of a topic without entries: how many items were before them, and when they were made."""

    def accept(
        self, payload: str | None, at: float, nonce: int | None = None, *, seq: int = 0, end: bool = False
    ) -> Item:
        """The log took an entry."""
        first = at
        if payload is not None and (known := self.by_payload.get(payload)) is not None:
            # A publisher that got no answer tried again, and the log had lost the first copy.
            assert self.branched or known.gone is not None, f"{payload} was stored twice"
            known.payload = None
            again = True
            if seq == known.seq and nonce is not None and self.by_nonce.get(nonce) is known:
                first = known.first
        else:
            again = False
        item = Item(len(self.items), payload, at, seq=seq, end=end, again=again, first=first)
        self.items.append(item)
        if payload is not None:
            self.by_payload[payload] = item
        if nonce is not None:
            self.by_nonce[nonce] = item
        if self.kept is not None and item.index - self.kept >= self.born:
            self.items[item.index - self.kept].leave(at)
        return item

    def stored(self, kind: str, data: str, position: Position, prev: int, at: float) -> Item:
        """A log has stored an entry behind the one with the nonce `prev`."""
        if seq_of(position) == 1:
            self.zero(prev, at)
        payload = name_of(data) if kind == TEXT else None
        return self.accept(payload, at, nonce_of(position), seq=seq_of(position), end=kind == END)

    def took_back(self, kept: Container[int], first: int) -> None:
        """The branch that stayed has these nonces, and begins with a number: what went with another one
        before it may as well have been trimmed.
        """
        for nonce, item in self.by_nonce.items():
            item.taken_back = nonce not in kept
            item.unsayable |= item.taken_back and item.seq < first

    def forget(self, at: float) -> None:
        """Everything went, and with it the meaning of cursors."""
        for item in self.items[self.born :]:
            item.leave(at)
        self.born = len(self.items)
        self.births.append((at, self.born))
        self.forgotten.append(at)

    def born_at(self, at: float) -> int:
        """The index at which the life of the topic began that it had at a time."""
        return max((born, index) for born, index in self.births if born <= at or not born)[1]

    def after(self, seq: int, nonce: int) -> int | None:
        """How many items a position has behind it; None if that is not known."""
        if (item := self.by_nonce.get(nonce)) is not None:
            return item.index + 1
        if seq == 0 and nonce in self.zeros:
            return self.zeros[nonce][0]
        return None

    def good_at(self, seq: int, nonce: int, otherwise: float) -> float:
        """A time at which a position was good."""
        if (item := self.by_nonce.get(nonce)) is not None:
            return min(item.at, otherwise)
        return min(self.zeros[nonce][1], otherwise) if nonce in self.zeros else otherwise

    def zero(self, nonce: int, at: float) -> None:
        """The log has made a position for the topic, which has no entries."""
        self.zeros.setdefault(nonce, (len(self.items), at))

    def between(self, begin: int, end: int) -> Sequence[Item]:
        """The items from one place to another."""
        return self.items[begin:end]

    def due(self, wanted: Callable[[str], bool]) -> Iterator[Item]:
        """The items that a client gets."""
        return (item for item in self.items if item.payload is not None and wanted(item.payload))
