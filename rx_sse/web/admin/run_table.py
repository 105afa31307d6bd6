"""The runs of the bus, of all its processes, as the page shows them.

Listing them reads the log, so it is done every few seconds, and only while a page is open.

Never: a page waits for a log that does not answer.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from rx_sse.bus.bus import Bus
from rx_sse.bus.log.lease import RUNNING
from rx_sse.bus.runs.run import RunStatus
from rx_sse.errors import RxSseError, UsageError
from rx_sse.tasks import start
from rx_sse.web.admin.survey import ROWS

EVERY = 2.0
"""Seconds between two queries."""


class RunTable:
    """The status of runs.

    Args:
        bus: the bus.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._shown: dict[str, Any] | None = {"rows": [], "all": 0, "running": 0, "asked": False}
        self._due = 0.0
        self._task: asyncio.Task[None] | None = None

    def shown(self, now: float) -> dict[str, Any] | None:
        """For the page: the newest answer; None if the bus has no runs. Queries again if that is due."""
        if now >= self._due and self._task is None and self._shown is not None:
            self._due = now + EVERY
            self._task = start(self._ask, name="rx_sse admin runs")
        return self._shown

    def ask_again(self) -> None:
        """Something has changed: query again at the next update."""
        self._due = 0.0

    def close(self) -> None:
        """Stop querying."""
        if self._task is not None:
            self._task.cancel()

    async def _ask(self) -> None:
        try:
            runs = await self._bus.runs()
            running = sum(run.state == RUNNING for run in runs)
            self._shown = {"rows": [_row(it) for it in runs[:ROWS]], "all": len(runs), "running": running}
        except UsageError:  # a custom log, without leases
            self._shown = None
        except RxSseError as error:
            self._shown = {"rows": [], "all": 0, "running": 0, "failed": str(error)}
        finally:
            self._task = None


def _row(run: RunStatus) -> dict[str, Any]:
    now = time.time()
    ended = now if run.state == RUNNING else run.since
    return {
        "name": run.name,
        "topic": run.topic,
        "state": run.state,
        "entries": run.entries,
        "ago": round(max(0.0, now - run.since), 1),
        "lasted": round(max(0.0, ended - run.began), 1),
    }
