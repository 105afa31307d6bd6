"""What `bus.run` returns: a run, wherever its source is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rx_sse.bus.log.lease import Lease
from rx_sse.bus.runs.failure import PROBLEMS, failure_of_run


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What is known of a run.

    Attributes:
        name: its name.
        topic: where its entries are.
        state: `running`, `completed`, `failed`, `stopped` or `lost`.
        began: epoch seconds of its start.
        since: epoch seconds of the present state.
        entries: how many its topic has had.
    """

    name: str
    topic: str
    state: str
    began: float
    since: float
    entries: int

    @classmethod
    def of(cls, lease: Lease) -> RunStatus:
        """As the log has it."""
        return cls(lease.name, lease.topic, lease.state, lease.began, lease.since, lease.entries)


class Asked(Protocol):
    """What knows of runs."""

    async def known(self, name: str) -> RunStatus: ...
    async def stop(self, name: str, reason: str) -> RunStatus: ...
    async def over(self, name: str, topic: str) -> RunStatus: ...


class Run:
    """A run, in this process or another.

    Attributes:
        name: its name.
        topic: where its entries are: `bus.events(run.topic, after=…)`.
        started: whether this call has started it; False: it was there, and was joined.
    """

    __slots__ = ("_runs", "name", "started", "topic")

    def __init__(self, runs: Asked, lease: Lease, started: bool) -> None:
        self._runs = runs
        self.name = lease.name
        self.topic = lease.topic
        self.started = started

    async def status(self) -> RunStatus:
        """What is known of it now.

        Raises:
            Overloaded: the log does not answer.
            UsageError: it is forgotten.
        """
        return await self._runs.known(self.name)

    async def stop(self, reason: str = "stopped") -> RunStatus:
        """Stop it, wherever it runs; see `Bus.stop`."""
        return await self._runs.stop(self.name, reason)

    async def result(self) -> RunStatus:
        """Wait until it has completed or was stopped.

        Raises:
            StreamError: it has failed, masked, or was lost.
        """
        found = await self._runs.over(self.name, self.topic)
        if found.state in PROBLEMS:
            raise failure_of_run(PROBLEMS[found.state])
        return found

    def __repr__(self) -> str:
        return f"Run({self.name!r}, topic={self.topic!r}, started={self.started})"
