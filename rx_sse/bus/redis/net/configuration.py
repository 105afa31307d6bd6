"""The options that all processes with the same prefix must share: written by the first, compared by the
others.

Standard: docs/resume.md §5.
Never: reading depends on a write. A server that refuses writes now (no memory, no disk) is used, and the
configuration is written as soon as possible.
"""

from __future__ import annotations

import asyncio
from typing import Any

import hiredis

from rx_sse.bus.redis.net.connection import Connection
from rx_sse.bus.redis.protocol.call import code_of
from rx_sse.bus.redis.protocol.keys import Keys
from rx_sse.errors import UsageError

PATIENCE = 5.0
"""Seconds for one answer."""
FULL = frozenset(("OOM", "MISCONF", "NOREPLICAS"))
"""Error codes of a server that refuses writes now, and serves reads."""


async def agree(connection: Connection, keys: Keys) -> bool:
    """Compare this process's configuration with the one stored in Redis; store it if there is none.

    Returns:
        Whether it is stored now.

    Raises:
        UsageError: another process stored a different configuration.
        hiredis.ReplyError, TimeoutError, Lost: it cannot be read. The connection is closed.
    """
    mine = keys.configuration()
    found = await asked(connection, "GET", keys.config)
    if found is None:
        try:
            await asked(connection, "SET", keys.config, mine, "NX", tolerated=FULL)
        except hiredis.ReplyError as error:
            if code_of(str(error)) in FULL:
                return False
            raise
        found = await asked(connection, "GET", keys.config)
    if found is not None and found.decode() != mine:
        connection.abort()
        raise UsageError(
            f"{keys.config} in Redis says {found.decode()!r}, this process wants {mine!r}: "
            "use the same options everywhere, or another prefix"
        )
    return found is not None


async def asked(connection: Connection, *command: str, tolerated: frozenset[str] = frozenset()) -> Any:
    """The answer of a command; without one, or with an error not `tolerated`, the connection is closed."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await connection.ask(*command)
    except BaseException as error:
        if not (isinstance(error, hiredis.ReplyError) and code_of(str(error)) in tolerated):
            connection.abort()
        raise
