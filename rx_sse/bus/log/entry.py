"""An entry of a topic's log: as a draft, before the log has numbered it, and in the forms in which readers
get it.

A value is checked and encoded as text once for all its readers, on the thread that pushes it (`draft_of`): a
value that cannot be encoded raises there.

An entry knows the position of the entry before it; all delivery relies on that link (`local_topic`). The
bytes for the wire are made from its text once in a process, with the id that a stream of this one topic gives
it, and a history keeps them in place of the text. An event object is made only where one is needed: by an
operator, `filter`, `map`, a second topic, another content coding.

Never: an entry changes its content.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, cast

from rx_sse.bus.log.idempotency import KEY_LIFE
from rx_sse.bus.log.lease import Claim
from rx_sse.bus.log.position import (
    MASK,
    SHIFT,
    Position,
    TracedMark,
    mark_of,
    new_nonce,
    nonce_of,
    order_of,
    seq_of,
    text_of,
)
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.names import check_event
from rx_sse.errors import EncodeError, EventTooLarge
from rx_sse.wire.dumps import DUMPS, Dumps, json_of
from rx_sse.wire.event import ServerSentEvent, framed
from rx_sse.wire.fields import utf8
from rx_sse.wire.jsontext import dumps_utf8
from rx_sse.wire.raw_frame import RawFrame

JSON: Final = "j"
TEXT: Final = "t"
GAP: Final = "g"
END: Final = "x"

MAX_EVENT = 1_000_000
"""Bytes of an event at publish (docs/resume.md §1, "Size")."""

OVERHEAD = 420
"""Bytes that an entry takes beside its text: the tuple, its position, its id, the framing of its chunk, its
slot in a list. `tests/bus/log/test_memory.py` compares it with the memory of the process."""

TRACE_COST = 130
"""Bytes that a `traceparent` takes beside its entry."""

Stored = tuple[Position, float, str, str | None, bytes, int, str | None]
"""An entry in a history: position, time, kind, event name, chunk, size, trace.

A tuple of numbers and texts is dropped by Python's garbage collector from what it looks at, the first time
that it sees it; an object never is, and a full collection over the history of a busy bus took 80 ms.
"""


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
        text: its text; None where only the chunk is kept, so that a lagging client does not hold both.
    """

    __slots__ = ("at", "chunk", "event", "kind", "position", "prev", "size", "text")

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
        self.text: str | None = data
        self.event = event
        self.at = at
        self.size = len(data) + OVERHEAD
        self.chunk: bytes | None = None

    @property
    def data(self) -> str:
        """The text."""
        return self._plain().data if self.text is None else self.text

    def encode(self, ref: str) -> bytes:
        """Encode its bytes for a stream of its topic alone, once.

        Args:
            ref: the topic's reference in cursors.
        """
        if (made := self.chunk) is None:
            data, position = self.text, self.position
            seq, nonce = position >> SHIFT, position & MASK
            assert data is not None
            if self.event is None and "\n" not in data:  # most entries
                frame = f"data: {data}\nid: 1_{ref}.{seq}.{nonce}\n\n".encode()
            else:
                frame = f"{_body(data, self.event)}id: 1_{ref}.{seq}.{nonce}\n\n".encode()
            self.chunk = made = b"%x\r\n%b\r\n" % (len(frame), frame)
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
        return f"Entry({text_of(self.position)}, {self.kind}, {self.data[:40]!r})"


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


def restored(stored: Stored, prev: Position) -> Entry:
    """An entry of a history.

    Args:
        stored: as it is in the history.
        prev: the position of the entry before it.
    """
    position, at, kind, event, chunk, size, trace = stored
    if trace is None:
        entry = Entry.__new__(Entry)
    else:
        entry = traced = TracedEntry.__new__(TracedEntry)
        traced.trace = trace
    entry.position = position
    entry.prev = prev
    entry.kind = kind
    entry.text = None
    entry.event = event
    entry.at = at
    entry.size = size
    entry.chunk = chunk
    return entry


def _body(data: str, event: str | None) -> str:
    """The lines of an event, without its id."""
    body = f"data: {data}\n" if "\n" not in data else "data: " + data.replace("\n", "\ndata: ") + "\n"
    return body if event is None else f"event: {event}\n{body}"


