"""Where a request's client was: `last_event_id`.

Standard: HTML Living Standard §9.2.4 (`Last-Event-ID`).
Never: it trusts the value; whoever uses it parses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from rx_sse.bus.resume.stream_cursor import UNASKED, StreamCursor
from rx_sse.web.negotiation import raw_last_event_id
from rx_sse.web.notices import Notices, handler_name
from rx_sse.web.principal import PRINCIPAL
from rx_sse.web.registry import registry_of

STREAM_CURSOR: web.RequestKey[StreamCursor] = web.RequestKey("rx_sse.resume", StreamCursor)


def last_event_id(request: web.Request) -> StreamCursor:
    """The `Last-Event-ID` with which the client comes back.

    Give it to `bus.events(..., after=...)`: the bus then resumes there, and through it gives the connection
    positions and gaps beside your pipeline. For ids of your own, `.value` is the text, or None.

    Args:
        request: the request that the handler got.

    Returns:
        One object per request. `str()` of it is the id, `""` if there is none; it is true if there is one.
    """
    handle = request.get(STREAM_CURSOR)
    if handle is None:
        value = raw_last_event_id(request)
        if value is not None and len(value) > registry_of(request).limits.cursor:
            value = "?"  # present, and unknown: an id that cannot be one of ours
        principal = request.get(PRINCIPAL)
        handle = request[STREAM_CURSOR] = StreamCursor(
            value, user=None if principal is None else principal.user
        )
    return handle


@contextmanager
def unasked(request: web.Request, notices: Notices) -> Iterator[None]:
    """Warn if topics are read from here on without the position that the client comes back with."""
    if raw_last_event_id(request) is None:
        yield
        return
    handler = handler_name(request)
    token = UNASKED.set(
        lambda: notices.once(
            ("unasked", handler),
            "%s: bus.events(after=None) in a request that carries a Last-Event-ID: its client loses what "
            "came while it was away; give after=rx_sse.last_event_id(request)",
            handler,
        )
    )
    try:
        yield
    finally:
        UNASKED.reset(token)
