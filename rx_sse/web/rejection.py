"""Answers that are not a stream.

A native EventSource gives up for good on any status but 200, so a refusal after which it may retry is
answered 200, with a `stream-reconnect` that contains the delay, and a close. Other clients get the HTTP
status.

Standard: RFC 9110 §15.6.4 (503), RFC 6585 §4 (429), RFC 9457 (problem details), HTML Living Standard §9.2.3.
Never: two clients get the same reconnection time, unless a `StreamError` sets it.
"""

from __future__ import annotations

import math
import random
from enum import Enum

from aiohttp import web

from rx_sse.errors import StreamError
from rx_sse.web.headers import STREAM_HEADERS
from rx_sse.web.negotiation import is_event_source
from rx_sse.web.problem import error_event, problem_of
from rx_sse.wire.control import stream_reconnect
from rx_sse.wire.jsontext import dumps


class Cause(Enum):
    """The reason of a temporary refusal: for a `stream-reconnect`, and as a text for other clients."""

    CONNECTIONS = ("overloaded", "Too many streams are open; try again later.")
    USER = ("overloaded", "You have too many streams open; close one, or try again later.")
    OPENING = ("overloaded", "Too many streams are being opened; try again later.")
    ADDRESS = ("overloaded", "Too many streams are open from your address; try again later.")
    CLOSING = ("shutdown", "The server is closing; try again later.")
    UNKNOWN_TOKEN = ("unavailable", "The token cannot be checked at the moment; try again later.")
    UNAVAILABLE = ("unavailable", "The stream is not available at the moment; try again later.")

    def __init__(self, reason: str, text: str) -> None:
        self.reason = reason
        self.text = text


def events(*frames: bytes) -> web.Response:
    """A complete event stream of these frames."""
    return web.Response(body=b"".join(frames), headers=STREAM_HEADERS)


def _later(seconds: float) -> float:
    return seconds * random.uniform(1.0, 3.0)


def shed(
    request: web.BaseRequest, cause: Cause, *, status: int = 503, seconds: float = 2.0, strict: bool = False
) -> web.Response:
    """Refuse a stream for now.

    Args:
        request: the request.
        cause: the reason.
        status: the status for clients other than an EventSource: 503, or 429 if the client causes it.
        seconds: the shortest delay before a retry; the delay is up to three times as long.
        strict: the client accepts only its own protocol: it gets the status, whatever the client.
    """
    after = _later(seconds)
    if is_event_source(request) and not strict:
        return events(stream_reconnect(cause.reason, retry=int(after * 1000)).frame)
    response = web.Response(status=status, text=cause.text)
    response.headers["Retry-After"] = str(math.ceil(after))
    return response


def failure(error: Exception, *, debug: bool = False) -> web.StreamResponse:
    """The answer to an error before the headers.

    Raises:
        Exception: the error itself, if aiohttp is to answer it (a `web.HTTPException` as it is, any other as
            500).
    """
    if isinstance(error, web.HTTPException) or not (debug or isinstance(error, StreamError)):
        raise error
    problem = problem_of(error, debug=debug)
    status = problem.get("status") or 500
    return web.Response(status=status, text=dumps(problem), content_type="application/problem+json")


def failed_for_now(error: Exception, *, debug: bool = False) -> web.Response:
    """The answer to an unexpected error for an EventSource: a 500 would end it for good."""
    return events(error_event(error, retry=int(_later(2.0) * 1000), debug=debug).frame)
