"""The servers behind an address: one, or the one that the sentinels name.

Standard: Redis Sentinel's client guidelines: ask a sentinel at each connection, believe the server's ROLE.
Never: a replica is taken for the master.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import hiredis

from rx_sse.bus.redis.address import Address, Endpoint
from rx_sse.bus.redis.layout import Layout
from rx_sse.bus.redis.link import Link, Lost, Refused, connect
from rx_sse.bus.redis.node import Node, Owner
from rx_sse.errors import UsageError
from rx_sse.tasks import start

CHECK = 5.0
"""Seconds between two looks at who is master."""


class Fleet:
    """One server.

    Args:
        owner: whom the node tells.
        address: where it is.
        probe_topic: makes a probe's topic for a partition.
        interval: seconds between two probes.
    """

    sharded = False

    def __init__(
        self, owner: Owner, address: Address, probe_topic: Callable[[int | None], str], interval: float
    ) -> None:
        self._address = address
        self._layout = owner.layout
        self._owner = owner
        self._node = Node(owner, self._dial, probe_topic(None), interval)
        self._check: asyncio.Task[None] | None = None

    @property
    def nodes(self) -> Sequence[Node]:
        """All servers."""
        return (self._node,)

    def node(self, partition: int) -> Node | None:
        """Who stores a partition."""
        return self._node

    def start(self) -> None:
        """Connect, and keep at it."""
        self._node.start()
        self._check = start(self._checking)

    async def stop(self) -> None:
        """Let go."""
        if self._check is not None:
            self._check.cancel()
            await asyncio.gather(self._check, return_exceptions=True)
        await self._node.stop()

    def refresh(self) -> None:
        """Somebody refused what only a master does: look who is it now."""
        self._node.commands.cut()

    def moved(self, node: Node, channel: str) -> None:
        """A subscription was ended by the server."""

    async def _dial(self, pushed: Callable[[Any], None] | None) -> Link:
        address = self._address
        if address.kind == "single":
            link = await connect(address.endpoints[0], address.access, pushed)
        else:
            endpoint = await self._master()
            link = await connect(endpoint, address.access, pushed)
            await self._check_role(link, endpoint)
        if pushed is None:
            await agree(link, self._layout)
        return link

    @staticmethod
    async def _check_role(link: Link, endpoint: Endpoint) -> None:
        role = await asked(link, "ROLE")
        if role[0] != b"master":
            link.abort()
            raise Refused(f"{endpoint} is {role[0].decode()}, though a sentinel calls it master")

    async def _master(self) -> Endpoint:
        """The master, by the first sentinel that knows."""
        address = self._address
        last: Exception = Refused("no sentinel")
        for endpoint in address.endpoints:
            try:
                link = await connect(endpoint, address.sentinel_access)
                try:
                    answer = await link.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.service)
                finally:
                    link.abort()
                if answer:
                    return Endpoint(answer[0].decode(), int(answer[1]))
                last = Refused(f"{endpoint} does not know a master called {address.service!r}")
            except (OSError, TimeoutError, Lost, Refused, hiredis.ReplyError) as error:
                last = error
        raise last

    async def _checking(self) -> None:
        """Look now and then whether the server is still the master."""
        place: Endpoint | None = None
        while True:
            await asyncio.sleep(CHECK)
            link = self._node.commands.link
            if link is None:
                continue
            try:
                async with asyncio.timeout(CHECK):
                    role = await link.ask("ROLE")
                    if role[0] != b"master":
                        self._node.cut()
                    elif self._address.kind == "sentinel":
                        said = await self._master()
                        if place is not None and said != place:
                            self._node.cut()
                        place = said
            except (OSError, TimeoutError, Lost, Refused, hiredis.ReplyError):
                continue


async def asked(link: Link, *command: str) -> Any:
    """A command's answer; if there is none, the connection is given up."""
    try:
        async with asyncio.timeout(CHECK):
            return await link.ask(*command)
    except BaseException:
        link.abort()
        raise


async def agree(link: Link, layout: Layout) -> None:
    """Write down what all processes must agree on, or read it.

    Raises:
        UsageError: another process wrote something else.
    """
    mine = layout.configuration()
    await asked(link, "SET", layout.config, mine, "NX")
    found = await asked(link, "GET", layout.config)
    if found is not None and found.decode() != mine:
        link.abort()
        raise UsageError(
            f"{layout.config} in Redis says {found.decode()!r}, this process wants {mine!r}: "
            "use the same options everywhere, or another prefix"
        )
