"""Runs each subscription's work in the context (`contextvars`) in which it was subscribed.

One callback of the loop does the work of many subscriptions: a timer, an entry of a topic, a value of a
shared source. It runs in one context, that of its first cause. Yet the variables that a user's code reads
there (a tenant, a trace, a language) must be those of its own subscription; so code that calls it for a
subscription uses these functions.

A copy is entered, because a context can be entered only once at a time, and a call may lead to another: a
variable set in one call is not visible in the next. The copy costs 0.15 µs.

Standard: PEP 567.
Never: it wraps a connection's sink, which runs no code of a user's.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import ParamSpec, TypeVar

from reactivex import Observable, abc

from rx_sse.reactive.observer import Callbacks, Functions, Unwrapped, unhandled

P = ParamSpec("P")
T = TypeVar("T")


def enter(context: Context, call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """`call(*args)`, in a copy of a context."""
    return context.copy().run(call, *args, **kwargs)


def entering(context: Context, call: Callable[P, T]) -> Callable[P, T]:
    """A function that runs `call` in a copy of a context."""
    return partial(enter, context, call)


def kept(call: Callable[P, T]) -> Callable[P, T]:
    """A function that runs `call` in the current context."""
    return entering(copy_context(), call)


def is_sink(observer: object) -> bool:
    """Whether an observer is a connection's: it accepts batches, and runs no code of a user's."""
    return hasattr(type(observer), "on_batch")  # without calling it


def kept_observer(observer: Callbacks) -> Callbacks:
    """An observer that is called in the current context; a connection's sink is returned as it is."""
    if is_sink(observer):
        return observer
    call = partial(enter, copy_context())
    on_error = observer.on_error
    return Functions(
        partial(call, observer.on_next),
        unhandled if on_error is unhandled else partial(call, on_error),
        partial(call, observer.on_completed),
    )


class Kept(Unwrapped[T]):
    """A shared source, each of whose observers is called in its own context."""

    def __init__(self, source: Observable[T]) -> None:
        super().__init__()
        self._source = source

    def subscribe_observer(
        self, observer: Callbacks, scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        inner = kept_observer(observer)
        return self._source.subscribe(inner.on_next, inner.on_error, inner.on_completed, scheduler=scheduler)
