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
from ssl import SSLWantReadError
from typing import Any, cast

import hiredis

from rx_sse.bus.redis.address import Access, Endpoint

CHUNK = 65_536
_NOTHING: Any = object()
pack_command: Callable[[Any], bytes] = cast(Any, hiredis).pack_command


class Wire:
    """A connection, open.

    Args:
        endpoint: where to.
        access: what to say there.
        deadline: `time.monotonic()` by which it must be open.

    Raises:
        OSError: it cannot be reached in time.
        hiredis.ReplyError: it does not let us in.
    """

    def __init__(self, endpoint: Endpoint, access: Access, deadline: float) -> None:
        self._reader: Any = hiredis.Reader(notEnoughData=_NOTHING)
        self._news = select.poll() if hasattr(select, "poll") else None  # Windows has none
        self._socket = socket.socket(socket.AF_UNIX) if endpoint.path else _dialled(endpoint, deadline)
        try:
            self._socket.settimeout(_left(deadline))
            if endpoint.path is not None:
                self._socket.connect(endpoint.path)
            elif access.ssl is not None:
                self._socket = access.ssl.wrap_socket(self._socket, server_hostname=endpoint.host)
            if self._news is not None:
                self._news.register(self._socket, select.POLLIN)
            for command in access.greeting():
                self.ask(command, deadline)
            with contextlib.suppress(hiredis.ReplyError):
                self.ask(("CLIENT", "SETNAME", "rx_sse"), deadline)
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether the server has not closed it while nobody looked: then nothing sent on it arrives."""
        if self._news is not None and not self._news.poll(0):
            return True
        self._socket.settimeout(0)
        try:
            self._socket.recv(1)
        except (BlockingIOError, SSLWantReadError):
            return True
        except OSError:
            pass
        return False

    def ask(self, command: Any, deadline: float) -> Any:
        """Send a command and wait for its answer.

        Raises:
            OSError: it did not come in time, or the connection was lost. The connection is of no use then.
            hiredis.ReplyError: the answer is an error.
        """
        self._socket.settimeout(_left(deadline))
        self._socket.sendall(pack_command(command))
        while (answer := self._reader.gets()) is _NOTHING:
            self._socket.settimeout(_left(deadline))
            data = self._socket.recv(CHUNK)
            if not data:
                raise ConnectionError("the server closed the connection")
            self._reader.feed(data)
        if isinstance(answer, hiredis.ReplyError):
            raise answer
        return answer

    def close(self) -> None:
        """Close it, in this process alone."""
        self._socket.close()


def _dialled(endpoint: Endpoint, deadline: float) -> socket.socket:
    made = socket.create_connection((endpoint.host, endpoint.port), _left(deadline))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the deadline is over")
    return left
