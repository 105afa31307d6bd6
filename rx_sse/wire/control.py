"""The library's own events, and the small pieces between events: heartbeat, opening, retry.

Standard: none beyond the wire format; this is the vocabulary by which a stream of rx_sse tells a page what
happened to it. Control events are named ``stream-…``, carry JSON, and are never called ``error``, ``open`` or
``message``, which EventSource owns. None carries an `id` unless its builder takes one.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from .event import ServerSentEvent, made
from .fields import ENDED_ID

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
]

# A comment without a blank line of its own: some clients dispatch an empty event on every blank line.
HEARTBEAT: Final = b":\n"

# Goes out with the headers, so that proxies pass them on and a browser fires `open`.
OPENING: Final = b": open\n"


def retry_line(ms: int) -> bytes:
    """The line that sets the client's reconnection time; like the heartbeat it needs no blank line."""
    return b"retry: %d\n" % ms


def stream_cursor(*, resumed: bool, resumable: bool = True, id: str | None) -> ServerSentEvent:
    """A resumable stream opened, or its position moved unseen; the `id` is the cursor."""
    return made({"resumed": resumed, "resumable": resumable}, event="stream-cursor", id=id)


def stream_gap(
    reason: str,
    *,
    missed: int | None = None,
    last: str | None = None,
    next: str | None = None,
    id: str | None = None,
) -> ServerSentEvent:
    """Events are missing here: why, how many if that is known, and the cursors on both sides of the hole."""
    return made(_known(reason=reason, missed=missed, last=last, next=next), event="stream-gap", id=id)


def stream_end(reason: str | None = None, id: str | None = None) -> ServerSentEvent:
    """The source completed. With the request's `ended_id` as `id`, its reconnect can be answered 204."""
    return made(_known(reason=reason), event="stream-end", id=id)


def stream_error(problem: dict[str, Any]) -> ServerSentEvent:
    """The source failed; `problem` is a problem document (RFC 9457) that the client may see."""
    return made(problem, event="stream-error")


def stream_expired(reason: str) -> ServerSentEvent:
    """The token that opened the stream is about to expire, or was revoked."""
    return made({"reason": reason}, event="stream-expired")


def ended_id(method: str, path: str, query: str) -> str:
    """The id that says "the stream of this request has ended". Stateless: any process makes the same."""
    request = "\0".join((method.upper(), path, query)).encode(errors="surrogatepass")
    return f"0_{hashlib.sha256(request).hexdigest()[:16]}"


def is_ended_id(text: str) -> bool:
    """Whether `text` has the form of an `ended_id`, of whichever request."""
    return ENDED_ID.fullmatch(text) is not None


def _known(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
