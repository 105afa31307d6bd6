"""One event, checked and encoded when it is made.

Standard: WHATWG HTML §9.2 (server-sent events). Every conforming parser reads back exactly what is written
here: data is split at CR LF, LF and CR only, and a field that the format cannot carry unchanged is refused,
with the value in the message. Nothing is ever removed, renumbered or dropped silently.

An event is immutable, so one object serves every connection, and its bytes are encoded at most once: the
frame with the event, the HTTP chunk and the compressed chunk when the first connection needs them.
"""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import TYPE_CHECKING, Any, NoReturn, final

from rx_sse.errors import EncodeError
from rx_sse.wire.chunk import chunk, zstd_chunk
from rx_sse.wire.dumps import Dumps, json_of
from rx_sse.wire.fields import event_name, id_text, newlines, refuse_ended, retry_ms, shown, string, utf8

__all__ = ["ServerSentEvent"]

_BODY = re.compile(rb"(?:: [^\r\n]*\n)*(?:(?:event: [^\r\n\0]+\n)?(?:data: [^\r\n]*\n)+)?")


class _NotGiven:
    def __repr__(self) -> str:
        return "<not given>"


_MISSING: Any = _NotGiven()


@final
class Transient(Enum):
    """The `position` of an event that is never repeated after a reconnect: it is sent without an id, and the
    cursor of its stream does not move.
    """

    TRANSIENT = "transient"


TRANSIENT = Transient.TRANSIENT


class _Draft:
    """An event under construction: its slots are set here, and then it becomes a `ServerSentEvent`.

    This takes a quarter of the time of `object.__setattr__` in a frozen class. Slots that are not set are
    filled at first use, by `ServerSentEvent.__getattr__`.
    """

    __slots__ = (
        "chunk",
        "comment",
        "data",
        "event",
        "frame",
        "has_data",
        "id",
        "position",
        "retry",
        "topic",
        "zstd_chunk",
    )

    chunk: bytes
    comment: str | None
    data: str
    event: str | None
    frame: bytes
    has_data: bool
    id: str | None
    position: object
    retry: int | None
    topic: str | None
    zstd_chunk: bytes


