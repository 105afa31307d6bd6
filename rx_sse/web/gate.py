"""Decides when the response headers of a stream are sent.

At its first emission, at its end, or when the hold is over, whichever is first; a failure before that becomes
a status. A stream of a bus also waits for its position: open means subscribed, and the position is known.

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

    Attributes:
        passed: resolves when the headers may be sent; fails with the source's error.
    """

    __slots__ = ("_handle", "_hold", "_loop", "_timer", "passed")

    def __init__(self, loop: asyncio.AbstractEventLoop, handle: StreamCursor | None, hold: float) -> None:
        self._loop = loop
        self._handle = handle
        self._hold = hold
        self._timer: asyncio.TimerHandle | None = None
        self.passed: asyncio.Future[None] | None = loop.create_future()

    @property
    def shut(self) -> bool:
        """True while the headers must wait."""
        return self.passed is not None and not self.passed.done()

    async def wait(self) -> None:
        """Wait until the headers may be sent.

        Raises:
            Exception: the source failed first, with this error.
        """
        assert self.passed is not None
        await self.passed

    def await_first(self) -> None:
        """The source is subscribed and has not emitted yet: hold the headers for a while."""
        if not self.shut:
            return
        if self._unpositioned():
            assert self._handle is not None
            self._handle.on_ready(self._positioned)
        self._timer = self._loop.call_later(self._hold, self.hold_over)

    def hold_over(self) -> None:
        """The headers need not wait any longer for an emission."""
        if not self.shut:
            return
        if self._unpositioned():
            self.close()  # until the bus knows its position, or fails after its own `position_timeout`
        else:
            self.open()

    def _positioned(self) -> None:
        """The bus knows its position, or has left the stream: then its failure follows in this turn."""
        if self.shut:
            self.close()
            self._timer = self._loop.call_later(0, self.hold_over)

    def open(self) -> None:
        """The headers may be sent now."""
        self.close()
        if self.passed is not None and not self.passed.done():
            self.passed.set_result(None)

    def fail(self, error: Exception) -> None:
        """The source failed first."""
        self.close()
        if self.passed is not None and not self.passed.done():
            if isinstance(error, StopIteration):  # as from `next()` in a `map`; a future refuses it (PEP 479)
                stopped = RuntimeError("the source raised StopIteration")
                stopped.__cause__ = error
                error = stopped
            self.passed.set_exception(error)
            self.passed.exception()  # marked as retrieved: if the client is gone, the future is never awaited

    def close(self) -> None:
        """Leave no timer behind."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _unpositioned(self) -> bool:
        return self._handle is not None and self._handle.attached and not self._handle.ready


class _Passed(Gate):
    """Shared gate for streams whose headers have been sent; all its methods do nothing."""

    __slots__ = ()

    def __init__(self) -> None:
        self._timer = None
        self.passed = None


PASSED = _Passed()
"""The gate of every open stream: open streams keep no gate of their own."""
