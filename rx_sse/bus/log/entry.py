"""An entry of a topic's log, and the forms in which readers get it.

An entry knows the position of the entry before it; all delivery relies on that link (`local_topic`). Its text
is made once, by the publisher; the bytes for the wire are made from it once in a process, with the id that a
stream of this one topic gives it, and then replace the text. An event object is made only where one is
needed: by an operator, `filter`, `map`, a second topic, another content coding.

Never: an entry changes its content.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, cast

from rx_sse.bus.log.position import Position, TracedMark, mark_of, order_of
from rx_sse.wire.event import ServerSentEvent, framed

JSON: Final = "j"
TEXT: Final = "t"
GAP: Final = "g"
END: Final = "x"

MAX_EVENT = 1_000_000
"""Bytes of an event at publish (docs/resume.md §1, "Size")."""

OVERHEAD = 420
"""Bytes that an entry takes beside its text: the object, its position, its id, the framing of its chunk, its
slot in a list. `tests/bus/log/test_memory.py` compares it with the memory of the process."""


TRACE_COST = 130
"""Bytes that a `traceparent` takes beside its entry."""
_TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)


class Entry:
    """One entry of a topic's log.

    Args:
        position: its position.
        prev: the position of the entry before it.
        kind: `JSON`, `TEXT`, `GAP` or `END`.
        data: the text of a value; for a gap or an end mark, the JSON of its reason.
        event: the event's name, None for ``message``.
        at: the time of the append, in monotonic seconds of this process, as far as the log knows it.

    Attributes:
        chunk: its bytes on a stream of this topic alone, with HTTP/1.1 chunk framing; None until `encode`.
        size: bytes for which it counts.
    """

    __slots__ = ("_data", "at", "chunk", "event", "kind", "position", "prev", "size")

    trace: str | None = None
    """The `traceparent` of its publish; a `TracedEntry` has one."""

    def __init__(
        self,
        position: Position,
        prev: Position,
        kind: str,
        data: str,
        event: str | None = None,
        at: float = 0.0,
    ) -> None:
        self.position = position
        self.prev = prev
        self.kind = kind
        self._data: str | None = data
        self.event = event
        self.at = at
        self.size = len(data) + OVERHEAD
        self.chunk: bytes | None = None

    @property
    def data(self) -> str:
        """The text."""
        return self._plain().data if self._data is None else self._data

    def encode(self, ref: str) -> bytes:
        """Encode its bytes for a stream of its topic alone; they replace the text.

        Args:
            ref: the topic's reference in cursors.
        """
        if (made := self.chunk) is None:
            data, (seq, nonce) = self._data, self.position
            assert data is not None
            plain = self.event is None and "\n" not in data
            body = f"data: {data}\n" if plain else _body(data, self.event)
            frame = f"{body}id: 1_{ref}.{seq}.{nonce}\n\n".encode()
            self.chunk = made = b"%x\r\n%b\r\n" % (len(frame), frame)
            self._data = None
        return made

    @property
    def frame(self) -> bytes:
        """Its bytes without chunk framing. It must have been encoded."""
        assert self.chunk is not None
        return self.chunk[self.chunk.index(b"\n") + 1 : -2]

    def value(self) -> Any:
        """The value that was pushed, decoded from JSON."""
        return json.loads(self.data) if self.kind == JSON else self.data

    def plain(self) -> ServerSentEvent:
        """The event without an id."""
        return framed(f"{_body(self.data, self.event)}\n".encode())

    def marked(self, topic: str, ref: str, epoch: int) -> ServerSentEvent:
        """The event with its position, and the id of a stream of this topic alone."""
        self.encode(ref)
        mark = mark_of(ref, self.position, epoch)
        made = framed(self.frame, "1_" + mark.part, topic, mark)
        mark.original = id(made)
        return made

    def detail(self) -> dict[str, Any]:
        """The content of a gap or an end mark."""
        said = json.loads(self.data)
        return cast("dict[str, Any]", said) if isinstance(said, dict) else {}

    def _plain(self) -> ServerSentEvent:
        return framed(self.frame)

    def __repr__(self) -> str:
        return f"Entry({self.position.seq}-{self.position.nonce}, {self.kind}, {self.data[:40]!r})"


class TracedEntry(Entry):
    """An entry whose publish belongs to a trace.

    Args:
        trace: the `traceparent`.
    """

    __slots__ = ("trace",)

    trace: str | None

    def __init__(
        self,
        position: Position,
        prev: Position,
        kind: str,
        data: str,
        event: str | None,
        at: float,
        trace: str,
    ) -> None:
        super().__init__(position, prev, kind, data, event, at)
        self.trace = trace
        self.size += TRACE_COST

    def marked(self, topic: str, ref: str, epoch: int) -> ServerSentEvent:
        """The event with its place, which knows of the publish."""
        self.encode(ref)
        mark = TracedMark(ref, self.position, order_of(self.position, epoch))
        mark.trace = self.trace
        made = framed(self.frame, "1_" + mark.part, topic, mark)
        mark.original = id(made)
        return made


def is_trace(text: object) -> bool:
    """Whether something is a `traceparent` that may be used: what is stored is not trusted."""
    return (
        isinstance(text, str)
        and _TRACE.fullmatch(text) is not None
        and text[3:35] != "0" * 32
        and text[36:52] != "0" * 16
    )


def _body(data: str, event: str | None) -> str:
    """The lines of an event, without its id."""
    body = f"data: {data}\n" if "\n" not in data else "data: " + data.replace("\n", "\ndata: ") + "\n"
    return body if event is None else f"event: {event}\n{body}"


def gap_data(reason: str, upto: Position | None = None) -> str:
    """The text of a gap entry: the reason, and the end of the lost branch of the log, if there is one."""
    said: dict[str, Any] = {"reason": reason}
    if upto is not None:
        said["upto"] = list(upto)
    return json.dumps(said)
