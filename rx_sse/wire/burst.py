"""Values or events that came together and are handed over together.

A thousand connections that stand at the same place get the same bytes: they are joined once, for the first
that asks.

Standard: none.
Never: it changes after somebody has read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

__all__ = ["Burst"]


class Writable(Protocol):
    """A connection."""

    @property
    def open(self) -> bool:
        """Whether it can still be written to."""
        ...

    def write(self, data: bytes, now: float) -> None: ...

    def write_first(self, data: bytes, now: float) -> None: ...


class Burst:
    """What a reader gets in one call, in order; at least one item.

    Args:
        first: its first item.

    Attributes:
        items: values, or events of one topic with rising positions.
        at: when it was handed over, in seconds of the loop's clock.
        prompt: nothing else is on its way to these readers in this turn of the loop, or it is so much that it
            is worth a write of its own: there is no use in waiting for the end of the turn.
        writing: connections that have said yes and are to be written to (`write`).
        first: connections and what they alone get in answer to this burst.
        chunk: the events' HTTP/1.1 chunks, joined.
        frame: the events' frames, joined.
        zstd_chunk: the same, compressed together, as one chunk.
    """

    __slots__ = ("at", "chunk", "first", "frame", "items", "prompt", "writing", "zstd_chunk")

    chunk: bytes
    frame: bytes
    zstd_chunk: bytes

    def __init__(self, first: Any) -> None:
        self.items: list[Any] = [first]
        self.at = 0.0
        self.prompt = False
        self.writing: list[Writable] = []
        self.first: list[tuple[Writable, bytes]] = []

    def write(self) -> None:
        """Write to those that wait for it. First some are asked and then some are written to, because a
        system call between two questions costs the processor's caches: a tenth of a delivery."""
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

        def __getattr__(self, name: str) -> bytes:
            if name == "chunk":
                self.chunk = joined = b"".join([event.chunk for event in self.items])
            elif name == "frame":
                self.frame = joined = b"".join([event.frame for event in self.items])
            elif name == "zstd_chunk":
                from .chunk import zstd_chunk

                self.zstd_chunk = joined = zstd_chunk(self.frame)
            else:
                raise AttributeError(f"'Burst' object has no attribute {name!r}")
            return joined
