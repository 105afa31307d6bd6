"""The methods of a bus for runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rx_sse.arguments import function
from rx_sse.bus.core import Core
from rx_sse.bus.runs.owner import Terms
from rx_sse.bus.runs.run import Run, RunStatus
from rx_sse.bus.runs.source import Source


class RunMethods:
    """The methods of a bus for runs."""

    _core: Core

    async def run(
        self,
        name: str,
        source: Source,
        *,
        key: str | None = None,
        restart: bool = False,
        resume: Callable[[list[Any]], Any] | None = None,
        ttl: float = 3600.0,
        max_bytes: int = 64 * 1024 * 1024,
        lease: float = 10.0,
    ) -> Run:
        """Start a run: `source` is subscribed once, in this process, and continues without readers. Its
        items, and its end, are entries of `run.topic`. An existing run, in any process, is joined.

        Args:
            name: the name of the run; one source for a name.
            source: an Observable, an async iterable, or a function that returns one.
            key: the idempotency key of the request that starts it: an ended run is started again under
                another key, and joined under the same key.
            restart: start an ended run again; the repetition has another topic.
            resume: the run can continue in another process: `resume(values so far)` returns the source there.
            ttl: seconds for which the run is kept after its end.
            max_bytes: bytes of its history; beyond it the oldest entries are dropped.
            lease: seconds after which the run of a dead process counts as lost.

        Raises:
            TopicNameError, UsageError: an invalid argument.
            Overloaded: the log does not answer in time.
        """
        terms = Terms.of(lease, ttl, max_bytes, resume is not None)
        function("resume", resume, "a function of the values so far that returns the source")
        return await self._core.runs.run(name, source, terms, restart=restart, key=key, resume=resume)

    async def find_run(self, name: str) -> RunStatus | None:
        """The status of a run in any process; None if it was never started, or is no longer kept."""
        return await self._core.runs.find(name)

    async def stop(self, name: str, reason: str = "stopped") -> RunStatus:
        """Stop a run in any process, and wait until its source is closed; readers get `stream-end` with the
        reason. An ended run is not changed.

        Raises:
            UsageError: there is no such run.
        """
        return await self._core.runs.stop(name, reason)

    async def runs(self) -> list[RunStatus]:
        """The newest runs of all processes, up to 10,000; running ones first."""
        return await self._core.runs.all()
