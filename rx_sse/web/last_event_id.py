"""`last_event_id`: the position of a request's client.

Standard: HTML Living Standard §9.2.4 (`Last-Event-ID`).
Never: it trusts the value; the code that uses it parses it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Token

from aiohttp import web

from rx_sse.bus.resume.stream_cursor import ASKED, StreamCursor
from rx_sse.errors import UsageError
from rx_sse.web.negotiation import raw_last_event_id
from rx_sse.web.notices import Notices, handler_name
from rx_sse.web.principal import PRINCIPAL
from rx_sse.web.registry import registry_of

STREAM_CURSOR: web.RequestKey[StreamCursor] = web.RequestKey("rx_sse.resume", StreamCursor)


def last_event_id(request: web.Request, default: str | None = None) -> StreamCursor:
    """The `Last-Event-ID` with which the client reconnects.

    Pass it to `bus.events(..., after=...)`: the bus then resumes there, and gives the connection positions
    and gaps, outside your pipeline. For ids of your own, `.value` is the text, or None.

    Args:
        request: the request that the handler got.
        default: the beginning for a client that connects for the first time: a cursor that your server knows,
            such as the result of `bus.position` when it rendered the page.

    Returns:
        One object per request. `str()` of it is the id, `""` if there is none; it is true if there is one.

    Raises:
        UsageError: a `default` that is not a string, or that is given after the first call for this request.
    """
    if default is not None and not isinstance(default, str):
        raise UsageError(f"default={default!r} must be a cursor, such as what bus.position() returned")
    handle = request.get(STREAM_CURSOR)
    if handle is None:
        value = raw_last_event_id(request)
        if value is not None and len(value) > registry_of(request).limits.cursor:
            value = "?"  # present, and unknown: it cannot be an id of this library
        if value is None:
            value = default
        principal = request.get(PRINCIPAL)
        handle = request[STREAM_CURSOR] = StreamCursor(
            value, user=None if principal is None else principal.user
        )
    elif default is not None and handle.value is None:
        raise UsageError("last_event_id(request, default=…): give the default at the first call of a request")
    return handle


class unasked:  # as `contextlib.suppress`: used like a function
    """Warn if topics are read in this block without the position of the reconnecting client, and refuse a
    position that the connection would not know."""

    __slots__ = ("_handler", "_notices", "_over", "_token")

    def __init__(self, request: web.Request, notices: Notices) -> None:
        # Contexts that are copied in here live as long as the stream: they must not hold the request.
        self._handler = None if raw_last_event_id(request) is None else handler_name(request)
        self._notices = notices
        self._over = False
        self._token: Token[Callable[[str | None], None] | None] | None = None

    def __enter__(self) -> None:
        self._token = ASKED.set(self)

    def __exit__(self, *_: object) -> None:
        self._over = True
        token, self._token = self._token, None  # it holds the context of the request
        if token is not None:
            ASKED.reset(token)

    def __call__(self, after: str | None) -> None:
        """A cursor is given as `after=` instead of the request's own."""
        if self._over:  # by code that the handler has started, not by its stream
            return
        if after is not None:
            raise UsageError(
                f"after={after[:80]!r} in a handler: the connection would have no cursor to tell its client "
                "of. Give after=rx_sse.last_event_id(request, default=…): there a client begins that brings "
                "no Last-Event-ID"
            )
        if (handler := self._handler) is not None:
            self._notices.once(
                ("unasked", handler),
                "%s: bus.events(after=None) in a request that carries a Last-Event-ID: its client loses what "
                "came while it was away; give after=rx_sse.last_event_id(request)",
                handler,
            )
