"""Who listens to a topic.

A roster counts the subscriptions of each user while a topic has any. Somebody who comes back within the grace
period was never away: a reconnect is neither a leave nor a join.

Standard: none; the precedent is Phoenix's presence, in one process.
Never: anything is kept of a topic that nobody listens to or watches.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from reactivex import abc

from rx_sse.bus.run import shrunk
from rx_sse.errors import UsageError
from rx_sse.reactive.contexts import kept_observer
from rx_sse.reactive.observer import Callbacks, Unwrapped, ignore

if TYPE_CHECKING:
    from rx_sse.bus.engine import Engine


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """Somebody came or went.

    Attributes:
        topic: where.
        user: who.
        joined: True for the first subscription of the user, False when the last one has been gone for the
            grace period.
    """

    topic: str
    user: str
    joined: bool


class _Roster:
    """The listeners of one topic."""

    __slots__ = ("anonymous", "counts", "leaving", "watchers")

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.anonymous = 0
        self.leaving: set[str] = set()
        self.watchers: dict[_Watch, None] = {}

    def empty(self) -> bool:
        return not (self.counts or self.anonymous or self.leaving or self.watchers)


class Rosters:
    """The rosters of one bus. Loop thread only.

    Args:
        bus: whose.
        grace: seconds that somebody may be away without having left.
    """

    __slots__ = ("_bus", "_grace", "_leaving", "_peak", "_rosters")

    def __init__(self, bus: Engine, grace: float) -> None:
        self._bus = bus
        self._grace = grace
        self._rosters: dict[str, _Roster] = {}
        self._peak = 0
        self._leaving: OrderedDict[tuple[str, str], float] = OrderedDict()

    def join(self, topic: str, user: str | None) -> None:
        """One more subscription."""
        roster = self._roster(topic)
        if user is None:
            roster.anonymous += 1
            return
        present = user in roster.counts or user in roster.leaving
        roster.counts[user] = roster.counts.get(user, 0) + 1
        if user in roster.leaving:
            roster.leaving.discard(user)
            del self._leaving[topic, user]
        if not present:
            self.announce(PresenceChange(topic, user, True))

    def leave(self, topic: str, user: str | None) -> None:
        """One subscription less."""
        roster = self._rosters[topic]
        if user is None:
            roster.anonymous -= 1
        elif roster.counts[user] > 1:
            roster.counts[user] -= 1
        else:
            del roster.counts[user]
            if roster.watchers:  # a leave that nobody waits for needs no grace
                roster.leaving.add(user)
                self._leaving[topic, user] = self._bus.now() + self._grace
        self._drop_if_empty(topic, roster)

    def sweep(self, now: float) -> None:
        """Those whose grace is over have left."""
        self._rosters, self._peak = shrunk(self._rosters, self._peak)
        while self._leaving:
            (topic, user), due = next(iter(self._leaving.items()))
            if due > now:
                return
            del self._leaving[topic, user]
            roster = self._rosters[topic]
            roster.leaving.discard(user)
            self.announce(PresenceChange(topic, user, False))
            self._drop_if_empty(topic, roster)

    def members(self, topic: str) -> dict[str, int]:
        """Subscriptions by user."""
        roster = self._rosters.get(topic)
        return {} if roster is None else dict(roster.counts)

    def count(self, topic: str) -> int:
        """All subscriptions, also of those who have no name."""
        roster = self._rosters.get(topic)
        return 0 if roster is None else sum(roster.counts.values()) + roster.anonymous

    def watch(self, topic: str, watch: _Watch) -> None:
        """Announce changes to `watch`."""
        self._roster(topic).watchers[watch] = None

    def watched(self, topic: str) -> bool:
        """Whether anybody waits for joins and leaves."""
        roster = self._rosters.get(topic)
        return roster is not None and bool(roster.watchers)

    def unwatch(self, topic: str, watch: _Watch) -> None:
        """Announce no more."""
        if (roster := self._rosters.get(topic)) is not None:
            roster.watchers.pop(watch, None)
            self._drop_if_empty(topic, roster)

    def __len__(self) -> int:
        return len(self._rosters)

    def _roster(self, topic: str) -> _Roster:
        roster = self._rosters.get(topic)
        if roster is None:
            roster = self._rosters[topic] = _Roster()
        return roster

    def _drop_if_empty(self, topic: str, roster: _Roster) -> None:
        if roster.empty():
            self._rosters.pop(topic, None)

    def announce(self, change: PresenceChange) -> None:
        """Tell the watchers of a topic."""
        roster = self._rosters.get(change.topic)
        if roster is not None and roster.watchers:
            self._bus.dispatcher.hand(tuple(roster.watchers), change, lambda watch, it: watch.emit(it))


class _Watch(abc.DisposableBase):
    """One subscription to a topic's joins and leaves."""

    __slots__ = ("_bus", "_topic", "emit")

    def __init__(self, bus: Engine, topic: str, callbacks: Callbacks) -> None:
        self._bus = bus
        self._topic = topic
        self.emit: Callable[[Any], None] = kept_observer(callbacks).on_next

    def start(self) -> None:
        if self.emit is not ignore:
            self._bus.rosters.watch(self._topic, self)

    def fail(self, error: Exception) -> None:
        self._bus.report("rx_sse: an observer of presence raised and was let go", error)
        self.dispose()

    def dispose(self) -> None:
        self.emit = ignore
        self._bus.run_on_loop(self._leave)

    def _leave(self) -> None:
        self._bus.rosters.unwatch(self._topic, self)


class Presence(Unwrapped[PresenceChange]):
    """Who listens to a topic now, and an Observable of who comes and goes.

    Users are those of `last_event_id(request)` on an authenticated request; who has no name is only counted.
    """

    def __init__(self, bus: Engine, topic: str) -> None:
        super().__init__()
        self.bus = bus
        self.topic = topic

    @property
    def members(self) -> Mapping[str, int]:
        """Subscriptions by user, a copy."""
        return self.bus.rosters.members(self.topic)

    @property
    def total(self) -> int:
        """All subscriptions, those without a name included."""
        return self.bus.rosters.count(self.topic)

    def subscribe_observer(
        self, observer: Callbacks, scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        """Be told of joins and leaves from now on."""
        self.bus.require_no_other_loop()
        watch = _Watch(self.bus, self.topic, observer)
        self.bus.run_on_loop(watch.start)
        return watch

    def __await__(self) -> Generator[Any, None, NoReturn]:
        raise UsageError("presence is endless: subscribe to it, or read .members, but do not await it")
