"""The users that listen to a topic, over all processes.

Once a second a process reports its changes and queries the topics that it needs: all in one call. A report is
valid for a while and is repeated before it expires, so the listeners of a process that died expire too. The
reports of other processes are as old as the last answer: a second or two.

Precedent: Phoenix's presence.
Never: a user who still listens in another process is announced as gone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Protocol, runtime_checkable

from rx_sse.bus.rosters import PresenceChange, Rosters, Watcher
from rx_sse.bus.runtime import Runtime

LIFE = 30.0
"""Seconds for which the listeners of a dead process are still counted."""
AGAIN = 10.0
INTEREST = 30.0
"""Seconds for which a topic is queried after its roster was last read."""


@runtime_checkable
class PresenceLog(Protocol):
    """A log in which processes can store who listens to their topics."""

    @property
    def ready(self) -> bool:
        """Whether it can be reached."""
        ...

    def present(
        self,
        process: str,
        life: float,
        said: dict[str, tuple[str, bool]],
        told: Callable[[str, list[bytes]], None],
    ) -> None:
        """Report the listeners of this process, and query those of the others.

        Args:
            process: the name of this process.
            life: seconds for which the report is valid.
            said: for each topic the report (empty: nothing new, ``-``: no listeners), and whether to query
                it.
            told: called for each queried topic, with the reports of the other processes. Not called if the
                log cannot be queried now.
        """
        ...


class SharedRosters(Rosters):
    """The rosters of one bus, with the reports of the other processes. Loop thread only.

    Args:
        runtime: the bus.
        grace: seconds that a user may be disconnected before it counts as having left.
        log: stores the reports.
    """

    __slots__ = ("_changed", "_log", "_process", "_remote", "_said", "_wanted")

    def __init__(self, runtime: Runtime, grace: float, log: PresenceLog) -> None:
        super().__init__(runtime, grace)
        self._log = log
        self._process = os.urandom(8).hex()
        self._changed: dict[str, None] = {}
        self._said: dict[str, float] = {}
        self._wanted: dict[str, float] = {}
        self._remote: dict[str, tuple[dict[str, int], int, float]] = {}

    def join(self, topic: str, user: str | None) -> None:
        """One more subscription."""
        super().join(topic, user)
        self._changed[topic] = None

    def leave(self, topic: str, user: str | None) -> None:
        """One subscription less."""
        super().leave(topic, user)
        self._changed[topic] = None

    def watch(self, topic: str, watcher: Watcher) -> None:
        """Announce changes to `watcher`."""
        super().watch(topic, watcher)
        self._want(topic)

    def announce(self, change: PresenceChange) -> None:
        """Notify the watchers, unless the user also listens in another process."""
        if change.user not in self._others(change.topic)[0]:
            super().announce(change)

    def members(self, topic: str) -> dict[str, int]:
        """Subscriptions by user."""
        self._want(topic)
        merged = super().members(topic)
        for user, count in self._others(topic)[0].items():
            merged[user] = merged.get(user, 0) + count
        return merged

    def count(self, topic: str) -> int:
        """All subscriptions, also those without a user."""
        self._want(topic)
        members, anonymous = self._others(topic)
        return super().count(topic) + sum(members.values()) + anonymous

    def sweep(self, now: float) -> None:
        """Once a second: find users that have left, report, query."""
        super().sweep(now)
        for topic in [it for it, till in self._wanted.items() if till < now and not self.watched(it)]:
            del self._wanted[topic]
            self._remote.pop(topic, None)
        again = [topic for topic, at in self._said.items() if at + AGAIN <= now]
        changed, self._changed = self._changed, {}
        due = dict.fromkeys((*changed, *again))  # each once: what has ended is said once
        said = {topic: (self._mine(topic, now), topic in self._wanted) for topic in due}
        for topic in self._wanted:
            said.setdefault(topic, ("", True))
        if said:
            if not self._log.ready:  # reported when it can be reached, if there is anything to report
                for topic in changed:
                    if said[topic][0]:
                        self._changed[topic] = None
                        self._said.setdefault(topic, now)  # also that it has no listeners any more
            self._log.present(self._process, LIFE, said, self._told)

    def farewell(self) -> None:
        """Report that this process has no listeners any more."""
        said = {topic: ("-", False) for topic in self._said}
        self._said.clear()
        if said:
            self._log.present(self._process, LIFE, said, self._told)

    def _mine(self, topic: str, now: float) -> str:
        members, total = self._here(topic), super().count(topic)
        if not total:
            return "" if self._said.pop(topic, None) is None else "-"
        self._said[topic] = now
        return json.dumps([members, total - sum(members.values())])

    def _here(self, topic: str) -> dict[str, int]:
        """Subscriptions in this process, by user."""
        return {user: count for user, count in super().members(topic).items() if count}

    def _want(self, topic: str) -> None:
        self._wanted[topic] = self.runtime.now() + INTEREST

    def _others(self, topic: str) -> tuple[dict[str, int], int]:
        members, anonymous, till = self._remote.get(topic, ({}, 0, 0.0))
        return (members, anonymous) if till >= self.runtime.now() else ({}, 0)

    def _told(self, topic: str, others: list[bytes]) -> None:
        """The reports of the other processes about a topic."""
        if topic not in self._wanted:  # the answer was late: no roster is read any more
            return
        members: dict[str, int] = {}
        anonymous = 0
        for text in others:
            theirs, nameless = _said(text)
            anonymous += nameless
            for user, count in theirs.items():
                members[user] = members.get(user, 0) + count
        before = self._others(topic)[0]
        here = self._here(topic)
        self._remote[topic] = members, anonymous, self.runtime.now() + LIFE
        for user in [it for it in members if it not in before and it not in here]:
            if self._returned(topic, user):
                self._drop_if_empty(topic, self._rosters[topic])
            else:
                super().announce(PresenceChange(topic, user, True))
        for user in [it for it in before if it not in members and it not in here]:
            self._left(topic, user)


def _said(text: bytes) -> tuple[dict[str, int], int]:
    """The report of one process; empty, if it is not in the format of this library."""
    try:
        members, anonymous = json.loads(text)
        return {str(user): int(count) for user, count in members.items()}, int(anonymous)
    except (ValueError, TypeError, AttributeError):
        return {}, 0
