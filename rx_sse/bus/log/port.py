"""The port behind a bus: four verbs, which the memory log and the Redis log both have.

A log keeps, for each topic, an unbroken chain of entries; it numbers them and tells whoever watches of new
ones. It is used on one loop, whose thread calls all verbs. `append` and `read` answer through a callback:
inside the call if they can, later if they must ask somebody. That is why the bus above needs no task and no
await to deliver an event, and why a test can hold an answer back.

What a log must hold to (`rx_sse.testing.check_bus` tries it):

* Sequence numbers of a topic are dense. An entry's `prev` is the position of the one before it. Nonces come
  from the draft.
* A topic without entries has a position too, sequence 0 with a nonce made at first touch.
* A position is valid if it is the last one, or that of a stored entry, or the `prev` of the oldest one.
* A page that answers `after` begins behind it if it is valid, otherwise with the oldest entry that has a
  higher sequence number. Where a stored log is damaged behind a valid `after`, the page is `broken` and
  begins with the next entry that can be read, or at the head. `start` never has a lower sequence number than
  a valid `after`.
* A watcher may miss entries, see them twice or out of order, if it is told `dirty` after a loss. A new watch
  is dirty once it counts, unless `watch` was as good as immediate.

The precedent for a port with its own conformance suite is trio's `check_one_way_stream`.
Never: a verb raises for what may happen to a broker. It answers `None` or an exception of `errors`, and tries
again by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rx_sse.bus.log.draft import Draft
from rx_sse.bus.log.entry import Entry
from rx_sse.bus.log.history import History
from rx_sse.bus.log.position import Position

PAGE_ENTRIES = 500
PAGE_BYTES = 1_048_576
"""A page: at most 500 entries and 1 MB (docs/resume.md §1, "Size"); one entry over it comes alone."""


@dataclass(frozen=True, slots=True)
class Query:
    """A question for a page of a topic.

    Attributes:
        topic: which.
        after: the position behind which to read; None: no cursor.
        last: without `after`: begin so many entries before the end.
        max_entries, max_bytes: of the page.
    """

    topic: str
    after: Position | None = None
    last: int = 0
    max_entries: int = PAGE_ENTRIES
    max_bytes: int = PAGE_BYTES


@dataclass(frozen=True, slots=True)
class Page:
    """An answer, true of one instant.

    Attributes:
        lineage: the topic's birth nonce; another one means that the log was lost and began again.
        base: the `prev` of the oldest entry, or the head.
        head: the last position.
        start: the position behind which `entries` begin. It is the query's `after` if that is valid.
        entries: linked to `start` and to each other; empty if there are none.
        ended: whether the last entry of the log is an end mark.
        broken: the query's `after` is valid, but what stood behind it cannot be read (an entry was deleted,
            or is damaged): `start` is where the log goes on.
    """

    lineage: int
    base: Position
    head: Position
    start: Position
    entries: Sequence[Entry]
    ended: bool
    broken: bool = False


class Listener(Protocol):
    """Who watches a topic."""

    def arrived(self, entry: Entry) -> None:
        """A new entry; perhaps late, perhaps twice."""
        ...

    def dirty(self) -> None:
        """Something may have been missed: read the log."""
        ...


class Log(Protocol):
    """The port."""

    def append(self, draft: Draft) -> None:
        """Store `draft` behind everything appended before, and settle it."""
        ...

    def read(self, query: Query, done: Callable[[Page | None], None]) -> None:
        """Answer `query`; None if the log cannot be asked now. Reading touches the topic: its life begins
        again.
        """
        ...

    def watch(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Tell `listener` of every new entry, until what is returned is called. One listener a topic. Touches
        the topic.
        """
        ...

    async def close(self) -> None:
        """Let everything go. The log may be used again afterwards, on the same or on another loop."""
        ...


@runtime_checkable
class Opening(Protocol):
    """A log that has something to do before its first use."""

    async def open(self) -> None:
        """Connect, check the configuration. A broker that cannot be reached is not an error here."""
        ...


@runtime_checkable
class Sweeping(Protocol):
    """A log that has to be told the time now and then."""

    def sweep(self) -> bool:
        """Let go of what is over, for a few milliseconds at most; True if there is more. Called every second
        on the loop.
        """
        ...


@runtime_checkable
class Probing(Protocol):
    """A log that may be cut off from its broker."""

    @property
    def ready(self) -> bool:
        """Whether entries appended now reach the watchers of this process."""
        ...

    @property
    def deaf(self) -> bool:
        """Whether it is cut off although a peer is known to be alive: then it is this process, not the
        broker."""
        ...


@runtime_checkable
class Bounded(Protocol):
    """A log that lets appends wait for its broker."""

    @property
    def full(self) -> bool:
        """Whether no more may be appended now: as many wait as may. Read on any thread."""
        ...


@runtime_checkable
class Flushing(Protocol):
    """A log whose appends are on their way for a while."""

    async def flushed(self) -> None:
        """Wait until everything appended before has been stored, or refused."""
        ...


@runtime_checkable
class Dated(Protocol):
    """A log whose entries are dated by another clock than the wall clock of this process."""

    def wall(self, at: float) -> float:
        """The seconds of the epoch, by that clock, at which an entry with this `at` was appended."""
        ...


@runtime_checkable
class Retaining(Protocol):
    """A log that notes how much of which topic is kept, beyond what each draft says."""

    def retained(self) -> None:
        """That has changed."""
        ...


@runtime_checkable
class Resident(Protocol):
    """A log whose entries are in this process: a topic's history here is the log's own."""

    def history(self, topic: str) -> History:
        """The history of a topic that is watched; it stays the same object while it is."""
        ...
