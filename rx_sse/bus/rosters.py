"""The users that listen to the topics of a process.

A roster counts the subscriptions of each user while a topic has any; subscriptions without a user are a
number. A user that reconnects within the grace
period has not left: a reconnect is neither a leave nor a join.

Precedent: Phoenix's presence, in one process.
Never: a topic without listeners and watchers keeps any state.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from rx_sse.bus.log.history import shrunk
from rx_sse.bus.runtime import Runtime


@dataclass(frozen=True, slots=True)
class PresenceChange:
    """A user joined or left.

    Attributes:
        topic: the topic's name.
        user: the user's id.
        joined: True for the first subscription of the user, False when the last one has been gone for the
            grace period.
    """

    topic: str
    user: str
    joined: bool


class Watcher(Protocol):
    """A subscription to the joins and leaves of a topic."""

    @property
    def emit(self) -> Callable[[Any], None]: ...

    def fail(self, error: Exception) -> None: ...


class _Roster:
    """The users that listen to one topic."""

    __slots__ = ("counts", "leaving", "watchers")

    def __init__(self) -> None:
        self.counts: dict[str, int] | None = None
        self.leaving: set[str] | None = None
        self.watchers: dict[Watcher, None] | None = None

    def empty(self) -> bool:
        return not (self.counts or self.leaving or self.watchers)


class Rosters:
    """The rosters of one bus. Loop thread only.

    Args:
        runtime: the bus.
        grace: seconds that a user may be disconnected before it counts as having left.
    """

    __slots__ = ("_anonymous", "_grace", "_leaving", "_peaks", "_rosters", "runtime")

    def __init__(self, runtime: Runtime, grace: float) -> None:
        self.runtime = runtime
        self._grace = grace
        self._rosters: dict[str, _Roster] = {}
        self._anonymous: dict[str, int] = {}
        self._peaks = (0, 0)
        self._leaving: OrderedDict[tuple[str, str], float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rosters.keys() | self._anonymous.keys())

    def join(self, topic: str, user: str | None) -> None:
        """One more subscription."""
        if user is None:
            self._anonymous[topic] = self._anonymous.get(topic, 0) + 1
            return
        roster = self._roster(topic)
        if roster.counts is None:
            roster.counts = {}
        present = user in roster.counts or self._returned(topic, user)
        roster.counts[user] = roster.counts.get(user, 0) + 1
        if not present:
            self.announce(PresenceChange(topic, user, True))

    def leave(self, topic: str, user: str | None) -> None:
        """One subscription less."""
        if user is None:
            left = self._anonymous[topic] = self._anonymous[topic] - 1
            if not left:
                del self._anonymous[topic]
            return
        roster = self._rosters[topic]
        counts = roster.counts or {}
        if counts[user] > 1:
            counts[user] -= 1
        else:
            del counts[user]
            self._left(topic, user)
        self._drop_if_empty(topic, roster)

    def sweep(self, now: float) -> None:
        """Announce the leave of each user whose grace period is over."""
        rosters, anonymous = self._peaks
        self._rosters, rosters = shrunk(self._rosters, rosters)
        self._anonymous, anonymous = shrunk(self._anonymous, anonymous)
        self._peaks = (rosters, anonymous)
        while self._leaving:
            (topic, user), due = next(iter(self._leaving.items()))
            if due > now:
                return
            del self._leaving[topic, user]
            roster = self._rosters[topic]
            if roster.leaving is not None:
                roster.leaving.discard(user)
            self.announce(PresenceChange(topic, user, False))
            self._drop_if_empty(topic, roster)

    def farewell(self) -> None:
        """The bus closes, and with it these rosters."""

    def members(self, topic: str) -> dict[str, int]:
        """Subscriptions by user; 0 for a user within the grace period, whose return is not announced."""
        roster = self._rosters.get(topic)
        if roster is None:
            return {}
        return dict.fromkeys(roster.leaving or (), 0) | (roster.counts or {})

    def count(self, topic: str) -> int:
        """All subscriptions, also those without a user."""
        roster = self._rosters.get(topic)
        users = 0 if roster is None else sum((roster.counts or {}).values())
        return users + self._anonymous.get(topic, 0)

    def watch(self, topic: str, watcher: Watcher) -> None:
        """Announce changes to `watcher`."""
        roster = self._roster(topic)
        if roster.watchers is None:
            roster.watchers = {}
        roster.watchers[watcher] = None

    def watched(self, topic: str) -> bool:
        """Whether joins and leaves have a watcher."""
        roster = self._rosters.get(topic)
        return roster is not None and bool(roster.watchers)

    def unwatch(self, topic: str, watcher: Watcher) -> None:
        """Stop announcing changes to `watcher`."""
        if (roster := self._rosters.get(topic)) is not None:
            if roster.watchers is not None:
                roster.watchers.pop(watcher, None)
            self._drop_if_empty(topic, roster)

    def announce(self, change: PresenceChange) -> None:
        """Notify the watchers of a topic."""
        roster = self._rosters.get(change.topic)
        if roster is not None and roster.watchers:
            self.runtime.fanout.hand(tuple(roster.watchers), change, lambda watcher, it: watcher.emit(it))

    def _left(self, topic: str, user: str) -> None:
        """The grace period of a user begins. Without a watcher, a leave needs none."""
        roster = self._rosters.get(topic)
        if roster is not None and roster.watchers:
            if roster.leaving is None:
                roster.leaving = set()
            roster.leaving.add(user)
            self._leaving.pop((topic, user), None)
            self._leaving[topic, user] = self.runtime.now() + self._grace

    def _returned(self, topic: str, user: str) -> bool:
        """Whether a user was within its grace period, which is over."""
        if self._leaving.pop((topic, user), None) is None:
            return False
        roster = self._rosters[topic]
        if roster.leaving is not None:
            roster.leaving.discard(user)
        return True

    def _roster(self, topic: str) -> _Roster:
        roster = self._rosters.get(topic)
        if roster is None:
            roster = self._rosters[topic] = _Roster()
        return roster

    def _drop_if_empty(self, topic: str, roster: _Roster) -> None:
        if roster.empty():
            self._rosters.pop(topic, None)
