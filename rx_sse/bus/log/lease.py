"""The owner of a run: a lease with a fence, kept in the log.

One owner takes a lease and renews it while its source runs; it expires when it was not renewed in time, by
the clock of the log. Each owner has a higher fence than the owner before. A draft that carries a `Claim` is
stored only while the lease has this fence and its run is running; the draft that ends a run changes the state
in the same step, so a run has exactly one end, whichever process writes it.

Standard: leases (Gray and Cheriton, 1989); fencing tokens (Kleppmann, 2016).
Never: an entry of an owner whose fence is outdated; two ends of one run.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol, runtime_checkable

from rx_sse.bus.names import run_topic

RUNNING: Final = "running"
LOST: Final = "lost"
NO_LEASE: Final = "the run has ended, or has another owner; nothing was stored"
MOST = 10_000
"""Runs that are kept; in Redis, of each partition. Beyond it the runs that ended first are forgotten."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The claim of a draft to its run.

    Attributes:
        fence: the owner's.
        end: the state that the draft brings the run to; None for an ordinary entry.
        life: seconds for which the run is kept from then on.
    """

    fence: int
    end: str | None = None
    life: float = 0.0


@dataclass(frozen=True, slots=True)
class Take:
    """A request to own a run.

    Attributes:
        owner: the requester, unique for each request; repeating a request gets the same answer.
        seconds: the duration of the lease.
        restart: start the run again if it has ended.
        key: start the run again if it has ended under another key; empty for none.
        resumes: take over a run that can be resumed and whose lease has expired.
    """

    owner: str
    seconds: float
    restart: bool = False
    key: str = ""
    resumes: bool = False


@dataclass(frozen=True, slots=True)
class Lease:
    """The record of a run in the log.

    Attributes:
        name: the name of the run.
        generation: the number of its starts; its topic depends on it.
        fence: the fence of its present or last owner.
        state: `running`, or how it ended.
        owner: the owner's name.
        left: seconds until the lease expires; negative after that.
        began, since: epoch seconds of the start, and of the present state.
        resumes: whether another process may continue it.
        key: the key under which it was started.
        entries: entries that its topic has had, the end mark not counted.
        asked: the reason of a request to stop it; empty without one.
    """

    name: str
    generation: int
    fence: int
    state: str
    owner: str
    left: float
    began: float
    since: float
    resumes: bool
    key: str
    entries: int
    asked: str = ""

    @property
    def topic(self) -> str:
        """The topic of its entries."""
        return run_topic(self.name, self.generation)

    @property
    def overdue(self) -> bool:
        """Whether its owner has not renewed the lease in time."""
        return self.state == RUNNING and self.left <= 0


Found = Callable[["Lease | Exception | None"], None]
"""Called with the lease, None if there is no such run, or the error if the log cannot be queried now."""


class Leasing(Protocol):
    """Keeps the leases of runs; its methods call back like those of a log."""

    def take(self, name: str, wish: Take, done: Found) -> None:
        """Own a run, if it has no owner; the answer's `owner` is the owner."""
        ...

    def renew(self, name: str, fence: int, seconds: float, done: Found) -> None:
        """Renew a lease for `seconds`, if it has this fence and its run is running; 0 gives it up."""
        ...

    def look(self, name: str, done: Found) -> None:
        """The lease of a run."""
        ...

    def ask(self, name: str, reason: str, done: Found) -> None:
        """Request the owner of a running run to stop it: the request is noted in its lease."""
        ...

    def all(self, *, overdue: bool, done: Callable[[list[Lease]], None]) -> None:
        """The newest leases, or some that are overdue."""
        ...


@runtime_checkable
class Leased(Protocol):
    """A log that keeps the leases of runs."""

    @property
    def leases(self) -> Leasing:
        """The leases of its runs."""
        ...


