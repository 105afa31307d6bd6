"""One connection to a Redis, for its whole life.

Commands are sent in the order of `send`, all of a loop turn in one write; each answer goes to its callback,
inside `data_received`. There is no task, no lock and no await between the socket and the caller. A
subscribing connection passes every message that is not an answer to `pushed`.

Standard: RESP2, parsed by hiredis.
Never: a command is repeated. If the connection is lost, every waiting caller gets a `Lost`: its command may
have been executed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis

from rx_sse.bus.redis.net.address import Access, Endpoint, Unreachable
from rx_sse.bus.redis.protocol.call import Lost, ScriptCall

CONNECT = 5.0
"""Seconds for a connection and its greeting."""

Reply = Callable[[Any], None]
_NOTHING: Any = object()
pack_command: Callable[[Any], bytes] = cast(Any, hiredis).pack_command


class Refused(Exception):
    """The server refused the login."""


class Connection(asyncio.Protocol):
    """A connection.

    Args:
        loop: the running loop.
        pushed: gets messages that are not answers: published messages, acknowledgements, errors. None:
            everything is an answer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, pushed: Reply | None = None) -> None:
        self._loop = loop
        self._pushed = pushed
        self._reader: Any = hiredis.Reader(notEnoughData=_NOTHING)
        self._transport: asyncio.Transport | None = None
        self._replies: deque[Reply] = deque()
        self._out: list[bytes] = []
        self._progress = loop.time()
        self._listening = False
        self.gone: asyncio.Future[None] = loop.create_future()

    def send(self, command: Any, reply: Reply, *, now: bool = False) -> None:
        """Send a command; its answer, an error, or a `Lost` goes to `reply`.

        Args:
            command: the command.
            reply: called with the answer.
            now: no other command is expected in this turn of the loop, so it is sent without waiting.
        """
        if self.gone.done():
            self._loop.call_soon(reply, Lost("the connection is gone"))
            return
        if not self._replies:
            self._progress = self._loop.time()
        self._replies.append(reply)
        self.tell(command, now=now)

    def tell(self, command: Any, *, now: bool = False) -> None:
        """Send a command whose answer `send` does not wait for, like a SUBSCRIBE."""
        if not self._out and not now:
            self._loop.call_soon(self._flush)
        self._out.append(pack_command(command))
        if now:
            self._flush()

    def call(self, call: ScriptCall, reply: Reply, *, now: bool = False) -> None:
        """Send a script's call; see `send`."""
        *before, command = call.commands()
        for other in before:
            self.send(other, _ignored)
        self.send(command, reply, now=now)

    async def ask(self, *command: Any) -> Any:
        """Send a command and wait for its answer.

        Raises:
            Lost: the connection was lost before the answer.
            hiredis.ReplyError: the answer is an error.
        """
        answer: asyncio.Future[Any] = self._loop.create_future()

        def reply(value: Any) -> None:
            if answer.done():
                return
            if isinstance(value, Exception):
                answer.set_exception(value)
            else:
                answer.set_result(value)

        self.send(command, reply)
        return await answer

    def listen(self) -> None:
        """From now on this is a subscribing connection: everything goes to `pushed`."""
        self._listening = True

    def stalled(self, now: float, limit: float) -> bool:
        """Whether an answer has been due for `limit` seconds."""
        return bool(self._replies) and now - self._progress > limit

    def soon(self, action: Callable[[], None]) -> None:
        """Call `action` in the next turn of the loop."""
        self._loop.call_soon(action)

    def abort(self) -> None:
        """Close it at once."""
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol ------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by behaviour, not by class

    def data_received(self, data: bytes) -> None:
        reader = self._reader
        reader.feed(data)
        self._progress = self._loop.time()
        try:
            while (value := reader.gets()) is not _NOTHING:
                if not self._listening and self._replies:
                    self._take(self._replies.popleft(), value)
                elif self._pushed is not None:
                    self._take(self._pushed, value)
        except hiredis.ProtocolError:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.gone.done():
            self.gone.set_result(None)
        replies, self._replies = self._replies, deque()
        lost = Lost(str(exc) if exc else "the connection was lost")
        for reply in replies:
            self._take(reply, lost)

    def _take(self, reply: Reply, value: Any) -> None:
        """Pass an answer to its callback. If the callback raises, later answers still reach theirs."""
        try:
            reply(value)
        except Exception as error:
            context = {"message": "rx_sse: the answer of a Redis could not be used", "exception": error}
            self._loop.call_exception_handler(context)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(out))


def _ignored(answer: Any) -> None:
    """Ignore an answer without content."""


async def connect(endpoint: Endpoint, access: Access, pushed: Reply | None = None) -> Connection:
    """Connect and log in.

    Raises:
        Unreachable: it cannot be reached.
        Refused: the login was refused.
    """
    loop = asyncio.get_running_loop()
    connection = Connection(loop, pushed)
    try:
        async with asyncio.timeout(CONNECT):
            if endpoint.path is not None:
                await loop.create_unix_connection(lambda: connection, endpoint.path)
            else:
                name = endpoint.host if access.ssl else None
                await loop.create_connection(
                    lambda: connection, endpoint.host, endpoint.port, ssl=access.ssl, server_hostname=name
                )
            for command in access.greeting():
                await connection.ask(*command)
            with contextlib.suppress(hiredis.ReplyError):
                await connection.ask("CLIENT", "SETNAME", "rx_sse")
    except hiredis.ReplyError as error:
        connection.abort()
        raise Refused(f"Redis at {endpoint} did not let us in: {error}") from None
    except (OSError, Lost) as error:
        connection.abort()
        raise Unreachable.because(endpoint, error, CONNECT) from error
    except BaseException:
        connection.abort()
        raise
    return connection
