"""A connection, pushed into an observer: one task, from `subscribe` to the end.

Standard: the observer contract of ReactiveX: values one after another, then at most one of completion and
error, and nothing after `dispose`.

Never holds the loop for long, never lets an observer that raises affect another stream, and never
ends an observer before everything behind it is cleaned up.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import Context
from time import monotonic
from typing import Final

from reactivex import abc

from rx_sse.client.connection import Connection
from rx_sse.tasks import start
from rx_sse.wire.event import ServerSentEvent

__all__ = ["Subscription"]

# Seconds of uninterrupted pushing after which the loop gets a turn; the same as in `reactive.scheduler`.
_SLICE: Final = 0.005

# Events between two checks of the clock.
_RUN: Final = 64


class Subscription(abc.DisposableBase):
    """Runs until the connection ends, or until it is disposed of, on any thread."""

    def __init__(
        self,
        connection: Connection,
        observer: abc.ObserverBase[ServerSentEvent],
        context: Context | None = None,
    ) -> None:
        self._observer = observer
        self._stopped = False
        self._loop = asyncio.get_running_loop()
        self._task = start(self._run, connection, loop=self._loop, name="rx_sse EventSource", context=context)

    def dispose(self) -> None:
        """Abort the connection. Nothing is pushed any more; from another thread, from the next turn on."""
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._stop()
        else:
            with suppress(RuntimeError):  # the loop is closed, and the task with it
                self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self._stopped = True
        if asyncio.current_task() is self._task:
            # Disposed by an event that it pushes. A task that is cancelled while it runs is interrupted at
            # its next await, which may be the last of its clean-up; in the next turn it waits for something
            # else.
            self._loop.call_soon(self._task.cancel)
        else:
            self._task.cancel()

    async def _run(self, connection: Connection) -> None:
        batches = connection.batches()
        failure: Exception | None = None
        until = monotonic() + _SLICE
        try:
            async for events in batches:
                for start in range(0, len(events), _RUN):
                    self._push(events[start : start + _RUN])
                    if self._stopped:
                        return
                    if monotonic() >= until:
                        await asyncio.sleep(0)
                        until = monotonic() + _SLICE
        except Exception as error:
            failure = error
        finally:
            await batches.aclose()
        try:
            if failure is not None:
                self._observer.on_error(failure)
            else:
                self._observer.on_completed()
        except Exception as error:
            self._report("an observer did not take the end of its stream", error)

    def _push(self, events: list[ServerSentEvent]) -> None:
        # A disposed observer gets nothing more: reactivex ensures that, event by event.
        on_next = self._observer.on_next
        try:
            for event in events:
                on_next(event)
        except Exception as error:
            self._stopped = True
            self._report("an observer raised; its stream is closed", error)

    def _report(self, message: str, error: Exception) -> None:
        self._loop.call_exception_handler({"message": f"rx_sse: {message}", "exception": error})
