"""Decides when the response headers of a stream are sent.

At its first emission, at its end, or when the hold is over, whichever is first; a failure before that becomes
a status. A stream of a bus also waits for its position, whatever another source of a `merge` has emitted:
open means subscribed, and the position is known. What a client publishes once its stream is open reaches it.

Standard: docs/architecture.md, rule 9.
Never: the headers of a failed source are sent.
"""

from __future__ import annotations

import asyncio

from rx_sse.bus.resume.stream_cursor import StreamCursor


class Gate:
    """The headers of one stream.

    Args:
        loop: the loop of the stream.
        handle: the cursor by which a bus reports that it knows the position; None without one.
        hold: seconds that the headers wait for a first emission.

    """

    __slots__ = (
        "_awaiting",
        "_emitted",
        "_error",
        "_handle",
        "_held",
        "_hold",
        "_loop",
        "_passed",
        "_subscribing",
        "_timer",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, handle: StreamCursor | None, hold: float) -> None:
        self._loop = loop
        self._handle = handle
        self._hold = hold
        self._timer: asyncio.Handle | None = None
        self._subscribing = False
        self._emitted = False
        self._awaiting = False
        self._held = True
        """The headers have not left."""
        self._error: Exception | None = None
        self._passed: asyncio.Future[None] | None = None  # made by the first who waits: few have to

    @property
    def shut(self) -> bool:
        """True while a failure of the source becomes a status: there is no emission to be sent, or no
        position."""
        return self._held and (self._awaiting or not self._emitted)

    async def wait(self) -> None:
        """Wait until the headers may be sent.

        Raises:
            Exception: the source failed first, with this error.
        """
        if self._held:
            self._passed = self._loop.create_future()
            await self._passed
        if self._error is not None:
            raise self._failure()

    def subscribing(self) -> None:
        """The whole source is subscribed before `await_first`: until then, an emission decides nothing."""
        self._subscribing = True

    def await_first(self) -> None:
        """The source is subscribed: if it has not emitted yet, hold the headers for a while."""
        handle = self._handle
        if not self._held:
            return
        if handle is not None and handle.attached and not handle.ready:
            self._await_position()
        elif self._emitted and self._subscribing:
            self._held = False  # nothing waits for it yet
        elif self._timer is None:
            self._timer = self._loop.call_later(self._hold, self.hold_over)
        self._subscribing = False

    def emitted(self) -> None:
        """Something is in the outbox: the headers leave as soon as what else is being subscribed in this turn
        has its place, as with a bus in a `merge` behind a source that emits at once."""
        if not self._emitted and self._held:
            self._emitted = True
            if not self._subscribing:
                self.close()
                self._timer = self._loop.call_soon(self.hold_over)

    def hold_over(self) -> None:
        """The headers need not wait any longer for an emission."""
        if not self._held:
            return
        if self._unpositioned():
            self._await_position()
        else:
            self.open()

    def _positioned(self) -> None:
        """The bus knows its position, or has left the stream: then its failure follows in this turn."""
        if self._held:
            self.close()
            self._timer = self._loop.call_later(0, self.hold_over)

    def open(self) -> None:
        """The headers may be sent now."""
        self.close()
        self._awaiting = False
        self._pass()

    def fail(self, error: Exception) -> None:
        """The source failed first."""
        self.close()
        if self._held:
            if isinstance(error, StopIteration):  # as from `next()` in a `map` (PEP 479)
                stopped = RuntimeError("the source raised StopIteration")
                stopped.__cause__ = error
                error = stopped
            self._error = error
            self._pass()

    def close(self) -> None:
        """Leave no timer behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _pass(self) -> None:
        self._held = False
        if self._passed is not None and not self._passed.done():
            self._passed.set_result(None)

    def _failure(self) -> Exception:
        """The source's error, which no frame of its own traceback holds."""
        error, self._error = self._error, None
        assert error is not None
        return error

    def _await_position(self) -> None:
        """Hold the headers until the bus knows its position, or fails after its own `position_timeout`."""
        assert self._handle is not None
        self._awaiting = True
        self.close()
        self._handle.on_ready(self._positioned)

    def _unpositioned(self) -> bool:
        return self._handle is not None and self._handle.attached and not self._handle.ready


class _Passed(Gate):
    """Shared gate for streams whose headers have been sent; all its methods do nothing."""

    __slots__ = ()

    def __init__(self) -> None:
        self._timer = None
        self._awaiting = self._emitted = self._subscribing = self._held = False
        self._passed = self._error = None


PASSED = _Passed()
"""The gate of every open stream: open streams keep no gate of their own."""
