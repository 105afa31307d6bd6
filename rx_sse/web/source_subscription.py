"""A stream's subscription to a source whose operators schedule work.

It subscribes inside the scheduler's queue, so that a source can be stopped while it is still emitting, and in
the handler's context, in which all code of the source runs from then on. A source that schedules nothing (the
events and values of a bus, an async iterable) does not need it: the stream holds its subscription itself.

Standard: the Observable contract (ReactiveX), docs/architecture.md, rule 7.
Never: it leaves a subscription behind, or an exception of the source unreported.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any, Protocol

from reactivex import Observable, abc

from rx_sse.reactive import LoopScheduler
from rx_sse.reactive.contexts import enter
from rx_sse.reactive.observer import Callbacks, Unwrapped


class Subscriber(Protocol):
    """The stream that subscribes."""

    @property
    def ended(self) -> bool: ...
    def subscribed_to(self) -> None: ...
    def settled(self) -> None: ...
    def fail(self, error: Exception) -> None: ...


class SourceSubscription(abc.DisposableBase):
    """One source, and the work that it schedules after the subscription.

    Args:
        stream: notified when the source is subscribed, when the work of its subscription is done, and when it
            fails.
        observer: gets the emissions.
        scheduler: the loop's.
    """

    __slots__ = ("_context", "_observer", "_scheduler", "_settling", "_stream", "_subscription")

    def __init__(self, stream: Subscriber, observer: Callbacks, scheduler: LoopScheduler) -> None:
        self._stream = stream
        self._observer = observer
        self._context = context = copy_context()
        self._scheduler = scheduler.in_context(context.copy())
        self._subscription: abc.DisposableBase | None = None
        # The work of the source during its subscription, and later.
        self._settling: abc.DisposableBase | None = None

    def subscribe(self, source: Observable[Any]) -> None:
        """Subscribe. The stream may have ended when this returns."""
        settling = self._scheduler.run(lambda: self._subscribe(source), self._stream.settled, self._broken)
        if self._stream.ended:
            settling.dispose()
        else:
            self._settling = settling

    def dispose(self) -> None:
        """Dispose of the subscription."""
        subscription, self._subscription = self._subscription, None
        settling, self._settling = self._settling, None
        try:
            if subscription is not None:
                subscription.dispose()
        finally:
            if settling is not None:
                settling.dispose()

    def run(self, call: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Call code of the source, or a report about it, in the handler's context."""
        enter(self._context, call, *args, **kwargs)

    def _subscribe(self, source: Observable[Any]) -> None:
        stream, observer = self._stream, self._observer
        if stream.ended:
            return
        try:
            if isinstance(source, Unwrapped):
                subscription = source.subscribe_observer(observer, self._scheduler)
            else:
                subscription = source.subscribe(
                    observer.on_next, observer.on_error, observer.on_completed, scheduler=self._scheduler
                )
        except Exception as error:
            stream.fail(error)
            return
        if stream.ended:
            subscription.dispose()
        else:
            self._subscription = subscription
            stream.subscribed_to()

    def _broken(self, error: BaseException) -> bool:
        """Scheduled work of the source has raised: without this, the stream would stay open without events.

        Returns:
            Whether it was reported.
        """
        if self._stream.ended:
            return False
        if not isinstance(error, Exception):
            cause, error = error, RuntimeError(f"scheduled work raised {type(error).__name__}")
            error.__cause__ = cause
        self._stream.fail(error)
        return True
