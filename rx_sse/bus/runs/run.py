"""The result of `bus.run`: a run, in whichever process its source is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rx_sse.bus.log.lease import Lease
from rx_sse.bus.runs.failure import PROBLEMS, Cause
from rx_sse.errors import StreamError


@dataclass(frozen=True, slots=True)
class RunStatus:
    """The status of a run.

    Attributes:
        name: its name.
        topic: the topic of its entries.
        state: `running`, `completed`, `failed`, `stopped` or `lost`.
        began: epoch seconds of its start.
        since: epoch seconds of the present state.
        entries: the number of entries that its topic has had.
    """

    name: str
    topic: str
    state: str
    began: float
    since: float
    entries: int

    @classmethod
    def of(cls, lease: Lease) -> RunStatus:
        """The status in a lease."""
        return cls(lease.name, lease.topic, lease.state, lease.began, lease.since, lease.entries)


class Asked(Protocol):
    """Queries and stops runs."""

    async def known(self, name: str) -> RunStatus: ...
    async def stop(self, name: str, reason: str) -> RunStatus: ...
    async def over(self, name: str, topic: str) -> RunStatus: ...
    async def failure(self, found: RunStatus) -> StreamError: ...


class Run:
    """A run, in this process or another.

    Attributes:
        name: its name.
        topic: the topic of its entries: `bus.events(run.topic, after=…)`.
        started: whether this call has started it; False: it existed, and was joined.
    """

    __slots__ = ("_cause", "_runs", "name", "started", "topic")

    def __init__(self, runs: Asked, lease: Lease, started: bool, cause: Cause) -> None:
        self._runs = runs
        self._cause = cause
        self.name = lease.name
        self.topic = lease.topic
        self.started = started

    async def status(self) -> RunStatus:
        """Its present status.

        Raises:
            Overloaded: the log does not answer in time.
            UsageError: it is no longer kept.
        """
        return await self._runs.known(self.name)

    async def stop(self, reason: str = "stopped") -> RunStatus:
        """Stop it, in any process; see `Bus.stop`."""
        return await self._runs.stop(self.name, reason)

    async def result(self) -> RunStatus:
        """Wait until it has completed or was stopped.

        Raises:
            StreamError: it has failed or was lost: the error that its readers get. In the process of its
                source the exception itself is its `__cause__`, if the run was started or joined before it.
        """
        found = await self._runs.over(self.name, self.topic)
        if found.state in PROBLEMS:
            raise await self._runs.failure(found) from self._cause.error
        return found

    def __repr__(self) -> str:
        return f"Run({self.name!r}, topic={self.topic!r}, started={self.started})"
