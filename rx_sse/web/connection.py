"""One socket while it streams.

Between the transport and aiohttp's protocol stands this one, which passes everything on and also notes what
aiohttp tells no handler: that the client has left, and that the socket is full. It is put in place with
`transport.set_protocol`, a public name, and taken out again before the response ends, so that keep-alive goes
on as if it had never been there.

It writes: a burst of the bus at once, if nothing is on its way to the socket; otherwise what the outbox
holds, once a loop turn, at most 64 KiB at a time; and a heartbeat when nothing else was written.

Standard: RFC 9112 §7.1 (chunked coding, done beforehand in each frame), HTML Living Standard §9.2.7 (comments
as heartbeats).
Never: it writes after `connection_lost`, and never waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol, cast

from rx_sse.delivery import Flusher, Outbox, Wheel
from rx_sse.web.kernel import hung_up, unacknowledged

WRITE_LIMIT = 64 * 1024
"""Bytes of one write: what is beyond stays in the outbox, within reach of its policy."""
KERNEL_LIMIT = 16 * 1024
"""Bytes that may wait unsent in the kernel, and in the transport. A stalled reader then holds some 200 events
of 1 KB instead of 4 MB (measured); never 0, which wedges TLS."""

NOTSENT_LOWAT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)
USER_TIMEOUT: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)
MAX_INT = 2**31 - 1


BLIND_PERIOD = 1.0
"""Seconds between two looks whether a client is there whose upload has been paused."""
RESET_PERIOD = 0.01
"""Seconds between two looks whether a peer has confirmed all that it was sent."""


Settings = tuple[int, int, "int | None", "int | None"]
"""The transport's limits, low and high, `TCP_NOTSENT_LOWAT` and `TCP_USER_TIMEOUT`."""


class Owner(Protocol):
    """Who is told what happens to the connection."""

    def lost(self) -> None:
        """The client has gone; nothing can be written any more."""
        ...

    def stuck(self) -> None:
        """A full socket took no byte for `write_timeout`."""
        ...

    def heartbeat(self) -> bytes:
        """What keeps the connection alive; called when it is due and nothing is queued."""
        ...

    def deadline(self, now: float) -> float | None:
        """Do what is due, and tell the time of the next deadline."""
        ...

    def uploading(self) -> bool:
        """Whether the body of the request is still being sent, or waits to be read."""
        ...


class _Nobody:
    """The owner of a connection that was handed back: an ended stream and its connection do not hold each
    other until a collection."""

    def lost(self) -> None:
        pass

    def stuck(self) -> None:
        pass

    def heartbeat(self) -> bytes:
        return b""

    def deadline(self, now: float) -> float | None:
        return None

    def uploading(self) -> bool:
        return False


NOBODY = _Nobody()


