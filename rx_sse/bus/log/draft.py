"""The input of a log: an entry that has no position yet, and the retention of its topic.

A value is checked and encoded here, once for all its readers, on the thread that pushes it: a value that
cannot be encoded raises there. An idempotency key is stored under a hash of the key, its topic and its user
(the ``Idempotency-Key`` header, draft-ietf-httpapi-idempotency-key-header): the keys of two users never
collide, whatever characters they contain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rx_sse.arguments import count, seconds
from rx_sse.bus.log.entry import JSON, MAX_EVENT, OVERHEAD, TEXT
from rx_sse.bus.log.lease import Claim
from rx_sse.bus.log.position import Position, new_nonce
from rx_sse.bus.names import check_event
from rx_sse.errors import EncodeError, EventTooLarge, PublishRefused
from rx_sse.wire.dumps import DUMPS, Dumps, json_of
from rx_sse.wire.event import ServerSentEvent
from rx_sse.wire.jsontext import dumps_utf8
from rx_sse.wire.raw_frame import RawFrame

KEY_LIFE = 300.0
"""Seconds that an idempotency key is remembered."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of a topic is kept.

    Attributes:
        entries: the maximal number of entries.
        bytes: the maximal size of their text in all.
        age: seconds that an entry is kept; also the life of an unused topic.
    """

    entries: int = 1000
    bytes: int = 8 * 1024 * 1024
    age: float = 3600.0

    @classmethod
    def of(cls, history: int, history_bytes: int, ttl: float) -> Retention:
        """The retention in the units of a bus's arguments.

        Raises:
            UsageError: a number out of range.
        """
        return cls(
            count("history", history, least=0),
            count("history_bytes", history_bytes, least=0),
            seconds("ttl", ttl, zero="would keep nothing, not even the position to resume from"),
        )


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


def hashed_key(user: str | None, topic: str, key: str) -> str:
    """The name under which an idempotency key is stored."""
    return hashlib.sha256(json.dumps([user, topic, key]).encode()).hexdigest()[:32]


def not_stored(why: str) -> PublishRefused:
    """The error for a draft that was certainly not stored, so that it may be published again."""
    return PublishRefused(f"{why}; nothing was stored", retry_after=1.0)


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
        kind, data = TEXT, value if value.isascii() and "\r" not in value else ServerSentEvent(value).data
    elif isinstance(value, ServerSentEvent):
        kind, data = TEXT, value.data
        event = _name_of(value) if event is None else event
    elif isinstance(value, RawFrame):
        raise EncodeError(
            "a RawFrame has no place for a cursor: publish a ServerSentEvent with its event name and data"
        )
    else:
        kind, data = JSON, json_of(value, dumps)
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
