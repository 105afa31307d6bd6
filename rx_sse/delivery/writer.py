"""Writes bytes to a socket at once: what a client that keeps up gets.

The write is the transport's own system call, without the transport's code around it: a fifth of the cost of a
delivery. What the socket does not accept goes to the transport, and from then on every byte does, until the
transport is empty again.

Never: a byte before one that was queued earlier, in the outbox or in the transport.
"""

from __future__ import annotations

import asyncio
import os

from rx_sse.delivery import tuning
from rx_sse.delivery.batch import EventBatch
from rx_sse.delivery.follower import NO_FOLLOWER, Follower
from rx_sse.delivery.owner import Owner


class Writer(asyncio.Protocol):
    """The writing side of a connection.

    Args:
        transport: the request's transport.
        owner: the stream.

    Attributes:
        free: no byte is queued before the socket: a write goes to it at once. Where bytes must go through the
            transport, as with TLS: the transport has room.
        place: the client's place in the topic that it follows.
        open: the headers are sent, and bytes can still be written.
        paused: the socket is full.
        marked: the outbox will be written in this turn of the loop.
        last_write: the time of the last write, on the loop's clock.
        sent: bytes written.
    """

    __slots__ = (
        "_direct",
        "_fd",
        "_owner",
        "free",
        "last_write",
        "marked",
        "open",
        "paused",
        "place",
        "sent",
        "transport",
    )

    def __init__(self, transport: asyncio.Transport, owner: Owner) -> None:
        self.transport = transport
        self._owner: Owner = owner
        self._fd = tuning.descriptor_of(transport)
        self._direct = False  # the transport holds nothing, and bytes may be written to the socket directly
        self.free = False
        self.place: Follower = NO_FOLLOWER
        self.open = False
        self.paused = False
        self.marked = True  # until the headers are out nothing is flushed, so nothing needs to be marked
        self.last_write = 0.0
        self.sent: int = 0

    def receive(self, batch: EventBatch) -> None:
        """A batch of a bus, with chunk framing. If it follows the client's place in its topic, and nothing is
        queued before it, it is written; only otherwise does the stream decide."""
        place = self.place
        if self.free and place.ref == batch.ref and place.order < batch.order:
            place.order, place.position = batch.end, batch.position
            if batch.writing is not None:
                batch.writing.append(self)
            else:
                items = batch.items
                self.write(items[0].chunk if len(items) == 1 else batch.chunk, batch.at)
        else:
            self._owner.receive(batch)

    def write(self, data: bytes | memoryview, now: float) -> None:
        """Write, while it is `free` or in its flush: directly to the socket while the transport buffers
        nothing. The descriptor is valid while `open` is true: a transport closes it after `connection_lost`.
        """
        self.last_write = now
        self.sent += len(data)
        if self._direct:
            try:
                sent = os.write(self._fd, data)
            except OSError:  # full, or broken: the transport's own write finds out which
                sent = 0
            if sent == len(data):
                return
            self._direct = self.free = False
            data = memoryview(data)[sent:]
        self.transport.write(data)

    def write_first(self, data: bytes, now: float) -> None:
        """Write bytes that were held back for the end of a block, before anything queued after them."""
        self.write(data, now)
        self.free = (self._direct or self._fd < 0) and not self.marked and not self.paused

    @property
    def descriptor(self) -> int | None:
        """The socket's descriptor, where events are written to it directly."""
        return self._fd if self._fd >= 0 else None
