"""A blocking connection, for processes without a loop.

Standard: RESP2, parsed by hiredis.
Never: a command is repeated; after a timeout the connection is not used again, because its next answer would
belong to another command.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable
from ssl import SSLSocket, SSLWantReadError, SSLWantWriteError
from typing import Any, cast

import hiredis

from rx_sse.bus.redis.net.address import Access, Endpoint, Unreachable
from rx_sse.bus.redis.protocol.call import ScriptCall

CHUNK = 65_536
WAIT = (BlockingIOError, SSLWantReadError, SSLWantWriteError)
"""Nothing can be read or sent now. The socket never blocks: setting a timeout on it would cost two system
calls.
"""
_NOTHING: Any = object()
pack_command: Callable[[Any], bytes] = cast(Any, hiredis).pack_command


class BlockingConnection:
    """A connection, open.

    Args:
        endpoint: the server.
        access: credentials and TLS settings.
        deadline: `time.monotonic()` by which it must be open.

    Raises:
        Unreachable: it cannot be reached in time.
        hiredis.ReplyError: it refuses the login.
    """

    def __init__(self, endpoint: Endpoint, access: Access, deadline: float) -> None:
        self._reader: Any = hiredis.Reader(notEnoughData=_NOTHING)
        self._news = select.poll() if hasattr(select, "poll") else None  # Windows has no poll()
        self._socket: socket.socket | None = None
        begun = time.monotonic()
        try:
            self._socket = self._opened(endpoint, access, deadline)
            if self._news is not None:
                self._news.register(self._socket, select.POLLIN)
            for command in access.greeting():
                self.ask(command, deadline)
            with contextlib.suppress(hiredis.ReplyError):
                self.ask(("CLIENT", "SETNAME", "rx_sse"), deadline)
        except OSError as error:
            self.close()
            raise Unreachable.because(endpoint, error, max(deadline - begun, 0.0)) from error
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _opened(endpoint: Endpoint, access: Access, deadline: float) -> socket.socket:
        if endpoint.path is None:
            made = socket.create_connection((endpoint.host, endpoint.port), _left(deadline))
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            made = socket.socket(socket.AF_UNIX)
        try:
            made.settimeout(_left(deadline))
            if endpoint.path is not None:
                made.connect(endpoint.path)
            elif access.ssl is not None:
                made = access.ssl.wrap_socket(made, server_hostname=endpoint.host)
            made.setblocking(False)
        except BaseException:
            made.close()
            raise
        return made

    @property
    def alive(self) -> bool:
        """Whether the server has not closed it meanwhile: commands on a closed connection are lost."""
        if self._news is not None and not self._news.poll(0):
            return True
        if self._socket is None:
            return False
        try:
            self._socket.recv(1)
        except WAIT:
            return True
        except OSError:
            pass
        return False

    def call(self, call: ScriptCall, deadline: float) -> Any:
        """Send a script's call and wait for the answer to its last command; an error reply is returned.

        Raises:
            OSError: see `ask`.
        """
        try:
            answer: Any = None
            for command in call.commands():
                answer = self.ask(command, deadline)
        except hiredis.ReplyError as error:
            return error
        return answer

    def ask(self, command: Any, deadline: float) -> Any:
        """Send a command and wait for its answer.

        Raises:
            OSError: no answer in time, or the connection was lost. The connection is unusable then.
            hiredis.ReplyError: the answer is an error.
        """
        self._send(pack_command(command), deadline)
        while (answer := self._reader.gets()) is _NOTHING:
            data = self._received(deadline)
            if not data:
                raise ConnectionError("the server closed the connection")
            self._reader.feed(data)
        if isinstance(answer, hiredis.ReplyError):
            raise answer
        return answer

    def _send(self, data: bytes, deadline: float) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._open.send(rest) :]
            except WAIT as why:
                self._wait(deadline, write=not isinstance(why, SSLWantReadError))

    def _received(self, deadline: float) -> bytes:
        self._wait(deadline)  # read only after data has arrived
        while True:
            try:
                return self._open.recv(CHUNK)
            except WAIT as why:
                self._wait(deadline, write=isinstance(why, SSLWantWriteError))

    def _wait(self, deadline: float, *, write: bool = False) -> None:
        """Wait until the socket is readable, or writable.

        Raises:
            TimeoutError: the deadline is over.
        """
        left, opened = _left(deadline), self._open
        if isinstance(opened, SSLSocket) and opened.pending() and not write:
            return  # already read, and not yet returned
        if write or self._news is None:
            ready: Any = select.select([] if write else [opened], [opened] if write else [], [], left)
            arrived = any(ready)
        else:
            arrived = bool(self._news.poll(left * 1000))
        if not arrived:
            raise TimeoutError("the deadline is over")

    @property
    def _open(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionError("the connection is closed")
        return self._socket

    def close(self) -> None:
        """Close it, in this process only."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline is over")
    return left
