"""One server: the server at an address, or the master that sentinels name.

Standard: Redis Sentinel's client guidelines: query a sentinel at each connection, check the server's ROLE.
Never: a replica is used as the master.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import hiredis

from rx_sse.bus.redis.net.address import Address, Endpoint, Unreachable
from rx_sse.bus.redis.net.configuration import agree, asked
from rx_sse.bus.redis.net.connection import Connection, Refused, connect
from rx_sse.bus.redis.net.server import Owner, Server
from rx_sse.bus.redis.protocol.call import Lost
from rx_sse.errors import UsageError
from rx_sse.tasks import start

CHECK = 5.0
"""Seconds between two checks of which server is master."""


class Master:
    """One server.

    Args:
        owner: receives the server's reports.
        address: its address, or those of the sentinels.
        probe_topic: makes a probe's topic for a partition.
        interval: seconds between two probes.
    """

    def __init__(
        self, owner: Owner, address: Address, probe_topic: Callable[[int | None], str], interval: float
    ) -> None:
        self._address = address
        self._owner = owner
        self._server = Server(owner, self._dial, probe_topic(None), interval)
        self._check: asyncio.Task[None] | None = None
        self._agreed = False

    @property
    def servers(self) -> Sequence[Server]:
        """All servers."""
        return (self._server,)

    def server(self, partition: int) -> Server | None:
        """The server that stores a partition."""
        return self._server

    def at(self, endpoint: Endpoint) -> Server | None:
        """The server at an address that a redirection names: there is only this one."""
        return None

    def start(self) -> None:
        """Connect, and reconnect when the connection is lost."""
        self._server.start()
        self._check = start(self._checking)

    async def stop(self) -> None:
        """Close the connections."""
        if self._check is not None:
            self._check.cancel()
            await asyncio.gather(self._check, return_exceptions=True)
        await self._server.stop()

    def refresh(self) -> None:
        """A command that only a master executes was refused: find out which server is master now."""
        self._server.commands.cut()

    def moved(self, channel: str) -> None:
        """A subscription was ended by the server."""

    async def _dial(self, pushed: Callable[[Any], None] | None) -> Connection:
        address = self._address
        if address.kind == "single":
            connection = await connect(address.endpoints[0], address.access, pushed)
        else:
            endpoint = await self._master()
            connection = await connect(endpoint, address.access, pushed)
            role = await asked(connection, "ROLE")
            if role[0] != b"master":
                connection.abort()
                raise Refused(f"{endpoint} is {role[0].decode()}, though a sentinel calls it master")
        if pushed is None:
            self._agreed = await agree(connection, self._owner.keys)
        return connection

    async def _master(self) -> Endpoint:
        """The master, by the first sentinel that knows it."""
        address = self._address
        last: Exception = Refused("no sentinel")
        for endpoint in address.endpoints:
            try:
                connection = await connect(endpoint, address.sentinel_access)
                try:
                    answer = await connection.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.service)
                finally:
                    connection.abort()
                if answer:
                    return Endpoint(answer[0].decode(), int(answer[1]))
                last = Refused(f"{endpoint} does not know a master called {address.service!r}")
            except Unreachable as error:
                last = Unreachable(str(error).replace("Redis at", "the sentinel at", 1))
            except (Lost, Refused, hiredis.ReplyError) as error:
                last = error
        raise last

    async def _checking(self) -> None:
        """Check periodically whether the server is still the master, and whether the configuration is
        stored."""
        place: Endpoint | None = None
        while True:
            await asyncio.sleep(CHECK)
            connection = self._server.commands.connection
            if connection is None:
                continue
            try:
                async with asyncio.timeout(CHECK):
                    role = await connection.ask("ROLE")
                    if role[0] != b"master":
                        self._server.cut()
                        continue
                    if self._address.kind == "sentinel":
                        said = await self._master()
                        if place is not None and said != place:
                            self._server.cut()
                            continue
                        place = said
                    if not self._agreed:
                        self._agreed = await agree(connection, self._owner.keys)
            except UsageError as error:
                self._owner.trouble(error)
            except (OSError, TimeoutError, Lost, Refused, hiredis.ReplyError):
                continue
