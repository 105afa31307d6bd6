"""Events that are delivered together.

A thousand connections at the same position get the same bytes: these are joined once, for the first
connection that needs them. Event objects are made only if a receiver needs them.

Never: a batch changes after a receiver has read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol


class Writable(Protocol):
    """A connection."""

    @property
    def open(self) -> bool:
        """Whether bytes can still be written to it."""
        ...

    def write(self, data: bytes, now: float) -> None: ...

    def write_first(self, data: bytes, now: float) -> None: ...


class Source(Protocol):
    """The topic whose entries a batch holds."""

    @property
    def ref(self) -> str:
        """Its reference in cursors."""
        ...

    def event_of(self, entry: Any, epoch: int) -> Any:
        """The event of an entry, with its position."""
        ...


class EventBatch:
    """The items that a receiver gets in one call, in order; at least one.

    Attributes:
        items: entries of one topic, each linked to the one before it; or values, or events without a
            position.
        size: their bytes.
        source: the topic, if the items are its entries; then also the next five.
        ref: its reference, for a `Follower`; "" without a topic.
        epoch: the unbroken chain of the topic that they belong to.
        order: the order of the first entry; it grows along the deliveries of a topic.
        end: the order of the last entry.
        position: the position of the last entry.
        at: when it was handed over, in seconds of the loop's clock.
        prompt: no other batch waits for these receivers in this turn of the loop, or the batch is large
            enough for a write of its own: waiting for the end of the turn would gain nothing.
        writing: connections that accepted this batch, and are written to when all have been called. None for
            a single receiver, which writes at once.
        events: the items as events.
        chunk: their HTTP/1.1 chunks, joined.
        frame: their frames, joined.
        zstd_chunk: the same, compressed together, as one chunk.
    """

    __slots__ = (
        "at",
        "chunk",
        "end",
        "epoch",
        "events",
        "frame",
        "items",
        "order",
        "position",
        "prompt",
        "ref",
        "size",
        "source",
        "writing",
        "zstd_chunk",
    )

    at: float
    chunk: bytes
    end: int
    epoch: int
    events: list[Any]
    frame: bytes
    items: list[Any]
    order: int
    position: Any
    prompt: bool
    ref: str
    size: int
    source: Source | None
    writing: list[Writable] | None
    zstd_chunk: bytes

    @staticmethod
    def of(source: Source, entries: list[Any], epoch: int, order: int, end: int) -> EventBatch:
        """Entries for one receiver, which fetches them itself."""
        batch = EventBatch()
        batch.items = entries
        batch.size = 0
        batch.source = source
        batch.ref = source.ref
        batch.epoch = epoch
        batch.order = order
        batch.end = end
        batch.position = entries[-1].position
        batch.at = 0.0
        batch.prompt = False
        batch.writing = None
        return batch

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