@final
class ServerSentEvent(_Draft):
    """An event: what a handler emits when it wants more than plain data, and what a client receives.

    Args:
        data: a ``str`` is sent as it is, one ``data:`` line per line; anything else is sent as JSON, ``None``
            included (``null``). Leave it out for an event that carries only a comment, an id or a retry;
            those reach no listener.
        event: the name that a page listens for with ``addEventListener``; without one it is ``"message"``.
        id: the client sends it back as ``Last-Event-ID`` when it reconnects; ``""`` makes the client forget
            its last id.
        retry: milliseconds that the client waits before it reconnects.
        comment: text that clients ignore, for a person who reads the stream with ``curl``.
        dumps: replaces the JSON encoder for this event; without it the stream's own `dumps=` is used.

    Attributes:
        data: the text on the wire, which is what ``e.data`` is in a browser; ``""`` if there was no data.
        has_data: whether the event has a data field.
        event, id, retry, comment: as given, None if not. The `id` of a received event is the one in force
            when it was received, whichever event set it; comments are not kept.
        topic: the topic that the event came from, None unless it came from a bus.

    Raises:
        EncodeError: a field that the format cannot carry unchanged.
    """

    # For the library, beside the fields above: `frame` is the complete text with its blank line, `chunk` the
    # same in HTTP/1.1 chunk framing, `zstd_chunk` compressed before that, `position` its place in the log of
    # the bus.
    __slots__ = ()

    def __new__(
        cls,
        data: Any = _MISSING,
        *,
        event: str | None = None,
        id: str | None = None,
        retry: int | None = None,
        comment: str | None = None,
        dumps: Dumps | None = None,
    ) -> ServerSentEvent:
        if id is not None:
            refuse_ended(id)
        return made(data, event=event, id=id, retry=retry, comment=comment, dumps=dumps)

    @property
    def type(self) -> str:
        """The type that listeners subscribe to: the event name, or ``"message"``."""
        return self.event or "message"

    @property
    def last_event_id(self) -> str:
        """The last event ID of a client that received this event; set on a received event and on one with an
        `id`."""
        return self.id or ""

    @property
    def is_control(self) -> bool:
        """Whether it is one of the library's own events, named ``stream-…``."""
        return self.event is not None and self.event.startswith("stream-")

    def json(self) -> Any:
        """Decode `data` as JSON.

        Raises:
            ValueError: `data` is not JSON.
        """
        return json.loads(self.data)

    def replace(
        self,
        *,
        data: Any = _MISSING,
        event: str | None = _MISSING,
        id: str | None = _MISSING,
        retry: int | None = _MISSING,
        comment: str | None = _MISSING,
        dumps: Dumps | None = None,
    ) -> ServerSentEvent:
        """A copy with other fields, checked as for a new event; it keeps its topic and its position."""
        if id is _MISSING:
            id = self.id
        elif id is not None:
            refuse_ended(id)
        copy = made(
            self.data if data is _MISSING and self.has_data else data,
            event=self.event if event is _MISSING else event,
            retry=self.retry if retry is _MISSING else retry,
            comment=self.comment if comment is _MISSING else comment,
            id=id,
            dumps=dumps,
        )
        return copy.stamped(id, topic=self.topic, position=self.position)

    def stamped(self, id: str | None, *, topic: str | None, position: object) -> ServerSentEvent:
        """For the bus: the same event with an `id` assigned by the bus (not checked), at `position` of
        `topic`."""
        frame = self.frame if id == self.id else _closed(self.body, id)
        return framed(frame, id, topic, position)

    @property
    def body(self) -> bytes:
        """For the bus: the frame without its id line and without the blank line that ends it."""
        if self.id is None:
            return self.frame[:-1]
        return self.frame[: -len(b"id: \n\n") - len(self.id.encode())]

    @staticmethod
    def from_body(
        body: bytes, *, id: str | None = None, topic: str | None = None, position: object = None
    ) -> ServerSentEvent:
        """For the bus: the event with this `body`, stamped as by `stamped`.

        Raises:
            EncodeError: `body` is not exactly what this library writes for an event without `id` and `retry`.
        """
        if not body or not _BODY.fullmatch(body):
            raise EncodeError(f"body: {shown(body)} is not the text of an event without id and retry")
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise EncodeError(f"body: {shown(body)} is not UTF-8: {error}") from None
        return framed(_closed(body, id), id, topic, position)

    if not TYPE_CHECKING:  # type checkers would accept any misspelt attribute name

        def __getattr__(self, name: str) -> Any:
            if name == "chunk":
                value = chunk(self.frame)
                object.__setattr__(self, "chunk", value)
                return value
            if name == "zstd_chunk":
                filled = {"zstd_chunk": zstd_chunk(self.frame)}
            elif name == "frame":  # a received event has its fields
                filled = {"frame": _text(self).encode()}
            elif name in _Draft.__slots__:  # any other event has its frame
                filled = _fields(self.frame)
            else:
                raise AttributeError(f"'ServerSentEvent' object has no attribute {name!r}")
            for slot, value in filled.items():
                object.__setattr__(self, slot, value)
            return filled[name]

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"an event is immutable: use event.replace({name}=…)")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("an event is immutable")

    def __eq__(self, other: object) -> bool:
        # The frame holds every field, so comparing frames compares all fields.
        return self.frame == other.frame if isinstance(other, ServerSentEvent) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.frame)

    def __repr__(self) -> str:
        fields = [shown(self.data)] if self.has_data else []
        for name in ("event", "id", "retry", "comment", "topic"):
            value = getattr(self, name)
            if value is not None:
                fields.append(f"{name}={shown(value)}")
        return f"ServerSentEvent({', '.join(fields)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return framed, (self.frame, self.id, self.topic, self.position)


