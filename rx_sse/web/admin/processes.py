"""The other processes of the bus.

A bus has no list of its processes: they share only a log. So every process with an admin page publishes a
line about itself every few seconds, in the way of presence, under a name that no topic can have; and queries
the lines of the others while a page is open. A process without an admin page is not listed.

Never: another process's line is trusted: it is parsed, cut, and shown as text.
"""

from __future__ import annotations

import json
import math
import os
import socket
import time
from typing import Any, cast

from rx_sse.bus.bus import Bus, core_of
from rx_sse.bus.shared_rosters import PresenceLog
from rx_sse.wire.harmless import one_line

NAME = "!processes"
EVERY = 5.0
"""Seconds between two lines."""
LIFE = 16.0
"""Seconds for which a line is valid: three may be late."""
MOST = 100
"""Processes that are shown."""
FIGURES = ("pid", "started", "streams", "stalled", "topics", "published", "sent")


class Processes:
    """The lines of the processes of a bus.

    Args:
        bus: the bus; None without one.
        version: the version of the library.
    """

    def __init__(self, bus: Bus | None, version: str) -> None:
        log = None if bus is None else core_of(bus).log
        self._log = log if isinstance(log, PresenceLog) else None
        self._kind = "none" if bus is None else type(bus).__name__
        self._process = os.urandom(8).hex()
        self._due = 0.0
        self._others: list[dict[str, Any]] = []
        self._left_out = 0
        self._answered: float | None = None
        self.own: dict[str, Any] = {
            "host": one_line(socket.gethostname(), 100),
            "version": version,
            "pid": os.getpid(),
            "started": time.time(),
        }

    def say(self, now: float, figures: dict[str, float], *, ask: bool) -> None:
        """Publish the line of this process, if it is due.

        Args:
            now: seconds of the loop's clock.
            figures: the figures in the line.
            ask: whether a page needs the other processes' lines.
        """
        self.own |= figures
        if self._log is not None and self._log.ready and now >= self._due:
            self._due = now + EVERY
            said = json.dumps(self.own | {"at": time.time()})
            self._log.present(self._process, LIFE, {NAME: (said, ask)}, self._told)

    def ask(self, now: float) -> None:
        """A page was opened: query at once."""
        self._due = 0.0
        self.say(now, {}, ask=True)

    def close(self) -> None:
        """Withdraw the line of this process."""
        if self._log is not None and self._log.ready:
            self._log.present(self._process, LIFE, {NAME: ("-", False)}, self._told)

    def shown(self) -> dict[str, Any]:
        """For the page."""
        return {
            "bus": self._kind,
            "shared": self._log is not None,
            "known": self._answered is not None,
            "rows": [self.own | {"here": True}, *self._others],
            "left_out": self._left_out,
        }

    def _told(self, _: str, others: list[bytes]) -> None:
        found = sorted(filter(None, map(_parsed, others)), key=lambda it: (it["host"], it["pid"]))
        self._others = found[:MOST]
        self._left_out = len(found) - len(self._others)
        self._answered = time.monotonic()


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The line of one process; None if it is not in the format of this library."""
    try:
        said = cast("dict[str, Any]", json.loads(line))
        figures = {name: float(said.get(name, 0)) for name in FIGURES}
        if not all(math.isfinite(figure) for figure in figures.values()):
            return None
        texts = {name: one_line(str(said.get(name, "")), 100) for name in ("host", "version")}
        return {**texts, **figures, "here": False}
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
