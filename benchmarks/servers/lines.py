"""The feed, the same for every Python server: lines of `key {json}` on a socket, each handed on as a value.

It stands for what a real application has in its place: a broker, a database trigger, another service. The
line `objects` is for the rig: it is answered with how many objects the garbage collector tracks.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
from collections.abc import Callable
from typing import Any, cast

Deliver = Callable[[str, dict[str, Any]], None]
"""Called with the key (`all`, or `u` and a user's number) and the value to send."""


class _Lines(asyncio.Protocol):
    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line == b"objects":
                gc.collect()
                self._transport.write(b"%d\n" % len(gc.get_objects()))
            else:
                self._deliver(*_parsed(line))


def _parsed(line: bytes) -> tuple[str, dict[str, Any]]:
    key, _, text = line.partition(b" ")
    return key.decode(), json.loads(text)


async def listen(port: int, deliver: Deliver) -> asyncio.Server:
    """Accept the feed on loopback."""
    return await asyncio.get_running_loop().create_server(lambda: _Lines(deliver), "127.0.0.1", port)


def read(port: int, deliver: Callable[[str, dict[str, Any]], object]) -> None:
    """The same without a loop: one feed after another, for ever."""
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as lines:
                for line in lines:
                    deliver(*_parsed(line))