def made(
    data: Any = _MISSING,
    *,
    event: str | None = None,
    id: str | None = None,
    retry: int | None = None,
    comment: str | None = None,
    dumps: Dumps | None = None,
) -> ServerSentEvent:
    """A new event with checked fields; only here may an id be one of the library's own (`wire.control`)."""
    draft = _Draft()
    draft.has_data = data is not _MISSING
    if isinstance(data, str):
        text = string("data", data)
        draft.data = newlines(text) if "\r" in text else text
    elif draft.has_data:
        text = json_of(data, dumps)
        draft.data = newlines(text) if "\r" in text else text
    elif event:
        raise EncodeError(f"event: {shown(event)} has no data, so no client would see it; give it data")
    elif id is None and retry is None and comment is None:
        raise EncodeError("an event needs data, or at least one of id, retry and comment")
    else:
        draft.data = ""
    draft.event = None if event is None else event_name(event)
    draft.id = None if id is None else id_text(id)
    draft.retry = None if retry is None else retry_ms(retry)
    draft.comment = None if comment is None else newlines(string("comment", comment))
    draft.topic = draft.position = None
    try:
        draft.frame = _text(draft).encode()
    except UnicodeEncodeError:
        for field in ("event", "id", "comment", "data"):
            utf8(field, getattr(draft, field) or "")
        raise
    return _finished(draft)


def received(data: str, event: str | None, id: str | None, retry: int | None) -> ServerSentEvent:
    """For the parser: an event from the wire. Its frame is made when it is first read."""
    draft = _Draft()
    draft.data = data
    draft.event = event
    draft.id = id
    draft.retry = retry
    draft.has_data = True
    draft.comment = draft.topic = draft.position = None
    return _finished(draft)


def from_json(text: bytes) -> ServerSentEvent:
    """For the encoder: an event of nothing but JSON; `data` is decoded when it is first read."""
    draft = _Draft()
    draft.frame = b"data: %b\n\n" % text
    draft.has_data = True
    draft.event = draft.id = draft.retry = draft.comment = draft.topic = draft.position = None
    return _finished(draft)


def framed(
    frame: bytes, id: str | None = None, topic: str | None = None, position: object = None
) -> ServerSentEvent:
    """An event of a frame that this library wrote; its fields are decoded when they are first read."""
    draft = _Draft()
    draft.frame = frame
    draft.id = id
    draft.topic = topic
    draft.position = position
    return _finished(draft)


def _finished(draft: Any) -> ServerSentEvent:
    """The same object, immutable from now on."""
    draft.__class__ = ServerSentEvent
    event: ServerSentEvent = draft
    return event


def _text(event: _Draft) -> str:
    """The frame, in the order comment, event, data, retry, id, blank line."""
    text = f"data: {event.data}\n" if event.has_data else ""
    if "\n" in event.data:
        text = text[:-1].replace("\n", "\ndata: ") + "\n"
    if event.event is not None:
        text = f"event: {event.event}\n{text}"
    if event.comment is not None:
        text = ": " + event.comment.replace("\n", "\n: ") + f"\n{text}"
    if event.retry is not None:
        text = f"{text}retry: {event.retry}\n"
    return f"{text}\n" if event.id is None else f"{text}id: {event.id}\n\n"


def _closed(body: bytes, id: str | None) -> bytes:
    return body + b"\n" if id is None else b"%bid: %b\n\n" % (body, id.encode())


def _fields(frame: bytes) -> dict[str, Any]:
    """The fields in a frame that `_text` wrote, all but the id."""
    values: dict[str, list[str]] = {"": [], "event": [], "data": [], "retry": [], "id": []}
    for line in frame.decode()[:-2].split("\n"):
        name, _, value = line.partition(":")
        values[name].append(value[1:])
    return {
        "data": "\n".join(values["data"]),
        "has_data": bool(values["data"]),
        "event": values["event"][0] if values["event"] else None,
        "retry": int(values["retry"][0]) if values["retry"] else None,
        "comment": "\n".join(values[""]) if values[""] else None,
    }
