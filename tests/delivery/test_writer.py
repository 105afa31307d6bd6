"""The writer: what follows a client's place in its topic is written at once, the rest goes to the stream."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from rx_sse.delivery.batch import EventBatch
from rx_sse.delivery.fanout import Delivery
from rx_sse.delivery.follower import Follower
from rx_sse.delivery.owner import Nobody
from rx_sse.delivery.receivers import ReceiverSet
from rx_sse.delivery.writer import Writer


@dataclass
class Item:
    """An entry, as far as a writer knows it."""

    position: int
    chunk: bytes


class Topic:
    ref = "abcdef"

    def event_of(self, entry: Any, epoch: int) -> Any:
        return entry


def batch(*orders: int, ref: str = "abcdef") -> EventBatch:
    """The entries of these orders."""
    items: list[Any] = [Item(order, b"<%d>" % order) for order in orders]
    made = EventBatch.of(Topic(), items, 0, orders[0], orders[-1])
    made.ref = ref
    made.at = 5.0
    return made


class Stream(Nobody):
    """The owner: keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[EventBatch] = []

    def receive(self, batch: EventBatch) -> None:
        self.got.append(batch)


@dataclass(eq=False)
class Reader:
    """A reader whose batches the writer gets."""

    receive: Callable[[EventBatch], None]

    def fail(self, error: Exception) -> None:
        raise error


@dataclass
class Line:
    """A writer on one end of a socket, and the other end."""

    writer: Writer
    stream: Stream
    far: socket.socket

    async def arrived(self) -> bytes:
        await asyncio.sleep(0)  # older versions of uvloop write at the end of a turn
        try:
            return self.far.recv(65_536)
        except BlockingIOError:
            return b""


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    near, far = socket.socketpair()
    far.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=near)
    stream = Stream()
    writer = Writer(transport, stream)
    writer.place = place = Follower()
    place.ref, place.order, place.position = "abcdef", 3, 3
    writer.open = writer.free = True
    yield Line(writer, stream, far)
    transport.abort()
    far.close()


async def test_what_follows_the_last_entry_is_written_at_once_and_moves_the_place(line: Line) -> None:
    line.writer.receive(batch(4))
    line.writer.receive(batch(5, 6))
    assert await line.arrived() == b"<4><5><6>" and not line.stream.got
    place = line.writer.place
    assert (place.order, place.position) == (6, 6)
    assert (line.writer.sent, line.writer.last_write) == (9, 5.0)


async def test_many_readers_of_a_batch_are_written_to_together(line: Line) -> None:
    readers = ReceiverSet()
    readers.join(Reader(line.writer.receive))
    shared = Delivery(readers, Item(4, b"<4>"), 3)
    shared.ref, shared.order, shared.end, shared.position = "abcdef", 4, 4, 4
    shared.writing = []
    line.writer.receive(shared)
    assert await line.arrived() == b"" and line.writer.place.order == 4
    shared.write()
    assert await line.arrived() == b"<4>"


@pytest.mark.parametrize("why", ["older", "the same", "another topic", "not followed", "queued before it"])
async def test_everything_else_is_for_the_stream_to_decide(line: Line, why: str) -> None:
    given = batch(4)
    if why == "older":
        given = batch(2)
    elif why == "the same":
        given = batch(3)
    elif why == "another topic":
        given = batch(4, ref="ghijkl")
    elif why == "not followed":
        line.writer.place.ref = None
    else:
        line.writer.free = False
    line.writer.receive(given)
    assert line.stream.got == [given] and await line.arrived() == b""
    assert (line.writer.place.order, line.writer.sent) == (3, 0)
