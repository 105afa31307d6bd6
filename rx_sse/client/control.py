"""The library's own events on the client: the end of a stream, and the reason of its failure.

Standard: RFC 9457 for the data of ``stream-error``. The data is untrusted: any content becomes a record or an
error, and nothing raises.
"""

from __future__ import annotations

from typing import Any, cast

from rx_sse.errors import StreamError
from rx_sse.wire.event import ServerSentEvent

__all__ = ["end_reason", "stream_error"]


def end_reason(event: ServerSentEvent) -> str:
    """The reason in a ``stream-end``."""
    reason = _object(event).get("reason")
    return f"stream-end: {reason}" if isinstance(reason, str) and reason else "stream-end"


def stream_error(event: ServerSentEvent) -> StreamError:
    """The error in a ``stream-error``, as the server's handler raised it."""
    problem = _object(event)
    status = problem.pop("status", None)
    kind = problem.pop("type", None)
    title = problem.pop("title", None)
    detail = problem.pop("detail", None)
    error = StreamError(
        detail if isinstance(detail, str) else "",
        title=title if isinstance(title, str) else None,
        type=kind if isinstance(kind, str) else "about:blank",
        status=status if type(status) is int and 400 <= status <= 599 else None,
        retry=event.retry,
    )
    error.extra = problem
    return error


def _object(event: ServerSentEvent) -> dict[str, Any]:
    try:
        value = event.json()
    except (ValueError, RecursionError):
        return {}
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}
