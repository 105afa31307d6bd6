"""A connection that blocks: for processes without a loop.

Standard: RESP2, parsed by hiredis.
Never: a command is repeated; after a time-out the connection is not used again, its next answer would be
another's.
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
"""Nothing can be read or sent now. The socket never blocks: setting a time-out of its own
costs two system calls.
"""
_NOTHING: Any = object()
pack_command: Callable[[Any], bytes] = cast(Any, hiredis).pack_command


class BlockingConnection:
    """A connection, open.

    Args:
        endpoint: where to.
        access: what to say there.
        deadline: `time.monotonic()` by which it must be open.

    Raises:
        Unreachable: it cannot be reached in time.
        hiredis.ReplyError: it does not let us in.
    """

    def __init__(self, endpoint: Endpoint, access: Access, deadline: float) -> None:
        self._reader: Any = hiredis.Reader(notEnoughData=_NOTHING)
        self._news = select.poll() if hasattr(select, "poll") else None  # Windows has none
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
        """Whether the server has not closed it meanwhile: then nothing sent on it arrives."""
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
        """Send a script's call and wait for the answer to its last command; an error is one.

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
            OSError: it did not come in time, or the connection was lost. The connection is of no use then.
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
        self._wait(deadline)  # the answer is not there yet, so it is asked for after it has come
        while True:
            try:
                return self._open.recv(CHUNK)
            except WAIT as why:
                self._wait(deadline, write=isinstance(why, SSLWantWriteError))

    def _wait(self, deadline: float, *, write: bool = False) -> None:
        """Wait until something can be read, or sent.

        Raises:
            TimeoutError: the deadline is over.
        """
        left, opened = _left(deadline), self._open
        if isinstance(opened, SSLSocket) and opened.pending() and not write:
            return  # it has been read, and not been handed out
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
        """Close it, in this process alone."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline is over")
    return left
