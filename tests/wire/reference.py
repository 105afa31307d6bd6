"""The event stream as WHATWG HTML §9.2.6 describes it, word for word, for a whole stream at once.

Slow and obvious: it decodes everything, splits everything, and knows nothing of chunks. The parser agrees.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass
class Reading:
    """What a client knows at the end of a stream."""

    events: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    comments: list[str] = field(default_factory=list[str])
    last_event_id: str = ""
    retry: int | None = None


def read(stream: bytes, last_event_id: str = "") -> Reading:
    """Every event as (type, data, last event ID)."""
    result = Reading(last_event_id=last_event_id)
    data = event_type = ""
    id_buffer = last_event_id
    text = stream.decode("utf-8-sig", errors="replace")
    *lines, _unfinished = re.split("\r\n|\n|\r", text)
    for line in lines:
        if line == "":
            result.last_event_id = id_buffer
            if data == "":
                event_type = ""
                continue
            data = data.removesuffix("\n")
            result.events.append((event_type or "message", data, result.last_event_id))
            data = event_type = ""
        elif line.startswith(":"):
            result.comments.append(line[1:].removeprefix(" "))
        else:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                event_type = value
            elif name == "data":
                data += value + "\n"
            elif name == "id" and "\0" not in value:
                id_buffer = value
            elif name == "retry" and re.fullmatch("[0-9]+", value):
                digits = value.lstrip("0") or "0"
                result.retry = 2**31 - 1 if len(digits) > 10 else min(int(digits), 2**31 - 1)
    return result