class Connection(asyncio.Protocol):
    """The forwarding protocol and writer of one stream.

    Args:
        transport: the request's transport.
        outbox: what is to be written.
        owner: hears of loss, stall and deadlines.
        flusher: writes once a turn.
        wheel: keeps the deadlines.
        heartbeat: seconds without traffic after which one is sent; None for never.
        write_timeout: seconds after which a full socket counts as stuck.
        reset: the end of the connection would read as the end of the response (HTTP/1.0), so it is broken.

    Attributes:
        free: nothing is on its way to the socket: what is written now goes there at once. Where the transport
            must have it first, as through TLS: it has room.
    """

    __slots__ = (
        "_direct",
        "_drained",
        "_fd",
        "_flusher",
        "_heartbeat",
        "_inner",
        "_outbox",
        "_owner",
        "_reset",
        "_saved",
        "_stuck_since",
        "_stuck_size",
        "_transport",
        "_wheel",
        "_write_timeout",
        "bucket",
        "free",
        "last_write",
        "lost",
        "marked",
        "open",
        "paused",
        "sent",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        outbox: Outbox,
        owner: Owner,
        flusher: Flusher,
        wheel: Wheel,
        *,
        heartbeat: float | None,
        write_timeout: float,
        reset: bool = False,
    ) -> None:
        self._transport = transport
        self._outbox = outbox
        self._owner: Owner = owner
        self._flusher = flusher
        self._wheel = wheel
        self._heartbeat = heartbeat
        self._write_timeout = write_timeout
        self._reset = reset
        self._stuck_size = 0
        self._stuck_since = 0.0
        self._fd = _descriptor(transport)
        self._direct = False  # the transport holds nothing, and bytes may go to the socket as they are
        self.free = False
        self._drained: list[Callable[[], None]] | None = None
        self._saved: Settings | None = None
        self.bucket: int | None = None
        self.last_write = 0.0
        self.sent = 0
        self.marked = True  # until the headers are out nothing is flushed, so nothing needs to be marked
        self.open = False
        self.lost = False
        self._inner = cast(asyncio.Protocol, transport.get_protocol())
        transport.set_protocol(self)
        self._tune()
        self.paused = transport.get_write_buffer_size() > KERNEL_LIMIT

    # -- from the transport ----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)
        self.check_reading()

    def eof_received(self) -> bool | None:
        # aiohttp takes a half-close for leaving; and a stalled half-closer would never get its
        # connection_lost.
        self._inner.eof_received()
        self.abort()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = self.free = False
        self.lost = True
        try:
            self._inner.connection_lost(exc)
        finally:
            self._wheel.discard(self)
            self._drained = None
            self._owner.lost()

    def pause_writing(self) -> None:
        self._inner.pause_writing()
        self.paused = True
        self.free = False
        self._stuck_since = now = asyncio.get_running_loop().time()
        self._stuck_size = self._unsent()
        self._wheel.hasten(self, now + self._write_timeout / 4)
        self._time_out(0)

    def resume_writing(self) -> None:
        self._inner.resume_writing()
        self.paused = False
        self._time_out(self._write_timeout)
        self.mark()

    # -- writing ---------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """The headers are out: from now on the outbox goes to the socket."""
        self.open = True
        self.last_write = now
        self.marked = False
        self.check_reading()
        self.mark()
        self.schedule(now)

    def mark(self) -> None:
        """Something is queued: write it in this turn of the loop."""
        if not self.marked and self.open:
            self.marked = True
            self.free = False
            self._flusher.mark(self)

    def flush(self, now: float) -> bool:
        self.marked = False
        if self.paused or not self.open:
            return False
        outbox = self._outbox
        if not self._direct:
            self._direct = self._fd >= 0 and not self._transport.get_write_buffer_size()
        data = outbox.take(WRITE_LIMIT)
        if data:
            self.write(data, now)
        if not outbox.idle and outbox:
            self.marked = not self.paused
            return self.marked
        self.free = (self._direct or self._fd < 0) and outbox.idle and not self.paused
        if self._drained is not None and not self.paused:
            callbacks, self._drained = self._drained, None
            for callback in callbacks:
                callback()
        return False

    def write(self, data: bytes | memoryview, now: float) -> None:
        """Write, while it is `free` or in its flush: to the socket itself while nothing waits in the
        transport. What the socket does not take goes there.

        The same system call, without the way to it: a fifth of the cost of a delivery. The descriptor is good
        for as long as `open` holds: a transport closes it after `connection_lost`.
        """
        self.last_write = now
        self.sent += len(data)
        if self._direct:
            try:
                sent = os.write(self._fd, data)
            except OSError:  # full, or broken: the transport finds out which
                sent = 0
            if sent == len(data):
                return
            self._direct = self.free = False
            data = memoryview(data)[sent:]
        self._transport.write(data)

    def write_first(self, data: bytes, now: float) -> None:
        """Write what was kept for the end of a block, ahead of what has come after it."""
        self.write(data, now)
        self.free = (self._direct or self._fd < 0) and not self.marked and not self.paused

    @property
    def descriptor(self) -> int | None:
        """The socket's descriptor, where events are written to it directly."""
        return self._fd if self._fd >= 0 else None

    @property
    def drained(self) -> bool:
        """True when nothing is queued and the socket takes bytes."""
        return self.open and not self.paused and (self._outbox.idle or not self._outbox)

    def on_drained(self, callback: Callable[[], None]) -> None:
        """Have `callback()` called once, from the flush that leaves nothing queued; not at all if the client
        goes first."""
        self._drained = [*(self._drained or ()), callback]
        self.mark()

    # -- deadlines -------------------------------------------------------------------------------------------

    def schedule(self, now: float) -> None:
        """Look at the deadlines again (one has changed)."""
        if not self.lost and (when := self._next(now)) is not None:
            self._wheel.add(self, when)

    def tick(self, now: float) -> float | None:
        if self.lost:
            return None
        if not self._transport.is_reading() and hung_up(self._transport):
            self.abort()
            return None
        if self.paused:
            size = self._unsent()
            if size < self._stuck_size:
                self._stuck_size, self._stuck_since = size, now
            elif now - self._stuck_since >= self._write_timeout:
                self._owner.stuck()
                return None
        elif self.open and self._heartbeat is not None and now >= self.last_write + self._heartbeat:
            if not self._outbox and (beat := self._owner.heartbeat()):
                self.write(beat, now)
            self.last_write = now
        return self._next(now)

    def _next(self, now: float) -> float | None:
        when = self._owner.deadline(now)
        if self.lost:
            return None
        dues = [] if when is None else [when]
        if self._heartbeat is not None and self.open:
            dues.append((now if self.paused else self.last_write) + self._heartbeat)
        if self.paused:
            dues.append(now + self._write_timeout / 4)
        if self.open and not self._transport.is_reading():
            dues.append(now + BLIND_PERIOD)
        return min(dues, default=None)

    def _unsent(self) -> int:
        """Bytes that are on their way: here, and in the kernel. Its 16 KiB alone would hide a slow reader."""
        size = self._transport.get_write_buffer_size()
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        return size if sock is None else size + unacknowledged(sock)

    # -- the end ---------------------------------------------------------------------------------------------

    def check_reading(self) -> None:
        """A connection that aiohttp has stopped reading hides its end. Behind pipelined requests it would for
        ever: abort it. Before a body that nobody has read yet it is back-pressure, the client's due: then the
        kernel is asked, now and again, whether the client is there."""
        if self.open and not self.lost and not self._transport.is_reading():
            if self._owner.uploading():
                self._wheel.hasten(self, asyncio.get_running_loop().time() + BLIND_PERIOD)
            else:
                self.abort()

    def cut(self) -> None:
        """End the connection in the place of the response, which then lacks its end. What is on its way still
        arrives."""
        if self._transport.is_closing():
            return
        if self._reset and self._unsent():  # a reset takes back what the peer has not confirmed
            asyncio.get_running_loop().call_later(RESET_PERIOD, self._cut_again)
            return
        self._break()
        self.free = self._direct = False
        self._transport.close()

    def _cut_again(self) -> None:
        if not self.lost:
            self.cut()

    def abort(self) -> None:
        """End the connection now; what was not taken by the socket is gone."""
        self.open = self.free = False
        self._break()
        self._transport.abort()

    def _break(self) -> None:
        """Have the connection end with a reset, where nothing else tells an end from a cut."""
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        if self._reset and sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def detach(self) -> None:
        """Hand the transport back to aiohttp as it was found."""
        self.open = self.free = False
        self._wheel.discard(self)
        self._drained = None
        self._owner = NOBODY
        if self.lost:
            return
        self._untune()
        if self._transport.get_protocol() is self:
            self._transport.set_protocol(self._inner)

    def _tune(self) -> None:
        low, high = self._transport.get_write_buffer_limits()
        lowat = timeout = None
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            with contextlib.suppress(OSError):
                if NOTSENT_LOWAT is not None:
                    lowat = sock.getsockopt(socket.IPPROTO_TCP, NOTSENT_LOWAT)
                    sock.setsockopt(socket.IPPROTO_TCP, NOTSENT_LOWAT, KERNEL_LIMIT)
                if USER_TIMEOUT is not None:
                    timeout = sock.getsockopt(socket.IPPROTO_TCP, USER_TIMEOUT)
                    self._time_out(self._write_timeout)
        self._saved = _shared((low, high, lowat, timeout))
        self._transport.set_write_buffer_limits(high=KERNEL_LIMIT)

    def _time_out(self, seconds: float) -> None:
        """Have the kernel end the connection to a peer that confirms nothing for so long; 0 for never.

        Never while the socket is full: Linux counts the time in which a window is too small for the next
        segment as well, which a reader with a small buffer can make long, though it reads all the time. Then
        `tick` looks whether the bytes become fewer.
        """
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        if USER_TIMEOUT is None or sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
            return
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, USER_TIMEOUT, min(int(seconds * 1000), MAX_INT))

    def _untune(self) -> None:
        if self._saved is None:
            return
        low, high, lowat, timeout = self._saved
        self._saved = None
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            if sock is not None and NOTSENT_LOWAT is not None and lowat is not None:
                # 0 reads back as "no limit" but is refused as "limit of nothing" by some kernels: say the
                # maximum.
                sock.setsockopt(socket.IPPROTO_TCP, NOTSENT_LOWAT, lowat or MAX_INT)
            if sock is not None and USER_TIMEOUT is not None and timeout is not None:
                sock.setsockopt(socket.IPPROTO_TCP, USER_TIMEOUT, timeout)
        self._transport.set_write_buffer_limits(high=high, low=low)


@lru_cache(maxsize=16)
def _shared(settings: Settings) -> Settings:
    """The same object for the same settings: most connections have the same."""
    return settings


def _descriptor(transport: asyncio.Transport) -> int:
    """The socket's descriptor, -1 if bytes may not go to it as they are: through TLS, and on Windows."""
    sock: socket.socket | None = transport.get_extra_info("socket")
    if os.name != "posix" or sock is None or transport.get_extra_info("sslcontext") is not None:
        return -1
    return sock.fileno()
