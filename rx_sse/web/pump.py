"""Pulls an async iterable into a stream.

The next item is requested only when less than one write is waiting, so rows of a cursor or tokens of a
language model are never dropped and never pile up: the reader's speed is the source's speed.

Standard: PEP 525 (asynchronous generators; `aclose` runs their `finally`).
Never: it leaves a generator open, or a task unsupervised.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterable, Callable
from typing import Any, Protocol

from reactivex import abc

from rx_sse.delivery import Outbox
from rx_sse.errors import UsageError
from rx_sse.reactive.closing import close, failure_of
from rx_sse.tasks import start
from rx_sse.web.log_fields import Logged, stream_fields

logger = logging.getLogger("rx_sse")

AHEAD_BYTES = 64 * 1024
AHEAD_EVENTS = 256
"""Bytes that may wait before the source is asked again: one write; and the largest number of items in one
loop turn."""


class Pulled(Logged, Protocol):
    """The stream that a pump fills."""

    @property
    def outbox(self) -> Outbox: ...
    def fail(self, error: Exception) -> None: ...
    def complete(self, *, itself: bool) -> None: ...
    def outlived(self, task: asyncio.Task[None]) -> None: ...
    def on_drained(self, callback: Callable[[], None]) -> None: ...


class Pump(abc.DisposableBase):
    """A supervised task that pulls; `dispose` cancels it and closes the generator.

    Args:
        source: the iterable.
        stream: the stream to fill; it reports whether it has room, and is notified of the source's end.
        emit: called with each item.
    """

    __slots__ = ("_emit", "_source", "_stream", "_task")

    def __init__(self, source: AsyncIterable[Any], stream: Pulled, emit: Callable[[Any], None]) -> None:
        self._source = source
        self._emit = emit
        self._stream = stream
        self._task: asyncio.Task[None] | None = start(self._run, name=f"rx_sse pump of {stream.label}")
        self._task.add_done_callback(self._ended)

    def dispose(self) -> None:
        """Stop pulling. The source's `finally` blocks run in the task, for which a shutdown waits."""
        task, self._task = self._task, None
        if task is not None:
            if task is not asyncio.current_task():
                task.cancel()
            self._stream.outlived(task)

    async def _run(self) -> None:
        stream, outbox = self._stream, self._stream.outbox
        if inspect.isasyncgen(self._source) and self._source.ag_running:
            raise UsageError(
                f"the async generator of {stream.label} is read by another stream already: call its function "
                "in the handler, so that each request has one of its own"
            )
        iterator = aiter(self._source)
        try:
            async for value in iterator:
                self._emit(value)
                if self._task is None:
                    return
                if len(outbox) >= AHEAD_EVENTS or outbox.size >= AHEAD_BYTES:
                    room = asyncio.Event()
                    stream.on_drained(room.set)
                    await room.wait()
        finally:
            await close(iterator)

    def _ended(self, task: asyncio.Task[None]) -> None:
        disposed = self._task is None
        self._task = None
        error = failure_of(task)
        if disposed:
            if error is not None:
                logger.error(
                    "the source of %s failed while it was closed",
                    self._stream.label,
                    exc_info=error,
                    extra=stream_fields(self._stream),
                )
        elif error is None and (task.cancelled() or task.exception() is not None):  # no other cause
            self._stream.fail(UsageError("the async iterable cancelled its own task"))
        elif error is None:
            self._stream.complete(itself=True)
        elif isinstance(error, Exception):
            self._stream.fail(error)
        else:
            self._stream.fail(RuntimeError(f"the async iterable raised {type(error).__name__}"))
