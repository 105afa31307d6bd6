"""Reads the source of a run to its end.

Standard: PEP 525 (`aclose` runs the `finally` of a generator).
Never: a source stays subscribed after its reading has ended, for whatever reason.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, cast

from reactivex import Observable

from rx_sse.errors import UsageError
from rx_sse.reactive.closing import close
from rx_sse.reactive.scheduler import LoopScheduler

Source = Observable[Any] | AsyncIterable[Any] | Callable[[], Any]
"""The source of a run: an Observable, an async iterable, or a function that returns one, coroutine functions
and async generator functions included."""


async def read(
    source: Source,
    emit: Callable[[Any], None],
    offer: Callable[[Any], bool],
    room: Callable[[], Awaitable[None]],
) -> None:
    """Pass every value of `source` to `emit` or `offer`; return when it has completed.

    Args:
        source: called first, if it is a function.
        emit: called with each value of an Observable, on any thread.
        offer: called with each value of an async iterable; returns True if `room` must be awaited before the
            next.
        room: waits until there is room, also for the value just offered.

    Raises:
        UsageError: it is of any other type.
        Exception: the source failed.
    """
    made: Any = source
    if callable(source) and not isinstance(source, Observable | AsyncIterable):
        made = source()
        if not isinstance(made, Observable) and inspect.isawaitable(made):
            made = await made
    found = cast("Observable[Any] | AsyncIterable[Any]", made)
    if isinstance(found, Observable):
        await _observe(found, emit)
    elif isinstance(found, AsyncIterable):
        iterator = aiter(found)
        try:
            async for value in iterator:
                if offer(value):
                    await room()
        finally:
            await close(iterator)
    else:
        raise UsageError(
            f"the source of a run is an Observable, an async iterable, or a function that returns one, "
            f"not {type(found).__name__}"
        )


async def _observe(source: Observable[Any], emit: Callable[[Any], None]) -> None:
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def settle(error: Exception | None) -> None:
        if over.done():
            return
        if error is None:
            over.set_result(None)
        else:
            over.set_exception(error)

    def on_next(value: Any) -> None:
        if failed:
            return
        try:
            emit(value)
        except Exception as error:
            failed.append(error)
            loop.call_soon_threadsafe(settle, error)

    def on_error(error: Exception) -> None:
        loop.call_soon_threadsafe(settle, error)

    def on_completed() -> None:
        loop.call_soon_threadsafe(settle, None)

    failed: list[Exception] = []
    subscription = source.subscribe(on_next, on_error, on_completed, scheduler=LoopScheduler(loop))
    try:
        await over
    finally:
        subscription.dispose()
