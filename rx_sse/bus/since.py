"""`since=`: which entries are not older than a time.

A duration counts back from the moment of the query; a `datetime` is a moment by the clock that dates the
entries: Redis's own, or this machine's. Both are compared in whole milliseconds, as `bus.history` shows them,
so the time of an entry that was read there finds that entry.

Never: the time zone of a `datetime` without one is guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from rx_sse.bus.log.entry import Entry
from rx_sse.bus.log.wall_clock import milliseconds
from rx_sse.bus.runtime import Runtime
from rx_sse.errors import UsageError

Since = timedelta | datetime
Fresh = Callable[[Entry], bool]
"""Whether an entry is not older than a time."""


def check_since(since: object, name: str = "since") -> Since | None:
    """The value of `since=`, or of another parameter of that kind, checked.

    Raises:
        UsageError: neither a duration of at least 0 nor a moment with a time zone.
    """
    if since is None:
        return None
    if isinstance(since, timedelta):
        if since < timedelta(0):
            raise UsageError(f"{name}={since!r} begins in the future: give a timedelta of at least 0")
        return since
    if not isinstance(since, datetime):
        raise UsageError(f"{name}={since!r} must be a timedelta, or a datetime with a time zone")
    if since.utcoffset() is None:
        raise UsageError(
            f"{name}={since!r} has no time zone, so it is another moment on every machine: give one, as in "
            "datetime.now(UTC) - timedelta(minutes=5), or its astimezone() for the zone of this machine"
        )
    return since


def fresh_since(since: Since, runtime: Runtime) -> Fresh:
    """The test for entries; a duration counts back from now."""
    if isinstance(since, timedelta):
        oldest = runtime.clock() - since.total_seconds()
        return lambda entry: entry.at >= oldest
    first = (since - EPOCH) // MILLISECOND
    wall = runtime.wall
    return lambda entry: milliseconds(wall(entry.at)) >= first


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def moment_of(wall: float) -> datetime:
    """Seconds of the epoch as a `datetime`, in whole milliseconds."""
    return EPOCH + MILLISECOND * milliseconds(wall)
