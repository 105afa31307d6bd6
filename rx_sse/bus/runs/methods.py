"""What a bus does for runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rx_sse.arguments import function
from rx_sse.bus.core import Core
from rx_sse.bus.runs.owner import Terms
from rx_sse.bus.runs.run import Run, RunStatus
from rx_sse.bus.runs.source import Source


class RunMethods:
    """The methods of a bus that are about runs."""

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
        """Start a run: `source` is subscribed once, in this process, and goes on without readers. What it
        emits, and its end, are entries of `run.topic`. A run that is there already, in any
        process, is joined.

        Args:
            name: of the run; one source for a name.
            source: an Observable, an async iterable, or a function that returns one.
            key: of the request that starts it, an idempotency key: a run that has ended is started again
                under another key, and joined under the same.
            restart: start again what has ended; its topic is another one.
            resume: the run can go on in another process: `resume(values so far)` returns the source there.
            ttl: seconds for which the run is kept after its end.
            max_bytes: of its history; beyond it the oldest entries go.
            lease: seconds after which a process that died is known to have lost the run.

        Raises:
            TopicNameError, UsageError: an argument that makes no sense.
            Overloaded: the log does not answer.
        """
        terms = Terms.of(lease, ttl, max_bytes, resume is not None)
        function("resume", resume, "a function of the values so far that returns the source")
        return await self._core.runs.run(name, source, terms, restart=restart, key=key, resume=resume)

    async def find_run(self, name: str) -> RunStatus | None:
        """What is known of a run, wherever it is; None if it was never started, or its time is over."""
        return await self._core.runs.find(name)

    async def stop(self, name: str, reason: str = "stopped") -> RunStatus:
        """Stop a run, wherever it is, and wait until its source is closed; readers get `stream-end` with the
        reason. One that has ended stays as it is.

        Raises:
            UsageError: there is no such run.
        """
        return await self._core.runs.stop(name, reason)

    async def runs(self) -> list[RunStatus]:
        """The newest runs of all processes, up to 10,000; those that are running first."""
        return await self._core.runs.all()
