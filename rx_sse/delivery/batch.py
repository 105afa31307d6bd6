"""Events that are delivered together.

A thousand connections at the same position get the same bytes: these are joined once, for the first
connection that needs them. Event objects are made only if a receiver needs them.

A connection writes the batches of the one topic that it follows without asking anything else: its place in
the topic is three fields (`Follower`).

Never: a batch changes after a receiver has read it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

__all__ = ["EventBatch", "Follower", "Receiver", "Source"]


class Writable(Protocol):
    """A connection."""

    @property
    def open(self) -> bool:
        """Whether bytes can still be written to it."""
        ...

    def write(self, data: bytes, now: float) -> None: ...

    def write_first(self, data: bytes, now: float) -> None: ...


class Receiver(Protocol):
    """A reader of live events."""

    @property
    def receive(self) -> Callable[[EventBatch], None]:
        """Accepts a batch. After the reader has left, it does nothing."""
        ...

    def fail(self, error: Exception) -> None:
        """`receive` raised `error`: remove the reader, and report the error."""
        ...


class Group(Protocol):
    """A set of receivers."""

    open: EventBatch | None
    current: tuple[Any, ...] | None

    def members(self) -> Sequence[Any]: ...

    def takers(self) -> Sequence[Callable[[EventBatch], None]]: ...


class Source(Protocol):
    """The topic whose entries a batch holds."""

    @property
    def ref(self) -> str:
        """Its reference in cursors."""
        ...

    def event_of(self, entry: Any, epoch: int) -> Any:
        """The event of an entry, with its position."""
        ...


class Follower:
    """The place of a client in the only topic of its stream, while the topic's entries are written as they
    are.

    Attributes:
        ref: the topic's reference; None while each batch has to be examined.
        order: the order of the last entry written.
        position: its position.
    """

    __slots__ = ("order", "position", "ref")

    order: int
    position: Any

    def __init__(self) -> None:
        self.ref: str | None = None


NO_FOLLOWER = Follower()


class EventBatch:
    """The items that a receiver gets in one call, in order; at least one.

    Args:
        group: the receivers: those that are in this set now.
        first: its first item.
        size: its bytes.

    Attributes:
        receivers: the readers that get the batch.
        takers: their `receive`, in the same order; empty for one receiver.
        items: entries of one topic, each linked to the one before it; or values, or events without a
            position.
        source: the topic, if the items are its entries; then also the next five.
        ref: its reference, for a `Follower`; "" without a topic.
        epoch: the unbroken chain of the topic that they belong to.
        order: the order of the first entry; it grows along the deliveries of a topic.
        end: the order of the last entry.
        position: the position of the last entry.
        at: when it was handed over, in seconds of the loop's clock.
        prompt: no other batch waits for these receivers in this turn of the loop, or the batch is large
            enough for a write of its own: waiting for the end of the turn would gain nothing.
        called: how many receivers have been called.
        writing: connections that accepted this batch; `write` sends it to them. None for a single receiver,
            which writes at once.
        first: connections, and the bytes that each of them alone gets in answer to this batch; None unless it
            is the fan-out's `lone`.
        events: the items as events.
        chunk: their HTTP/1.1 chunks, joined.
        frame: their frames, joined.
        zstd_chunk: the same, compressed together, as one chunk.
    """

    __slots__ = (
        "at",
        "called",
        "chunk",
        "end",
        "epoch",
        "events",
        "first",
        "frame",
        "group",
        "items",
        "order",
        "position",
        "prompt",
        "receivers",
        "ref",
        "size",
        "source",
        "takers",
        "writing",
        "zstd_chunk",
    )

    chunk: bytes
    end: int
    epoch: int
    order: int
    events: list[Any]
    frame: bytes
    position: Any
    zstd_chunk: bytes

    def __init__(self, group: Group | None, first: Any, size: int) -> None:
        self.group = group
        receivers: Sequence[Any] = ()
        takers: Sequence[Callable[[EventBatch], None]] = ()
        if group is not None:
            current = group.current
            receivers = group.members() if current is None else current
            if len(receivers) > 1:
                takers = group.takers()
        self.receivers = receivers
        self.takers = takers
        self.items: list[Any] = [first]
        self.size = size
        self.source: Source | None = None
        self.ref = ""
        self.at = 0.0
        self.prompt = False
        self.called = 0
        self.writing: list[Writable] | None = None
        self.first: list[tuple[Writable, bytes]] | None = None

    @staticmethod
    def of(source: Source, entries: list[Any], epoch: int, order: int, end: int) -> EventBatch:
        """Entries for one receiver, which fetches them itself."""
        batch = EventBatch(None, None, 0)
        batch.items = entries
        batch.source = source
        batch.epoch = epoch
        batch.ref = source.ref
        batch.order = order
        batch.end = end
        batch.position = entries[-1].position
        return batch

    def write(self) -> None:
        """Send the batch to the connections that accepted it. All receivers are called before any is written
        to, because a system call between two calls costs the processor's caches: a tenth of a delivery."""
        at = self.at
        if self.writing:
            writing, self.writing = self.writing, []
            data = self.chunk
            for connection in writing:
                if connection.open:
                    connection.write(data, at)
        if self.first:
            first, self.first = self.first, []
            for connection, data in first:
                if connection.open:
                    connection.write_first(data, at)

    if not TYPE_CHECKING:  # made at first use; later it is an attribute like any other

        def __getattr__(self, name: str) -> Any:
            items = self.items
            if name == "chunk":
                self.chunk = made = items[0].chunk if len(items) == 1 else b"".join([i.chunk for i in items])
            elif name == "frame":
                self.frame = made = b"".join([item.frame for item in items])
            elif name == "zstd_chunk":
                from rx_sse.wire.chunk import zstd_chunk

                self.zstd_chunk = made = zstd_chunk(self.frame)
            elif name == "events":
                source = self.source
                self.events = made = (
                    items if source is None else [source.event_of(item, self.epoch) for item in items]
                )
            else:
                raise AttributeError(f"'EventBatch' object has no attribute {name!r}")
            return made
