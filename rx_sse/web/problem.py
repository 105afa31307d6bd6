"""What a client is told about an error.

Standard: RFC 9457 (problem details).
Never: the text of an exception that was not written for the client.
"""

from __future__ import annotations

import logging
from typing import Any

from aiohttp import web

from rx_sse.errors import EncodeError, StreamError
from rx_sse.wire import ServerSentEvent
from rx_sse.wire.control import stream_error
from rx_sse.wire.jsontext import dumps

logger = logging.getLogger("rx_sse")

MASKED: dict[str, Any] = {"type": "about:blank", "title": "Internal Server Error", "status": 500}


def problem_of(error: Exception) -> dict[str, Any]:
    """Problem details of an error: its own for a `StreamError` or a `web.HTTPException`, masked for anything
    else."""
    if isinstance(error, StreamError):
        return _sendable(error.problem())
    if isinstance(error, web.HTTPException):
        problem: dict[str, Any] = {"type": "about:blank", "title": error.reason, "status": error.status}
        if error.text and error.text != f"{error.status}: {error.reason}":
            problem["detail"] = error.text
        return problem
    return dict(MASKED)


def error_event(error: Exception) -> ServerSentEvent:
    """The `stream-error` that tells of an error, with the time to come back that a `StreamError` may have."""
    retry = error.retry if isinstance(error, StreamError) else None
    return stream_error(problem_of(error)).replace(retry=retry)


def told(error: Exception) -> bool:
    """True if the client is told what went wrong; anything else is masked, so the log must have it."""
    return isinstance(error, StreamError | web.HTTPException)


def _sendable(problem: dict[str, Any]) -> dict[str, Any]:
    """A user's problem without the members that are no JSON: telling little beats telling nothing."""
    sendable: dict[str, Any] = {}
    for name, value in problem.items():
        try:
            dumps(value)
        except EncodeError:
            logger.exception("member %r of a StreamError cannot be sent", name)
        else:
            sendable[name] = value
    return sendable
