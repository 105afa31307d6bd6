"""Observables that call their observer themselves.

reactivex wraps every observer in two objects and a trampoline; with a thousand subscribers that is most of a
delivery. The Observables made here keep the contract themselves, so a delivery is one call of the observer's
own `on_next`.

Standard: the Observable contract (ReactiveX, "The Observable Contract").
Never: a call after `dispose`, `on_error` or `on_completed`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from threading import RLock
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from reactivex import Observable, abc

T = TypeVar("T")


class Callbacks(Protocol):
    """The object that a subscription calls: an observer, or functions."""

    def on_next(self, value: Any, /) -> None: ...
    def on_error(self, error: Exception, /) -> None: ...
    def on_completed(self) -> None: ...


@dataclass(slots=True, eq=False)
class Functions:
    """Three functions as an observer."""

    on_next: Callable[[Any], None]
    on_error: Callable[[Exception], None]
    on_completed: Callable[[], None]


class Unwrapped(Observable[T]):
    """An Observable that keeps the contract itself.

    Attributes:
        scheduled: it passes the scheduler on, to operators in a user's pipeline. An Observable that is not
            needs no scheduler, and runs the user's functions in the subscriber's context by itself.
    """

    scheduled = True

    def __init__(self) -> None:
        """Without reactivex's own part: the function that it would call, and a lock, for each Observable."""

    if not TYPE_CHECKING:  # type checkers would accept any misspelt attribute name

        def __getattr__(self, name: str) -> Any:
            """The lock, when an operator of reactivex asks for it."""
            if name != "lock":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            return self.__dict__.setdefault("lock", RLock())

    def subscribe(
        self,
        on_next: abc.ObserverBase[T] | abc.OnNext[T] | None = None,
        on_error: abc.OnError | None = None,
        on_completed: abc.OnCompleted | None = None,
        *,
        scheduler: abc.SchedulerBase | None = None,
    ) -> abc.DisposableBase:
        """Subscribe an observer or functions, as to any Observable."""
        return self.subscribe_observer(_callbacks(on_next, on_error, on_completed), scheduler)

    def subscribe_observer(
        self, observer: Callbacks, scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        """`subscribe`, also for an object that is not an observer of reactivex's."""
        raise NotImplementedError


@lru_cache(maxsize=512)
def is_kind(type_: Any, base: type) -> bool:
    """`issubclass`, which is slow for the abstract classes of reactivex."""
    return issubclass(type_, base)


def ignore(_: Any) -> None:
    """Discard a value that arrives after disposal."""


def unhandled(error: Exception) -> None:
    """Raise an error for which no `on_error` handler was given."""
    raise error


def _nothing() -> None:
    pass


NOBODY = Functions(ignore, ignore, _nothing)
"""An observer that ignores everything: the subscription has ended."""


def _callbacks(
    on_next: abc.ObserverBase[Any] | abc.OnNext[Any] | None,
    on_error: abc.OnError | None,
    on_completed: abc.OnCompleted | None,
) -> Callbacks:
    """The observer given or made from `subscribe`'s arguments."""
    target: Any = on_next
    if on_next is not None and (
        isinstance(on_next, abc.ObserverBase) or callable(getattr(on_next, "on_next", None))
    ):
        return cast(Callbacks, target)
    return Functions(target or ignore, on_error or unhandled, on_completed or _nothing)
