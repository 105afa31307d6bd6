"""The port behind a bus: four verbs, which the memory log and the Redis log both have.

A log keeps, for each topic, an unbroken chain of entries; it numbers them and notifies watchers of new ones.
It is used on one loop, whose thread calls all verbs. `append` and `read` answer through a callback: inside
the call if they can, later if they must query a server. That is why the bus above needs no task and no await
to deliver an event, and why a test can delay an answer.

Rules for a log (`rx_sse.testing.check_bus` tests them):

* Sequence numbers of a topic are dense. An entry's `prev` is the position of the entry before it. Nonces come
  from the draft.
* A topic without entries has a position too, sequence 0 with a nonce made at first touch.
* A position is valid if it is the last, or that of a stored entry, or the `prev` of the oldest entry.
* A page that answers `after` begins after it if it is valid, otherwise with the oldest entry that has a
  higher sequence number. Where a stored log is damaged after a valid `after`, the page is `broken` and begins
  with the next readable entry, or at the head. `start` never has a lower sequence number than a valid
  `after`.
* A watcher may miss entries, or get them twice or out of order, if `dirty` is called after a loss. A new
  watch gets `dirty` once it is active, unless `watch` took effect immediately.

The precedent for a port with its own conformance suite is trio's `check_one_way_stream`.
Never: a verb raises for a failure of a broker. It answers `None` or an exception of `errors`, and retries by
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rx_sse.bus.log.entry import Draft, Entry
from rx_sse.bus.log.history import History
from rx_sse.bus.log.position import Position
from rx_sse.errors import PublishRefused

PAGE_ENTRIES = 500
PAGE_BYTES = 1_048_576
"""A page: at most 500 entries and 1 MB (docs/resume.md §1, "Size"); a single entry over it is returned
alone."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query for a page of a topic.

    Attributes:
        topic: its name.
        after: the position after which to read; None: no cursor.
        last: without `after`: begin this many entries before the end.
        max_entries, max_bytes: the limits of the page.
    """

    topic: str
    after: Position | None = None
    last: int = 0
    max_entries: int = PAGE_ENTRIES
    max_bytes: int = PAGE_BYTES


@dataclass(frozen=True, slots=True)
class Page:
    """An answer, all of it from one instant.

    Attributes:
        lineage: the topic's birth nonce; another one means that the log was lost and began again.
        base: the `prev` of the oldest entry, or the head.
        head: the last position.
        start: the position after which `entries` begin. It is the query's `after` if that is valid.
        entries: linked to `start` and to each other; empty if there are none.
        ended: whether the last entry of the log is an end mark.
        broken: the query's `after` is valid, but the entries after it cannot be read (deleted or damaged):
            `start` is where the readable log continues.
    """

    lineage: int
    base: Position
    head: Position
    start: Position
    entries: Sequence[Entry]
    ended: bool
    broken: bool = False


class Listener(Protocol):
    """A watcher of a topic."""

    def arrived(self, entry: Entry) -> None:
        """A new entry; it may be late or a duplicate."""
        ...

    def dirty(self) -> None:
        """Entries may have been missed: read the log."""
        ...


class Log(Protocol):
    """The port."""

    def append(self, draft: Draft) -> None:
        """Store `draft` after everything appended before, and settle it."""
        ...

    def read(self, query: Query, done: Callable[[Page | None], None]) -> None:
        """Answer `query`; None if the log cannot be queried now. Reading touches the topic: its life
        restarts.
        """
        ...

    def watch(self, topic: str, listener: Listener) -> Callable[[], None]:
        """Notify `listener` of every new entry, until the returned function is called. One listener a topic.
        Touches the topic.
        """
        ...

    async def close(self) -> None:
        """Release everything. The log may be used again afterwards, on the same or on another loop."""
        ...


@runtime_checkable
class Opening(Protocol):
    """A log that has something to do before its first use."""

    async def open(self) -> None:
        """Connect, check the configuration. A broker that cannot be reached is not an error here."""
        ...


@runtime_checkable
class Sweeping(Protocol):
    """A log that must be called regularly to expire entries."""

    def sweep(self) -> bool:
        """Release expired entries, for a few milliseconds at most; True if there is more. Called every second
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
        """Whether it is cut off although another process is known to be connected: then this process has the
        fault, not the broker."""
        ...


@runtime_checkable
class Bounded(Protocol):
    """A log that lets appends wait for its broker."""

    @property
    def full(self) -> bool:
        """Whether no more may be appended now: the maximum waits. Read on any thread."""
        ...


@runtime_checkable
class Flushing(Protocol):
    """A log whose appends take a while to be stored."""

    async def flushed(self) -> None:
        """Wait until everything appended before has been stored, or refused."""
        ...


@runtime_checkable
class Dated(Protocol):
    """A log that dates its entries by another clock than the wall clock of this process."""

    def wall(self, at: float) -> float:
        """The seconds of the epoch, by that clock, at which an entry with this `at` was appended."""
        ...


@runtime_checkable
class Retaining(Protocol):
    """A log that keeps the retention of topics, beyond that of each draft."""

    def retained(self) -> None:
        """The retentions have changed."""
        ...


class Watched(Protocol):
    """A topic of a resident log while it is watched; a call of it ends that.

    Attributes:
        lineage, ended: as in a `Page`.
    """

    lineage: int
    ended: bool

    @property
    def history(self) -> History:
        """Its entries; it stays the same object while the topic is watched."""
        ...

    def __call__(self) -> None: ...


@runtime_checkable
class Resident(Protocol):
    """A log whose entries are in this process: a topic's history in this process is the log's own."""

    def watched(self, topic: str, listener: Listener) -> Watched:
        """`watch`; where the topic is need not be asked for, it is there."""
        ...


def not_stored(why: str) -> PublishRefused:
    """The error for a draft that was certainly not stored, so that it may be published again."""
    return PublishRefused(f"{why}; nothing was stored", retry_after=1.0)