class LeaseTable:
    """The leases of a log in this process.

    Args:
        clock: monotonic seconds.
        count: returns the number of entries that a topic has had.
    """

    __slots__ = ("_clock", "_count", "_ends", "_leases", "_past", "_until")

    def __init__(self, clock: Callable[[], float], count: Callable[[str], int]) -> None:
        self._clock = clock
        self._count = count
        self._leases: dict[str, Lease] = {}
        self._until: dict[str, float] = {}
        self._ends: dict[str, tuple[float, str]] = {}  # of ended runs, the one that ended first in front
        self._past: dict[str, float] = {}  # topics of earlier starts, and when their time is over

    def take(self, name: str, wish: Take) -> Lease:
        """See `Leasing.take`."""
        found, now = self.look(name), time.time()
        if found is None:
            number = self._unused(name)
            found = Lease(name, number, 1, RUNNING, wish.owner, 0, now, now, wish.resumes, wish.key, 0)
        elif found.state == RUNNING:
            if found.owner != wish.owner and not (found.overdue and found.resumes and wish.resumes):
                return found
            found = replace(found, owner=wish.owner, fence=found.fence + (found.owner != wish.owner))
        elif wish.restart or (wish.key and wish.key != found.key):
            number, fence = found.generation + 1, found.fence + 1
            until, topic = self._ends.pop(name)
            self._past[topic] = until
            found = Lease(name, number, fence, RUNNING, wish.owner, 0, now, now, wish.resumes, wish.key, 0)
        else:
            return found
        while len(self._leases) >= MOST and self._ends:
            first = next(iter(self._ends))
            self._past[self._forget(first)] = self._clock()
        self._leases[name] = found
        self._until[name] = self._clock() + wish.seconds
        return replace(found, left=wish.seconds)

    def renew(self, name: str, fence: int, seconds: float) -> Lease | None:
        """See `Leasing.renew`."""
        found = self._leases.get(name)
        if found is not None and found.fence == fence and found.state == RUNNING:
            self._until[name] = self._clock() + seconds
        return self.look(name)

    def ask(self, name: str, reason: str) -> Lease | None:
        """See `Leasing.ask`."""
        found = self._leases.get(name)
        if found is not None and found.state == RUNNING:
            self._leases[name] = replace(found, asked=reason)
        return self.look(name)

    def look(self, name: str) -> Lease | None:
        """See `Leasing.look`."""
        found = self._leases.get(name)
        if found is None:
            return None
        left = self._until[name] - self._clock()
        if found.state != RUNNING:
            return replace(found, left=left)
        return replace(found, left=left, entries=self._count(found.topic))

    def all(self, *, overdue: bool) -> list[Lease]:
        """See `Leasing.all`."""
        found = [lease for name in self._leases if (lease := self.look(name)) is not None]
        return [lease for lease in found if lease.overdue] if overdue else found

    def admits(self, name: str, claim: Claim) -> bool:
        """Whether a draft with this claim may be stored now; a draft that is an end becomes the run's only
        end."""
        found = self._leases.get(name)
        if found is None or found.fence != claim.fence or found.state != RUNNING:
            return False
        if claim.end is None:
            return True
        now = self._clock()
        if claim.end == LOST and self._until[name] > now:
            return False
        entries = self._count(found.topic)
        self._leases[name] = replace(found, state=claim.end, since=time.time(), entries=entries)
        self._ends[name] = now + claim.life, found.topic
        return True

    def over(self) -> list[str]:
        """Forget expired runs; returns their topics, and those of earlier starts whose time is over."""
        now = self._clock()
        due = [name for name, (until, _) in self._ends.items() if until <= now]
        past = [topic for topic, until in self._past.items() if until <= now]
        for topic in past:
            del self._past[topic]
        return [*past, *map(self._forget, due)]

    def postpone(self, topic: str) -> None:
        """A topic that `over` returned is watched: return it again."""
        self._past[topic] = self._clock()

    def _unused(self, name: str) -> int:
        """The first generation whose topic holds nothing."""
        return next(it for it in itertools.count(1) if run_topic(name, it) not in self._past)

    def _forget(self, name: str) -> str:
        _, topic = self._ends.pop(name)
        del self._leases[name], self._until[name]
        return topic


class LocalLeases:
    """The leases of a log in this process, as a `Leasing`.

    Args:
        clock: monotonic seconds.
        count: returns the number of entries that a topic has had.

    Attributes:
        table: the leases; it answers at once.
    """

    __slots__ = ("_clock", "_count", "table")

    def __init__(self, clock: Callable[[], float], count: Callable[[str], int]) -> None:
        self._clock = clock
        self._count = count
        self.table = LeaseTable(clock, count)

    def clear(self) -> None:
        """Forget everything."""
        self.table = LeaseTable(self._clock, self._count)

    def take(self, name: str, wish: Take, done: Found) -> None:
        """Own a run, if it has no owner."""
        done(self.table.take(name, wish))

    def renew(self, name: str, fence: int, seconds: float, done: Found) -> None:
        """Renew a lease."""
        done(self.table.renew(name, fence, seconds))

    def look(self, name: str, done: Found) -> None:
        """The lease of a run."""
        done(self.table.look(name))

    def ask(self, name: str, reason: str, done: Found) -> None:
        """Request the owner of a run to stop it."""
        done(self.table.ask(name, reason))

    def all(self, *, overdue: bool, done: Callable[[list[Lease]], None]) -> None:
        """The leases of all runs, or of those that are overdue."""
        done(self.table.all(overdue=overdue))
