"""An entry of a topic's log, and what its readers get of it.

An entry knows the position of the one before it; that link is all that the delivery of anything rests on
(`local_topic`). Its text is made once, by the publisher; the bytes that go over the wire are made from it
once in a process, with the id that a stream of this one topic gives it, and then take its place. An event is
an object of its own only where something asks for one: an operator, `filter`, `map`, a second topic, another
coding.

Never: an entry changes its meaning.
"""

from __future__ import annotations

import json
from typing import Any, Final, cast

from rx_sse.bus.log.position import Position, mark_of
from rx_sse.wire.event import ServerSentEvent, framed

JSON: Final = "j"
TEXT: Final = "t"
GAP: Final = "g"
END: Final = "x"

MAX_EVENT = 1_000_000
"""Bytes of an event at publish (docs/resume.md §1, "Size")."""

OVERHEAD = 420
"""Bytes that an entry takes beside its text: the object, its position, its id, the framing of its chunk, its
place in a list. Compared with what the process takes by `tests/bus/log/test_memory.py`."""


class Entry:
    """One entry of a topic's log.

    Args:
        position: its own.
        prev: that of the entry before it.
        kind: `JSON`, `TEXT`, `GAP` or `END`.
        data: the text of a value; for a gap the JSON of its reason, for an end mark that of its.
        event: the event's name, None for ``message``.
        at: when it was appended, in monotonic seconds of this process, as well as the log knows.

    Attributes:
        chunk: its bytes on a stream of this topic alone, with HTTP/1.1 chunk framing; None until `encode`.
        size: bytes that it counts as.
    """

    __slots__ = ("_data", "at", "chunk", "event", "kind", "position", "prev", "size")

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
        """The bytes on a stream of its topic alone; they take the place of the text.

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
        """The same without chunk framing. It must have been encoded."""
        assert self.chunk is not None
        return self.chunk[self.chunk.index(b"\n") + 1 : -2]

    def value(self) -> Any:
        """The value that was pushed, as JSON gives it back."""
        return json.loads(self.data) if self.kind == JSON else self.data

    def plain(self) -> ServerSentEvent:
        """The event without an id."""
        return framed(f"{_body(self.data, self.event)}\n".encode())

    def marked(self, topic: str, ref: str, epoch: int) -> ServerSentEvent:
        """The event with its place, its id that of a stream of this topic alone."""
        self.encode(ref)
        mark = mark_of(ref, self.position, epoch)
        made = framed(self.frame, "1_" + mark.part, topic, mark)
        mark.original = id(made)
        return made

    def detail(self) -> dict[str, Any]:
        """What a gap or an end mark says."""
        said = json.loads(self.data)
        return cast("dict[str, Any]", said) if isinstance(said, dict) else {}

    def _plain(self) -> ServerSentEvent:
        return framed(self.frame)

    def __repr__(self) -> str:
        return f"Entry({self.position.seq}-{self.position.nonce}, {self.kind}, {self.data[:40]!r})"


def _body(data: str, event: str | None) -> str:
    """The lines of an event but its id."""
    body = f"data: {data}\n" if "\n" not in data else "data: " + data.replace("\n", "\ndata: ") + "\n"
    return body if event is None else f"event: {event}\n{body}"


def gap_data(reason: str, upto: Position | None = None) -> str:
    """The text of a gap entry: why, and up to which position of a lost branch of the log."""
    said: dict[str, Any] = {"reason": reason}
    if upto is not None:
        said["upto"] = list(upto)
    return json.dumps(said)
