"""The library's own events, and the small pieces between events: heartbeat, opening, retry.

No standard beyond the wire format: with these events a stream of rx_sse tells the page about its own
state. Control events are named ``stream-…``, carry JSON, and are never called ``error``, ``open`` or
``message``, which EventSource owns. None carries an `id` unless its builder takes one.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, Final

from rx_sse.wire.event import ServerSentEvent, framed, made
from rx_sse.wire.fields import ENDED_ID
from rx_sse.wire.jsontext import dumps

__all__ = [
    "HEARTBEAT",
    "OPENING",
    "ended_id",
    "is_ended_id",
    "retry_line",
    "stream_cursor",
    "stream_end",
    "stream_error",
    "stream_expired",
    "stream_gap",
    "stream_reconnect",
]


_CURSOR: Final = "stream-cursor"


def _cursor_body(resumed: bool, resumable: bool) -> bytes:
    data = dumps({"resumed": resumed, "resumable": resumable})
    return f"event: {_CURSOR}\ndata: {data}\n".encode()


# A comment without a blank line of its own: some clients dispatch an empty event on every blank line.
HEARTBEAT: Final = b":\n"

# Sent together with the headers, so that proxies forward them and a browser fires `open`.
OPENING: Final = b": open\n"


_CURSORS: Final = {
    (resumed, resumable): _cursor_body(resumed, resumable)
    for resumed in (False, True)
    for resumable in (False, True)
}
"""Each stream of a bus opens with one: all of it but the id."""


@lru_cache(maxsize=64)
def retry_line(ms: int) -> bytes:
    """The line that sets the client's reconnection time; like the heartbeat it needs no blank line."""
    return b"retry: %d\n" % ms


def stream_cursor(*, resumed: bool, resumable: bool = True, id: str | None) -> ServerSentEvent:
    """A resumable stream opened, or its position moved without an event; the `id` is the cursor."""
    frame = _CURSORS[resumed, resumable]
    return framed(frame + b"\n" if id is None else b"%bid: %b\n\n" % (frame, id.encode()), id)


def stream_gap(
    reason: str,
    *,
    missed: int | None = None,
    last: str | None = None,
    next: str | None = None,
    id: str | None = None,
) -> ServerSentEvent:
    """Events are missing here: the reason, their number if known, and the cursors on both sides of the
    gap."""
    return _named("stream-gap", _known(reason=reason, missed=missed, last=last, next=next), id=id)


def stream_end(reason: str | None = None, id: str | None = None) -> ServerSentEvent:
    """The source completed. With the request's `ended_id` as `id`, its reconnect can be answered 204."""
    return _named("stream-end", _known(reason=reason), id=id)


def stream_error(problem: dict[str, Any], *, retry: int | None = None) -> ServerSentEvent:
    """The source failed; `problem` is a problem document (RFC 9457) that the client may see."""
    return _named("stream-error", problem, retry=retry)


def stream_reconnect(reason: str, *, retry: int) -> ServerSentEvent:
    """The stream is closed, or refused for now, and continues when the client reconnects after `retry` ms.

    The time is sent in a block with a name and data: a `retry` line before a blank line of its own is an
    empty message to every client that dispatches on blank lines."""
    return _named("stream-reconnect", {"reason": reason}, retry=retry)


def stream_expired(reason: str) -> ServerSentEvent:
    """The token that opened the stream is about to expire, or was revoked."""
    return _named("stream-expired", {"reason": reason})


def ended_id(method: str, path: str, query: str) -> str:
    """The id that says "the stream of this request has ended". Stateless: any process makes the same."""
    request = "\0".join((method.upper(), path, query)).encode(errors="surrogatepass")
    return f"0_{hashlib.sha256(request).hexdigest()[:16]}"


def is_ended_id(text: str) -> bool:
    """Whether `text` has the form of an `ended_id`, for any request."""
    return ENDED_ID.fullmatch(text) is not None


def _named(
    event: str, data: dict[str, Any], *, id: str | None = None, retry: int | None = None
) -> ServerSentEvent:
    """Make a control event with the library's own encoder, whatever `dumps=` the application has set."""
    return made(dumps(data), event=event, id=id, retry=retry)


def _known(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
