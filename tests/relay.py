"""A way to a server that fails as a network does: cut, closed, slow, or silent without a word to either end;
or led elsewhere.
"""

from __future__ import annotations

import asyncio
from typing import Self, cast

from .redis_server import RedisServer


class Relay:
    """Forwards connections on loopback.

    Args:
        server: where they lead.

    Attributes:
        lag: seconds by which everything that the server says is late.
    """

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._ends: set[_End] = set()
        self._listener: asyncio.Server | None = None
        self.closed = False
        self.silent = False
        self.mute = False
        self.lag = 0.0

    @property
    def url(self) -> str:
        """Through it."""
        assert self._listener is not None
        return f"redis://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Break all connections; new ones are made."""
        for end in list(self._ends):
            end.abort()

    def close(self) -> None:
        """Break all connections, and take no new ones."""
        self.closed = True
        self.cut()

    def open(self) -> None:
        """Take new ones again."""
        self.closed = False

    def lead_to(self, server: RedisServer) -> None:
        """Break all connections; the next ones lead to another server."""
        self._server = server
        self.cut()

    def silence(self, *, answers: bool = False) -> None:
        """From now on nothing passes, and neither side is notified.

        Args:
            answers: only what the server says is held back, as by a connection that is half dead.
        """
        self.silent = not answers
        self.mute = True

    def speak(self) -> None:
        """What was sent meanwhile arrives, unless its sender has given up."""
        self.silent = self.mute = False
        for end in list(self._ends):
            end.flow()

    def strand(self) -> None:
        """The connections that there are hang from now on, each with what is sent over it; new ones work."""
        for end in self._ends:
            end.stranded = True

    def land(self) -> None:
        """What was sent over connections that hung arrives, though its sender has given them up."""
        for end in list(self._ends):
            if end.stranded:
                end.stranded = False
                end.flow()

    async def connect(self, end: _End) -> None:
        """Make the other half of a connection."""
        server, loop = self._server, asyncio.get_running_loop()
        try:
            if server.path:
                _, other = await loop.create_unix_connection(lambda: _End(self), server.path)
            else:
                _, other = await loop.create_connection(lambda: _End(self), "127.0.0.1", server.port)
        except OSError:
            end.abort()
            return
        end.peer, other.peer = other, end
        end.flow()

    def add(self, end: _End) -> None:
        """A half of a connection is there."""
        self._ends.add(end)

    def remove(self, end: _End) -> None:
        """It is not any more."""
        self._ends.discard(end)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: _End(self, accepted=True), "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        self.cut()


class _End(asyncio.Protocol):
    """Half of a connection: what comes in here goes out at the peer's."""

    def __init__(self, relay: Relay, *, accepted: bool = False) -> None:
        self._relay = relay
        self._accepted = accepted
        self._held: list[bytes] = []
        self.stranded = False
        self._closed = False
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self.peer: _End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._relay.add(self)
        if self._relay.closed:
            self.abort()
        elif self._accepted:
            self._connecting = asyncio.get_running_loop().create_task(self._relay.connect(self))

    def data_received(self, data: bytes) -> None:
        if self._relay.lag and not self._accepted:
            asyncio.get_running_loop().call_later(self._relay.lag, self._take, data)
        else:
            self._take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        if not self.stranded:
            self._held.clear()  # whoever gives up sends nothing again
        self.flow()

    def flow(self) -> None:
        """Hand over what there is to hand over."""
        held_back = self.stranded or self._relay.silent or (self._relay.mute and not self._accepted)
        if held_back or self.peer is None:
            if self._closed and self.peer is None:
                self._relay.remove(self)
            return
        if self._closed:
            self._relay.remove(self)
            self.peer.end(self._held)
        elif self.peer._transport is not None:
            self.peer._transport.write(b"".join(self._held))
            self._held.clear()

    def end(self, last: list[bytes]) -> None:
        """Send the last that there is to send, and break it."""
        if last and self._transport is not None:
            self._transport.write(b"".join(last))
            self._transport.close()
        else:
            self.abort()

    def abort(self) -> None:
        """Break it."""
        self._held.clear()
        if self._transport is not None:
            self._transport.abort()

    def _take(self, data: bytes) -> None:
        if not self._closed:
            self._held.append(data)
            self.flow()
