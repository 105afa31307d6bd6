"""Bridges between Observables and async iterables, which reactivex leaves out.

An async iterable is pulled: the next item is asked for when the last one has been delivered. An Observable
pushes and cannot be slowed down, so on the way to an async iterable there is a buffer, with a limit and a
policy for what happens at it.

Standard: PEP 492 and PEP 525 (`aclose` runs a generator's `finally`); the policies are those of `Overflow`.
Never: leaves a generator open, a task that is not supervised, or a subscription whose reader has gone.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import suppress
from contextvars import Context, copy_context
from time import monotonic
from typing import Generic, TypeVar, cast

from reactivex import Observable, abc
from reactivex.disposable import SingleAssignmentDisposable

from rx_sse.delivery.overflow import Overflow, Policy
from rx_sse.errors import UsageError
from rx_sse.reactive.buffer import Buffer, Exhausted
from rx_sse.reactive.closing import close, failure_of
from rx_sse.reactive.contexts import enter
from rx_sse.reactive.runner import SLICE, on_loop
from rx_sse.reactive.scheduler import LoopScheduler, context_of, of_subscriber
from rx_sse.tasks import start

T = TypeVar("T")


def from_async_iterable(
    source: AsyncIterable[T] | Callable[[], AsyncIterable[T]],
) -> AsyncIterableObservable[T]:
    """An Observable of the items of an async iterable, pulled one at a time.

    It is cold: each subscription iterates anew, in a task of its own. Disposing it cancels the task and
    closes the generator; its `finally` blocks run. Give the generator function rather than the generator,
    which can be read once::

        rows = rx_sse.from_async_iterable(lambda: database.stream("select …"))

    Args:
        source: An async iterable, or a function without arguments that makes one.

    Returns:
        An Observable. It needs a running loop, or a `LoopScheduler`, when it is subscribed.
    """
    return AsyncIterableObservable(source)


def to_async_iterable(
    observable: Observable[T],
    *,
    overflow: Policy | Overflow = "disconnect",
    scheduler: abc.SchedulerBase | None = None,
) -> ObservableIterator[T]:
    """An async iterator over what an Observable emits, for `async for`.

    It subscribes when the iteration begins, and disposes the subscription when the source ends, when the loop
    is left, or with `aclose()`. The Observable is not slowed down: up to 512 values wait for their reader, or
    as many as an `Overflow(max_events=)` says, and besides up to 65,536 that the source emits while it is
    being subscribed.

    Args:
        observable: The source.
        overflow: What happens when no more may wait. `"disconnect"` ends the subscription: the reader gets
            what waits, then `Overflowed`. The others go on without it: `"drop_oldest"`, `"drop_newest"`,
            `"latest"` (the newest of each key); what they drop is counted in the iterator's `dropped`, except
            what `"latest"` replaces.
        scheduler: What to subscribe with, instead of a `LoopScheduler` of the running loop.

    Returns:
        An iterator for one reader and one pass.

    Raises:
        UsageError: `overflow` is no policy.
    """
    return ObservableIterator(observable, Overflow.of(overflow), scheduler)


class AsyncIterableObservable(Observable[T]):
    """An Observable that pulls. A consumer that can pull takes `iterable()` instead, and needs no buffer."""

    def __init__(self, source: AsyncIterable[T] | Callable[[], AsyncIterable[T]]) -> None:
        super().__init__(self._pull)
        self._source: object = source
        self._taken = False

    def iterable(self) -> AsyncIterable[T]:
        """The async iterable of one more pass.

        Raises:
            UsageError: It was a generator and has been taken, or the function made something else.
        """
        if inspect.isasyncgen(self._source):
            if self._taken:
                raise UsageError(
                    f"from_async_iterable: {self._source!r} has a subscriber already and can be read once; "
                    "give the generator function instead of the generator, or share() the Observable"
                )
            self._taken = True
        source = self._source
        if callable(source) and not isinstance(source, AsyncIterable):
            source = source()
        if not isinstance(source, AsyncIterable):
            raise UsageError(f"from_async_iterable: {source!r} is not an async iterable, and makes none")
        return cast("AsyncIterable[T]", source)

    def _pull(
        self, observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        loop = scheduler.loop if isinstance(scheduler, LoopScheduler) else asyncio.get_running_loop()
        outlive = scheduler.outlive if isinstance(scheduler, LoopScheduler) else None
        return _Pull(self.iterable(), observer, loop, context_of(scheduler), outlive)


class _Pull(abc.DisposableBase, Generic[T]):
    """A supervised task that iterates for one subscription."""

    __slots__ = ("_context", "_iterable", "_loop", "_observer", "_outlive", "_task")

    def __init__(
        self,
        iterable: AsyncIterable[T],
        observer: abc.ObserverBase[T],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
        outlive: Callable[[asyncio.Task[None]], None] | None,
    ) -> None:
        self._context = context or copy_context()
        self._iterable = iterable
        self._outlive = outlive
        self._loop = loop
        self._observer: abc.ObserverBase[T] | None = observer  # None after disposal
        self._task: asyncio.Task[None] | None = None
        self._call(self._start)

    def dispose(self) -> None:
        if self._observer is not None:
            self._observer = None
            with suppress(RuntimeError):  # the loop was closed, and the task with it
                self._call(self._cancel)

    def _call(self, function: Callable[[], None]) -> None:
        if on_loop(self._loop):
            function()
        else:
            self._loop.call_soon_threadsafe(function)

    def _start(self) -> None:
        if self._observer is not None:
            context = self._context
            self._task = start(self._run, loop=self._loop, name="rx_sse.from_async_iterable", context=context)
            self._task.add_done_callback(self._ended, context=context)

    def _cancel(self) -> None:
        # Disposed from inside of on_next, the task ends by itself; cancelled, it could not await aclose().
        if self._task is not None:
            if self._task is not asyncio.current_task():
                self._task.cancel()
            if self._outlive is not None:
                self._outlive(self._task)

    async def _run(self) -> None:
        iterator = aiter(self._iterable)
        try:
            pause_at = monotonic() + SLICE
            while True:
                try:
                    value = await anext(iterator)
                except StopAsyncIteration:
                    return
                self._emit(value)
                if self._observer is None:
                    return
                if monotonic() >= pause_at:
                    await asyncio.sleep(0)  # an iterable that never waits would hold the loop
                    pause_at = monotonic() + SLICE
        finally:
            await close(iterator)

    def _emit(self, value: T) -> None:
        if self._observer is not None:
            try:
                self._observer.on_next(value)
            except BaseException:
                self._observer = None  # its own failure, not the source's
                raise

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        observer, self._observer = self._observer, None
        error = failure_of(task)
        if error is None and observer is not None and (task.cancelled() or task.exception() is not None):
            error = RuntimeError("the task that pulls an async iterable was cancelled")
        if observer is None:
            if error is not None:
                message = "rx_sse: an async iterable failed after its subscription was disposed of"
                self._loop.call_exception_handler({"message": message, "exception": error})
        elif error is None:
            observer.on_completed()
        else:
            observer.on_error(error if isinstance(error, Exception) else RuntimeError(repr(error)))


class ObservableIterator(AsyncIterator[T]):
    """What `to_async_iterable` returns: an async iterator with `aclose()` and `dropped`."""

    __slots__ = (
        "_buffer",
        "_closed",
        "_context",
        "_observable",
        "_overflow",
        "_scheduler",
        "_subscription",
    )

    def __init__(
        self, observable: Observable[T], overflow: Overflow, scheduler: abc.SchedulerBase | None
    ) -> None:
        self._observable = observable
        self._overflow = overflow
        self._scheduler = scheduler
        self._subscription = SingleAssignmentDisposable()
        self._buffer: Buffer[T] | None = None
        self._context: Context | None = None
        self._closed = False

    @property
    def dropped(self) -> int:
        """Values that the policy has dropped."""
        return self._buffer.dropped if self._buffer is not None else 0

    def __aiter__(self) -> ObservableIterator[T]:
        if not self._closed:
            self._open()
        return self

    async def __anext__(self) -> T:
        if self._closed:
            raise StopAsyncIteration
        try:
            return await self._open().take()
        except Exhausted:
            raise StopAsyncIteration from None
        except StopAsyncIteration as error:  # the source's own failure, which must not look like its end
            raise RuntimeError("the source failed with StopAsyncIteration") from error

    async def aclose(self) -> None:
        """Dispose the subscription. `break` does the same; a task that waits for a value gets the end."""
        self._close()

    def __del__(self) -> None:
        # `async for` drops its iterator when it is left. The source holds on to the buffer, not to us.
        self._close()

    def _open(self) -> Buffer[T]:
        if self._buffer is None:
            loop = asyncio.get_running_loop()
            self._buffer = Buffer(self._overflow, loop)
            self._context = copy_context()
            scheduler = of_subscriber(self._scheduler or LoopScheduler(loop))
            _subscribe(self._observable, self._buffer, self._subscription, scheduler)
        return self._buffer

    def _close(self) -> None:
        self._closed = True
        if self._buffer is not None and self._context is not None:
            self._buffer.forget()
            enter(self._context, self._subscription.dispose)  # a collection may happen anywhere


def _subscribe(
    observable: Observable[T],
    buffer: Buffer[T],
    subscription: SingleAssignmentDisposable,
    scheduler: abc.SchedulerBase,
) -> None:
    def on_next(value: T) -> None:
        buffer.on_next(value)
        if buffer.ended:
            subscription.dispose()

    def subscribe() -> None:
        try:
            subscription.disposable = observable.subscribe(
                on_next, buffer.end, buffer.end, scheduler=scheduler
            )
        except Exception as error:
            buffer.end(error)

    if isinstance(scheduler, LoopScheduler):
        scheduler.run(subscribe, buffer.settle)
    else:
        subscribe()
        buffer.settle()
