"""Stored events: what a `SQLiteBus` keeps of a topic, as a `Recording`.

Never: it writes to the file, or disturbs the application that uses it.
"""

from __future__ import annotations

import os
import time
import warnings
from datetime import datetime, timedelta
from itertools import accumulate

from rx_sse.bus.log.entry import END, GAP, Entry
from rx_sse.bus.log.position import cursor_of, part_of, ref_of
from rx_sse.bus.names import check_topic
from rx_sse.bus.since import check_since
from rx_sse.bus.sqlite.recorded import recorded
from rx_sse.errors import UsageError
from rx_sse.notebook.tape import MOST
from rx_sse.reactive.recording import Moment, Recording
from rx_sse.wire import ServerSentEvent


def history(
    path: str | os.PathLike[str],
    topic: str,
    *,
    since: timedelta | datetime | None = None,
    until: timedelta | datetime | None = None,
    name: str = "",
) -> Recording:
    """The events of a topic in the file of a `SQLiteBus`, as if they had been recorded. The file is only
    read; the application may be running.

    Args:
        path: the file.
        topic: the name of the topic.
        since: the beginning: a `timedelta` back from now, or a `datetime` with a time zone. Without it, the
            oldest entry.
        until: the end, in the same form. Without it, now, or without `since` the newest entry.
        name: its name in the diagram; without it, the topic's name.

    Returns:
        The events, as `bus.events` emits them, at the times at which they were published. Apply operators
        with `Recording.through`, to see what they would have emitted.

    Raises:
        TopicNameError: `topic` is not a valid name.
        UsageError: no such file, no such topic, an end before the beginning, or over 100,000 entries.

    Warns:
        RuntimeWarning: the log has lost events in that time.
    """
    check_topic(topic)
    now = time.time()
    begin, end = _moment("since", since, now), _moment("until", until, now)
    if begin is not None and begin >= (now if end is None else end):
        raise UsageError(f"since={since!r} is not before until={until!r}: nothing could be between them")
    entries = recorded(path, topic, begin, end, MOST)
    times = list(
        accumulate((entry.at for entry in entries), max)
    )  # never backwards, even if a clock was set back
    first = begin if begin is not None else times[0] if times else 0.0
    if end is None:
        end = now if begin is not None else times[-1] if times else first
    if any(entry.kind == GAP for entry in entries):
        warnings.warn(f"{topic}: the log has lost events in that time", RuntimeWarning, stacklevel=2)
    ref = ref_of(topic)
    moments = [
        Moment(round(at - first, 3), "next", _event(ref, entry))
        for at, entry in zip(times, entries, strict=True)
        if entry.kind not in (GAP, END)
    ]
    return Recording(moments, seconds=round(end - first, 3), name=name or topic)


def _event(ref: str, entry: Entry) -> ServerSentEvent:
    return ServerSentEvent(entry.data, event=entry.event, id=cursor_of([part_of(ref, entry.position)]))


def _moment(name: str, given: object, now: float) -> float | None:
    """A time in seconds of the epoch."""
    moment = check_since(given, name)
    if moment is None:
        return None
    return now - moment.total_seconds() if isinstance(moment, timedelta) else moment.timestamp()
