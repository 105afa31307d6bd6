"""What a log holds, and what its readers get of it.

An entry knows the position of the one before it; that link is all that the delivery of anything rests on
(`relay`). Its text was encoded once, by the publisher; the event and the value that readers get are made from
it at most once in a process, at the first use, and shared by all of them.

Standard: none.
Never: an entry changes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, cast

from rx_sse.bus.cursor import SEQ_BITS, Position, part_of
from rx_sse.wire.event import ServerSentEvent

JSON: Final = "j"
TEXT: Final = "t"
GAP: Final = "g"
END: Final = "x"

MAX_EVENT = 1_000_000
"""Bytes of an event at publish (resume rules, "Size")."""

OVERHEAD = 100
"""Bytes that an entry is counted with beside its text."""

_MISSING: Any = object()


class Mark:
    """Where an event stands: its `position` attribute.

    Attributes:
        ref: the topic's reference in cursors.
        position: the entry's.
        order: a number that grows along one process's deliveries of the topic, also over a gap after which
            `seq` begins again.
        part: the topic's part of a cursor.
        original: the `id()` of the event that the bus made. A copy of it (`replace`) has the same mark and is
            not it, and
            there may be several copies: none of them can promise that it is the last one of its entry.
    """

    __slots__ = ("order", "original", "part", "position", "ref")

    def __init__(self, ref: str, position: Position, epoch: int) -> None:
        self.ref = ref
        self.position = position
        self.order = epoch << SEQ_BITS | position.seq
        self.part = part_of(ref, position)
        self.original = 0


def marked(event: ServerSentEvent, topic: str, mark: Mark) -> ServerSentEvent:
    """`event` at the place `mark`, with the cursor of a stream that has this one topic."""
    made = event.stamped("1_" + mark.part, topic=topic, position=mark)
    mark.original = id(made)
    return made


@dataclass(frozen=True, slots=True)
class Gap:
    """Events of a topic are missing for a reader.

    Attributes:
        topic: whose.
        reason: ``trimmed`` (the history no longer reaches back), ``reset`` (the log was lost and began
            again), ``withdrawn`` (the broker took back what it had accepted), ``unknown`` (the client's
            cursor is none), ``refused`` (pushed while the queue was full), ``unreadable`` (an entry that
            cannot be sent, is damaged, or was deleted from the log) or ``failed`` (your `filter` or `map`
            raised).
        missed: how many, if that is known.
        last: the position before the loss, if there is one.
        next: the position from which the reader goes on.
    """

    topic: str
    reason: str
    missed: int | None = None
    last: Position | None = None
    next: Position | None = None


class Entry:
    """One entry of a topic's log.

    Args:
        position: its own.
        prev: that of the entry before it.
        kind: `JSON`, `TEXT`, `GAP` or `END`.
        data: the text of a value; for a gap the JSON of its reason, for an end mark that of its.
        event: the event's name, None for ``message``.
        at: when it was appended, in monotonic seconds of this process, as well as the log knows.
    """

    __slots__ = (
        "_epoch",
        "_event",
        "_plain",
        "_value",
        "at",
        "data",
        "event",
        "kind",
        "position",
        "prev",
        "size",
    )

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
        self.data = data
        self.event = event
        self.at = at
        self.size = len(data) + OVERHEAD
        self._value: Any = _MISSING
        self._plain: ServerSentEvent | None = None
        self._event: ServerSentEvent | None = None
        self._epoch = 0

    def value(self) -> Any:
        """The value that was pushed, as JSON gives it back. One object for all readers: not to be changed."""
        if self._value is _MISSING:
            self._value = json.loads(self.data) if self.kind == JSON else self.data
        return self._value

    def plain(self) -> ServerSentEvent:
        """The event without an id."""
        if self._plain is None:
            self._plain = ServerSentEvent(self.data, event=self.event)
        return self._plain

    def marked(self, topic: str, ref: str, epoch: int) -> ServerSentEvent:
        """The event with its place, its id that of a stream of this topic alone."""
        if self._event is None or self._epoch != epoch:
            self._event = marked(self.plain(), topic, Mark(ref, self.position, epoch))
            self._epoch = epoch
        return self._event

    def detail(self) -> dict[str, Any]:
        """What a gap or an end mark says."""
        said = self.value() if self.kind == JSON else json.loads(self.data)
        return cast("dict[str, Any]", said) if isinstance(said, dict) else {}

    def __repr__(self) -> str:
        return f"Entry({self.position.seq}-{self.position.nonce}, {self.kind}, {self.data[:40]!r})"


def gap_data(reason: str, upto: Position | None = None) -> str:
    """The text of a gap entry: why, and up to which position of a lost branch of the log."""
    said: dict[str, Any] = {"reason": reason}
    if upto is not None:
        said["upto"] = list(upto)
    return json.dumps(said)
