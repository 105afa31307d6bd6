"""A reader that is too slow for its stream, and the effect of its policy.

Twenty large events a second are published; a client of this process reads two of them a second, over a real
connection to this server. Everything that it reads, and each `stream-gap`, is shown to all viewers.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any, get_args

import aiohttp
import reactivex as rx
from aiohttp import web
from reactivex import operators as ops

import rx_sse
from rx_sse.delivery.overflow import Policy

POLICIES: tuple[Policy, ...] = get_args(Policy)
TOPIC = "numbers"
PUSHED = 0.05
"""Seconds between two events."""
READ = 0.5
"""Seconds that the reader takes for each."""
PADDING = "." * 30_000
"""Makes an event large, so that few of them fit into the buffers between server and reader."""
RECEIVED = 32 * 1024
"""Bytes of the reader's socket."""
QUEUE = 4
"""Events that may wait for the reader."""
HISTORY = 60
"""Events that a disconnected reader can resume from: three seconds of them."""

Told = dict[str, Any]


class SlowReader:
    """The stream that is too fast, and a reader for each policy while it has viewers."""

    def __init__(self) -> None:
        self._bus = rx_sse.MemoryBus(history=HISTORY)
        self._pushed = rx.interval(PUSHED).pipe(ops.do_action(self._push), ops.share())
        self._watched: dict[tuple[str, str], rx.Observable[Told]] = {}

    def add_to(self, app: web.Application) -> None:
        """Add the routes, one for each policy."""
        app.cleanup_ctx.append(self._running)
        for policy in POLICIES:
            overflow = rx_sse.Overflow(policy, max_events=QUEUE)
            app.router.add_get(f"/slow/{policy}", rx_sse.sse(overflow=overflow, retry=500)(self._stream))

    def watched(self, policy: str, request: web.Request) -> rx.Observable[Told]:
        """``{"pushed": n}`` as numbers are published, ``{"read": n}`` and ``{"gap": …}`` as the reader gets
        them.

        Args:
            policy: the slow reader's policy.
            request: contains the address of this server.
        """
        address = _own_address(request)
        if (address, policy) not in self._watched:
            self._watched[address, policy] = self._watch(f"{address}/slow/{policy}").pipe(ops.share())
        return self._watched[address, policy]

    def _watch(self, url: str) -> rx.Observable[Told]:
        pushed = self._pushed.pipe(ops.sample(READ), ops.map(lambda n: {"pushed": n}))
        return rx.merge(pushed, rx.defer(lambda _: rx_sse.from_async_iterable(_reading(url))))

    def _stream(self, request: web.Request) -> rx.Observable[Any]:
        return self._bus.events(TOPIC, after=rx_sse.last_event_id(request))

    def _push(self, number: int) -> None:
        self._bus.topic(TOPIC).on_next({"n": number, "padding": PADDING})

    async def _running(self, _: web.Application) -> AsyncIterator[None]:
        async with self._bus:
            yield


async def _reading(url: str) -> AsyncIterator[Told]:
    """The events of a slow client, which takes its time for each."""
    connector = aiohttp.TCPConnector(socket_factory=_small_socket)
    async with aiohttp.ClientSession(connector=connector) as session:
        async for event in rx_sse.EventSource(url, session=session):
            if event.type == "stream-gap":
                yield {"gap": event.json()}
            elif event.type == "message":
                yield {"read": event.json()["n"]}
                await asyncio.sleep(READ)


def _small_socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket whose receive buffer does not grow to megabytes, as the system's default does."""
    made = socket.socket(family=address[0], type=address[1], proto=address[2])
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED)
    return made


def _own_address(request: web.Request) -> str:
    """The address at which this server listens, without any proxy."""
    host, port = request.transport.get_extra_info("sockname")[:2] if request.transport else ("127.0.0.1", 0)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
