"""Answers that are not a stream.

A native EventSource gives up for good on any status but 200, so what it may try again later is refused to it
with 200, a `retry:` of its own, and a close. Everyone else gets the status that HTTP has for it.

Standard: RFC 9110 §15.6.4 (503), RFC 6585 §4 (429), RFC 9457 (problem details), HTML Living Standard §9.2.3.
Never: two clients are told the same time to come back, unless a `StreamError` names it.
"""

from __future__ import annotations

import math
import random

from aiohttp import web

from rx_sse.errors import Overloaded, StreamError
from rx_sse.web.negotiation import EVENT_STREAM, is_event_source
from rx_sse.web.problem import error_event, problem_of
from rx_sse.wire.control import retry_line
from rx_sse.wire.jsontext import dumps

STREAM_HEADERS = {
    "Content-Type": EVENT_STREAM,
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


def events(*frames: bytes) -> web.Response:
    """A complete event stream: these frames, and the end."""
    return web.Response(body=b"".join(frames), headers=STREAM_HEADERS)


def _again(seconds: float) -> tuple[int, bytes]:
    after = seconds * random.uniform(1.0, 3.0)
    return math.ceil(after), retry_line(int(after * 1000)) + b"\n"


def shed(request: web.BaseRequest, *, status: int = 503, seconds: float = 2.0) -> web.Response:
    """Refuse a stream for now.

    Args:
        request: who asks.
        status: what other clients than an EventSource get: 503, or 429 if it is their own doing.
        seconds: the shortest time after which to come back; up to three times as long.
    """
    after, line = _again(seconds)
    if is_event_source(request):
        return events(b": overloaded\n", line)
    response = web.Response(status=status, text="Too many streams; come back later.")
    response.headers["Retry-After"] = str(after)
    return response


def failure(request: web.BaseRequest, error: Exception) -> web.StreamResponse:
    """The answer to an error before the headers.

    Raises:
        Exception: the error itself, if it is aiohttp's to answer (a `web.HTTPException` as it is, anything
            else as 500).
    """
    if isinstance(error, Overloaded):
        return shed(request, seconds=error.retry_after or 2.0)
    if isinstance(error, web.HTTPException):
        raise error
    if isinstance(error, StreamError):
        problem = problem_of(error)
        status = problem.get("status") or 500
        return web.Response(status=status, text=dumps(problem), content_type="application/problem+json")
    raise error


def failed_again(error: Exception) -> web.Response:
    """The answer to an unexpected error when an EventSource comes back: a 500 would end it for good."""
    event = error_event(error)
    return events(event.frame) if event.retry is not None else events(event.frame, _again(2.0)[1])