def gap_data(reason: str, upto: Position | None = None) -> str:
    """The text of a gap entry: the reason, and the end of the lost branch of the log, if there is one."""
    said: dict[str, Any] = {"reason": reason}
    if upto is not None:
        said["upto"] = [seq_of(upto), nonce_of(upto)]
    return json.dumps(said)


class Draft:
    """An entry that has no position yet.

    Args:
        topic: its topic.
        kind, data, event: as in `Entry`.
        retention: how much of the topic is kept from now on.
        key: an idempotency key, already hashed with its owner and topic; None for none.
        key_life: seconds for which the key is remembered.
        settle: called with the result: the position, or the reason why there is none.

    Attributes:
        claim: the claim of the owner of a run; None if the draft belongs to no run.
        trace: the `traceparent` of its publish, None for none.
        drawn: its nonce, once there is one; 0 until then.
    """

    __slots__ = (
        "claim",
        "data",
        "drawn",
        "event",
        "key",
        "key_life",
        "kind",
        "retention",
        "settle",
        "size",
        "topic",
        "trace",
    )

    def __init__(
        self,
        topic: str,
        kind: str,
        data: str,
        event: str | None,
        retention: Retention,
        *,
        key: str | None = None,
        key_life: float = KEY_LIFE,
        settle: Callable[[Position | Exception], None] | None = None,
    ) -> None:
        self.topic = topic
        self.kind = kind
        self.data = data
        self.event = event
        self.retention = retention
        self.key = key
        self.key_life = key_life
        self.settle = settle
        self.claim: Claim | None = None
        self.trace: str | None = None
        self.drawn = 0
        self.size = len(data) + OVERHEAD

    @property
    def nonce(self) -> int:
        """A number made by the publisher, so that a repeated append can be recognised."""
        if not self.drawn:
            self.drawn = new_nonce()
        return self.drawn


def draft_of(
    topic: str, value: Any, event: str | None, retention: Retention, dumps: Dumps | None = None
) -> Draft:
    """A value as a draft; `dumps` replaces the JSON encoder.

    The library's own entries (a gap, the end of a topic) are drafts of another kind and are not made here.

    Raises:
        EncodeError: it cannot be encoded, or its name is one that clients act on (`check_event`).
        EventTooLarge: it is over 1 MB.
    """
    if type(value) is dict and dumps is None and DUMPS.get() is None:  # most pushes
        kind, data = JSON, dumps_utf8(value).decode()
    elif isinstance(value, str):
        # A text without a carriage return or a surrogate needs no further check.
        usual = type(value) is str and value.isascii() and "\r" not in value
        kind, data = TEXT, value if usual else ServerSentEvent(value).data
    elif isinstance(value, ServerSentEvent):
        kind, data = TEXT, value.data
        event = _name_of(value) if event is None else event
    elif isinstance(value, RawFrame):
        raise EncodeError(
            "a RawFrame has no place for a cursor: publish a ServerSentEvent with its event name and data"
        )
    else:
        kind, data = JSON, json_of(value, dumps)
        if not data.isascii():
            utf8("data", data)  # what a `dumps` of the user's returned
        if "\n" in data or "\r" in data:  # JSON laid out over several lines is made one line
            data = data.replace("\r", " ").replace("\n", " ")
    if event is not None:
        event = check_event(event)
    if len(data) * 4 > MAX_EVENT and len(data.encode()) > MAX_EVENT:
        raise EventTooLarge(
            f"{topic}: {len(data.encode()):,} bytes, and {MAX_EVENT:,} is the most; publish a reference to it"
        )
    return Draft(topic, kind, data, event, retention)


def _name_of(event: ServerSentEvent) -> str | None:
    for field, found in (("id", event.id), ("retry", event.retry), ("comment", event.comment)):
        if found is not None and event.position is None:
            raise EncodeError(
                f"{field}: {found!r}: an event on a topic has data and a name only; the bus gives the ids"
            )
    if not event.has_data:
        raise EncodeError("an event on a topic needs data: without it no browser would hand it to the page")
    return event.event
