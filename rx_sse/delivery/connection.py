"""One socket while it streams.

At first it is placed between the transport and the server's protocol. It forwards everything, and it observes
what the server reports to no handler: that the client has disconnected, and that the socket is full. It is
installed with `transport.set_protocol`, a public name. Then either the server hands the transport over
(`take_over`), and the connection owns it until its end; or the server keeps its side, and gets the transport
back before the response ends (`detach`), so that keep-alive continues as if this class had never been
installed.

There are three ways to the socket. A batch of the bus is written at once if no byte is queued before it
(`writer`). Otherwise the outbox holds it; the outbox is written once a loop turn, at most 64 KiB at a time,
or as soon as it is full (`flush`, `relieve`). And when nothing else was written for a while, a heartbeat is
(`tick`).

Standard: RFC 9112 §7.1 (chunked coding, done beforehand in each frame), HTML Living Standard §9.2.7 (comments
as heartbeats).
Never: it writes after `connection_lost`, and never waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from rx_sse.delivery import Flusher, Outbox, Wheel, tuning
from rx_sse.delivery.follower import NO_FOLLOWER
from rx_sse.delivery.kernel import hung_up, unsent
from rx_sse.delivery.owner import NOBODY, Owner
from rx_sse.delivery.tuning import KERNEL_LIMIT
from rx_sse.delivery.writer import Writer

WRITE_LIMIT = 64 * 1024
"""Bytes of one write: the rest stays in the outbox, where its policy still applies."""
RELIEF_LIMIT = 4 * 1024 * 1024
"""Bytes that may be written beyond that in one turn of the loop, to a reader that accepts them and whose
outbox was full: as much as a send buffer of Linux may hold (`tcp_wmem`). A source that emits endlessly in one
turn meets the policy all the same."""
IGNORED_LIMIT = 64 * 1024
"""Bytes that a client may send after its request, on a connection that the stream owns."""
BLIND_PERIOD = 1.0
"""Seconds between two checks whether a client with a paused upload is still connected."""
NEVER = float("inf")
LINGER = 0.25
"""Seconds between the last bytes of a response and its cut. A browser that sees the cut discards what its
page has not read: without the pause Chromium lost one last event in five, with 0.1 s none of 180."""


class Connection(Writer):
    """The forwarding protocol of one stream, and the writer of its outbox.

    Args:
        transport: the request's transport.
        outbox: the queue of bytes to write.
        owner: notified of loss, stall and deadlines.
        flusher: writes once a turn.
        wheel: keeps the deadlines.
        heartbeat: seconds without traffic after which a heartbeat is sent; None for never.
        write_timeout: seconds after which a full socket counts as stuck.
        reset: the end of the connection would look like the end of the response (HTTP/1.0), so it is reset.
    """

    __slots__ = (
        "_drained",
        "_flusher",
        "_heartbeat",
        "_ignored",
        "_inner",
        "_outbox",
        "_relieved",
        "_reset",
        "_saved",
        "_stuck_since",
        "_stuck_size",
        "_wheel",
        "_write_timeout",
        "bucket",
        "lost",
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
        super().__init__(transport, owner)
        self._outbox = outbox
        self._flusher = flusher
        self._wheel = wheel
        self._heartbeat = heartbeat
        self._write_timeout = write_timeout
        self._ignored = 0
        self._relieved = 0  # bytes, in this turn
        self._reset = reset
        self._stuck_size = 0
        self._stuck_since = 0.0
        self._drained: list[Callable[[], None]] | None = None
        self.bucket: int | None = None
        self.lost = False
        inner: Any = transport.get_protocol()
        self._inner: asyncio.Protocol | None = inner
        transport.set_protocol(self)
        self._saved: tuning.Settings | None = None
        self.paused = transport.get_write_buffer_size() > KERNEL_LIMIT

    # -- from the transport ----------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)
            self.check_reading()
            return
        self._ignored += len(data)  # bytes that a client sends after its request are not answered
        if self._ignored > IGNORED_LIMIT:
            self.abort()

    def eof_received(self) -> None:
        # A half-close counts as a disconnect; and a stalled half-closer would never get its connection_lost.
        if self._inner is not None:
            self._inner.eof_received()
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = self.free = False
        self.lost = True
        try:
            if self._inner is not None:
                self._inner.connection_lost(exc)
        finally:
            self._wheel.discard(self)
            self._drained = None
            self._owner.lost()

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()
        self.paused = True
        self.free = False
        self._stuck_since = now = asyncio.get_running_loop().time()
        self._stuck_size = unsent(self.transport)
        self._wheel.hasten(self, now + self._write_timeout / 4)
        tuning.time_out(self.transport, 0)

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()
        self.paused = False
        tuning.time_out(self.transport, self._write_timeout)
        self.mark()

    # -- writing ---------------------------------------------------------------------------------------------

    def tune(self, *, keep: bool) -> None:
        """Set the options of the socket; keep the previous ones if the server gets the transport back."""
        if self._fd < 0 or keep:
            self._saved = tuning.tune(self.transport, self._write_timeout, keep=keep)
        else:
            tuning.set_for_good(self.transport, self._fd, self._write_timeout)

    def start(self, now: float, headers: bytes, first: bytes) -> None:
        """Write the headers and what is sent with them: from now on the outbox is written to the socket.

        Args:
            now: the loop's time, in seconds.
            headers: of the response. The server counts their bytes itself.
            first: the opening comment and the first events.
        """
        self.open = True
        self.marked = False
        self.last_write = now
        if data := headers + first:
            self._direct = self._fd >= 0 and not self.transport.get_write_buffer_size()
            self.write(data, now)
            self.sent -= len(headers)
        if not self.transport.is_reading():
            self.check_reading()
        if self._outbox or self._drained is not None:
            self.mark()
        else:
            self.free = self.open and (self._direct or self._fd < 0) and self._outbox.idle and not self.paused
        self.schedule(now)

    @property
    def inner(self) -> asyncio.BaseProtocol | None:
        """The server's protocol, as long as it has its side of the connection."""
        return self._inner

    def take_over(self) -> None:
        """The server hands the transport over: from now on the stream owns it, until the connection ends."""
        self._inner = None
        self._saved = None
        if not self.transport.is_reading():  # the server paused reading: too many pipelined requests
            self.transport.resume_reading()

    def mark(self) -> None:
        """Something is queued: have it written in this turn of the loop."""
        if not self.marked and self.open:
            self.marked = True
            self.free = False
            self._flusher.mark(self)

    def flush(self, now: float) -> bool:
        self.marked = False
        self._relieved = 0
        if self.paused or not self.open:
            return False
        outbox = self._outbox
        if not self._direct:
            self._direct = self._fd >= 0 and not self.transport.get_write_buffer_size()
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

    def relieve(self, now: float) -> None:
        """The outbox is full: write as much as the socket accepts, so that a burst within one turn of the
        loop does not count against a reader that had no chance to read. The transport buffers less than one
        such write: it pauses us before."""
        outbox = self._outbox
        while self.open and not self.paused and self._relieved < RELIEF_LIMIT and outbox:
            data = outbox.take(WRITE_LIMIT)
            self._relieved += len(data)
            self.write(data, now)

    @property
    def drained(self) -> bool:
        """True when nothing is queued and the socket accepts bytes."""
        return self.open and not self.paused and (self._outbox.idle or not self._outbox)

    def on_drained(self, callback: Callable[[], None]) -> None:
        """Have `callback()` called once, from the flush that leaves nothing queued; not at all if the client
        disconnects first."""
        self._drained = [*(self._drained or ()), callback]
        self.mark()

    # -- deadlines -------------------------------------------------------------------------------------------

    def schedule(self, now: float) -> None:
        """Reschedule: a deadline has changed."""
        if not self.lost and (when := self._next(now)) is not None:
            self._wheel.add(self, when)

    def tick(self, now: float) -> float | None:
        if self.lost:
            return None
        if not self.transport.is_reading() and hung_up(self.transport):
            self.abort()
            return None
        if self.paused:
            size = unsent(self.transport)
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
        due = NEVER if when is None else when
        if self._heartbeat is not None and self.open:
            beat = (now if self.paused else self.last_write) + self._heartbeat
            due = beat if beat < due else due
        if self.paused:
            due = min(due, now + self._write_timeout / 4)
        if self.open and not self.transport.is_reading():
            due = min(due, now + BLIND_PERIOD)
        return None if due == NEVER else due

    # -- the end ---------------------------------------------------------------------------------------------

    def check_reading(self) -> None:
        """Check for a client whose end aiohttp cannot see, because it has stopped reading. Behind pipelined
        requests it would never see it: abort. Before a body that the handler has not read yet, the pause is
        the back-pressure that the client is due: then the kernel is asked, periodically, whether the client
        is still connected."""
        if self.open and not self.lost and not self.transport.is_reading():
            if self._owner.uploading():
                self._wheel.hasten(self, asyncio.get_running_loop().time() + BLIND_PERIOD)
            else:
                self.abort()

    def cut(self, since: float | None = None) -> None:
        """End the connection in the middle of the response, which then lacks its end; not before the peer
        has had everything written for `LINGER` seconds, as far as is known `since` then."""
        if self.lost or self.transport.is_closing():
            return
        loop = asyncio.get_running_loop()
        since, now = self.last_write if since is None else since, loop.time()
        if unsent(self.transport):  # not acknowledged: a reset would discard it, too
            since = now
        if (wait := since + LINGER - now) > 0:
            loop.call_later(wait, self.cut, since)
            return
        self._break()
        self.free = self._direct = False
        self.transport.close()

    def finish(self, last: bytes) -> None:
        """End the response and the connection: everything that was written still arrives."""
        if self.transport.is_closing():
            return
        self.open = self.free = self._direct = False
        if last:
            self.transport.write(last)
            self.sent += len(last)
        self.transport.close()

    def abort(self) -> None:
        """End the connection now; bytes that the socket has not accepted are discarded."""
        self.open = self.free = False
        self._break()
        self.transport.abort()

    def _break(self) -> None:
        """Make the connection end with a reset, where nothing else tells a finished response from a cut
        one."""
        if self._reset:
            tuning.reset_at_close(self.transport)

    def detach(self) -> None:
        """Hand the transport back to aiohttp as it was found."""
        self.open = self.free = False
        self._wheel.discard(self)
        self._drained = None
        self._owner = NOBODY
        self.place = NO_FOLLOWER
        if self.lost or self._inner is None:
            return
        if self._saved is not None:
            tuning.untune(self.transport, self._saved)
            self._saved = None
        if self.transport.get_protocol() is self:
            self.transport.set_protocol(self._inner)
