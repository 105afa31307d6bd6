"""The description of an error for a client.

Standard: RFC 9457 (problem details).
Never: the text of an exception that was not written for the client, except in the development mode.
"""

from __future__ import annotations

import logging
import traceback
from typing import Any

from aiohttp import web

from rx_sse.errors import EncodeError, StreamError
from rx_sse.wire import ServerSentEvent
from rx_sse.wire.control import stream_error
from rx_sse.wire.jsontext import dumps

logger = logging.getLogger("rx_sse")

MASKED: dict[str, Any] = {"type": "about:blank", "title": "Internal Server Error", "status": 500}


def problem_of(error: Exception, *, debug: bool = False) -> dict[str, Any]:
    """Problem details of an error: its own for a `StreamError` or a `web.HTTPException`, masked for anything
    else; unmasked with `debug`."""
    if isinstance(error, StreamError):
        return _sendable(error.problem())
    if isinstance(error, web.HTTPException):
        problem: dict[str, Any] = {"type": "about:blank", "title": error.reason, "status": error.status}
        if error.text and error.text != f"{error.status}: {error.reason}":
            problem["detail"] = error.text
        return problem
    if debug:
        trace = "".join(traceback.format_exception(error))
        return MASKED | {
            "detail": _printable(f"{type(error).__name__}: {error}"),
            "traceback": _printable(trace),
        }
    return dict(MASKED)


def error_event(error: Exception, *, retry: int | None = None, debug: bool = False) -> ServerSentEvent:
    """The `stream-error` for an error, with the reconnection time of a `StreamError`, if it has one, or else
    `retry`."""
    own = error.retry if isinstance(error, StreamError) else None
    return stream_error(problem_of(error, debug=debug), retry=retry if own is None else own)


def told(error: Exception) -> bool:
    """True if the client gets the error's text; any other error is masked, so it must be logged."""
    return isinstance(error, StreamError | web.HTTPException)


def _printable(text: str) -> str:
    """Text without characters that UTF-8 cannot encode: a traceback may quote anything."""
    return text.encode(errors="backslashreplace").decode()


def _sendable(problem: dict[str, Any]) -> dict[str, Any]:
    """A user's problem document without members that are not JSON: a partial document is better than none."""
    sendable: dict[str, Any] = {}
    for name, value in problem.items():
        try:
            dumps(value)
        except EncodeError:
            logger.exception("member %r of a StreamError cannot be sent", name)
        else:
            sendable[name] = value
    return sendable
