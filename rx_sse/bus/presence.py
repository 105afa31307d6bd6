"""`bus.presence(topic)`: the users that listen now, and an Observable of joins and leaves."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, NoReturn

from reactivex import abc

from rx_sse.bus.core import Core
from rx_sse.bus.rosters import PresenceChange
from rx_sse.errors import UsageError
from rx_sse.reactive.contexts import kept_observer
from rx_sse.reactive.observer import Callbacks, Unwrapped, ignore


class Presence(Unwrapped[PresenceChange]):
    """The users that listen to a topic now, and an Observable of joins and leaves.

    Users are those of `last_event_id(request)` on an authenticated request; a client without a user is only
    counted.
    """

    def __init__(self, core: Core, topic: str) -> None:
        super().__init__()
        self.topic = topic
        self._core = core

    @property
    def members(self) -> Mapping[str, int]:
        """Subscriptions by user, a copy; 0 for one whose last has ended less than `grace` seconds ago, of
        which no change has been reported yet."""
        return self._core.rosters.members(self.topic)

    @property
    def total(self) -> int:
        """All subscriptions, those without a user included."""
        return self._core.rosters.count(self.topic)

    def subscribe_observer(
        self, observer: Callbacks, scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        """Observe joins and leaves from now on."""
        self._core.runtime.require_no_other_loop()
        watch = _Watch(self._core, self.topic, observer)
        self._core.runtime.run_on_loop(watch.start)
        return watch

    def __await__(self) -> Generator[Any, None, NoReturn]:
        raise UsageError("presence is endless: subscribe to it, or read .members, but do not await it")


class _Watch(abc.DisposableBase):
    """One subscription to a topic's joins and leaves. Its observer is called in the context of the
    subscription."""

    __slots__ = ("_core", "_topic", "emit")

    def __init__(self, core: Core, topic: str, callbacks: Callbacks) -> None:
        self._core = core
        self._topic = topic
        emit: Callable[[Any], None] = kept_observer(callbacks).on_next
        self.emit = emit

    def start(self) -> None:
        if self.emit is not ignore:
            self._core.rosters.watch(self._topic, self)

    def fail(self, error: Exception) -> None:
        self._core.runtime.raised("rx_sse: an observer of presence raised and was removed", error)
        self.dispose()

    def dispose(self) -> None:
        self.emit = ignore
        self._core.runtime.run_on_loop(self._leave)

    def _leave(self) -> None:
        self._core.rosters.unwatch(self._topic, self)
