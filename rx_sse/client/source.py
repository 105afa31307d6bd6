"""`EventSource`: any stream of server-sent events, as an Observable and as an async iterable.

Standard: WHATWG HTML §9.2, the client's side: a stream, a status, a redirect or a lost connection has the
same effect as in a browser's EventSource. Beyond it: methods and bodies, headers, tokens, a read timeout, and
the `stream-…` events of rx_sse.

Never shows a token, never buffers without a limit, never leaves a task, a socket or a session behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing
from typing import Any, NoReturn

import aiohttp
from reactivex import Observable, abc
from yarl import URL

from rx_sse.arguments import count, function, seconds
from rx_sse.client.connection import Connection, Reconnect, Settings
from rx_sse.client.request import NO_HEADER, Request, Token
from rx_sse.client.state import ConnectionState, log_state
from rx_sse.client.subscription import Subscription
from rx_sse.errors import UsageError
from rx_sse.reactive.scheduler import context_of
from rx_sse.wire.event import ServerSentEvent
from rx_sse.wire.fields import retry_ms
from rx_sse.wire.parser import MAX_EVENT_SIZE

__all__ = ["EventSource"]


class EventSource(Observable[ServerSentEvent]):
    """A stream of server-sent events: subscribe to it, or iterate over it.

    ::

        source = EventSource("https://example.org/prices", token=fresh_token)

        source.map(lambda event: event.json()).subscribe(print, scheduler=LoopScheduler())

        async for event in source:
            print(event.type, event.data)

    It is cold: every subscription and every iteration is a connection of its own, opened when it starts and
    aborted when it ends, with nothing left behind. Disposing of a subscription aborts it at once; so does
    leaving an ``async for``, reliably inside ``async with contextlib.aclosing(aiter(source))``.

    **Iterated**, it is read as fast as the loop takes its events: a slow consumer slows the server down, and
    at most 128 KiB wait here. **Subscribed to**, events are pushed on the loop's thread as they arrive;
    buffering is up to the pipeline, because an Observable cannot be slowed down.

    With GET and HEAD it reconnects as a browser does: after the stream ended or was lost, when the stream's
    ``retry`` is over (up to a quarter more, at random), with ``Last-Event-ID``. Failed attempts are repeated
    for ever, at intervals that grow to 30 s. Any other method is sent once, because repeating it may have a
    further effect: its end completes the stream, its loss fails it.

    204 and the event ``stream-end`` complete it. Any other status than 200, another content type, and more
    than 20 redirects fail it with `ConnectionFailed`. Redirects keep the method and body or become GET as in
    a browser, and lose the token where the origin changes.

    Of the events named ``stream-…``, which rx_sse sends, ``stream-end`` completes and is not passed on, and
    ``stream-error`` may become an error; all other events are passed on. ``data: [DONE]`` is data.

    Args:
        url: an absolute http or https URL. A user and password in it are sent with the request, and are in no
            message.
        method: any; the same for every attempt. Methods other than GET and HEAD are not repeated by default.
        headers: sent with every attempt; they replace the defaults ``Accept: text/event-stream`` and
            ``Cache-Control: no-cache``.
        body: bytes and str as they are, anything else as JSON.
        token: sent as ``Authorization: Bearer``. A function, which may be a coroutine function, is called for
            a fresh token before every attempt. A network error in it (`OSError`, `aiohttp.ClientError`) is
            retried like a lost connection; any other exception ends the stream.
        last_event_id: where to resume; every subscription starts from it.
        session: the `aiohttp.ClientSession` to use, for a proxy, a client certificate or shared cookies. It
            stays open. Without one, every subscription has its own and closes it.
        reconnect: True to reconnect; False for a single connection: its end completes the stream, its loss
            fails it with `ConnectionFailed`, and so does the end of a stream of rx_sse without
            ``stream-end``. None, the default, is True for GET and HEAD and False for every other method:
            reconnecting sends the request again, body included. A function makes it reconnect, and decides
            whether to retry after answers that fail a browser's EventSource for good: ``lambda failure:
            failure.status in (429, 502, 503)``. ``Retry-After`` is honoured then.
        retry: milliseconds to wait before reconnecting, until the stream sets another time.
        read_timeout: seconds without a byte, comments included, after which the connection counts as lost.
            None waits for ever: set it to a few heartbeats of the server.
        max_event_size: bytes of one event; a larger one fails the stream with `EventTooLarge`.
        raise_stream_error: whether ``stream-error`` fails the stream with the `StreamError` that it carries.
            Otherwise it is an ordinary event, and the client reconnects.
        on_state: called on the loop with a `ConnectionState` whenever the connection is connecting, open or
            closed. Without it, failures are logged as warnings of ``rx_sse.client``.
        on_comment: called on the loop with the text of every comment, heartbeats included.

    Raises:
        UsageError: an argument is invalid; or, later, subscribing outside of a running loop.
    """

    def __init__(
        self,
        url: str | URL,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        token: Token = None,
        last_event_id: str | None = None,
        session: aiohttp.ClientSession | None = None,
        reconnect: Reconnect | None = None,
        retry: int = 3000,
        read_timeout: float | None = None,
        max_event_size: int = MAX_EVENT_SIZE,
        raise_stream_error: bool = False,
        on_state: Callable[[ConnectionState], object] | None = None,
        on_comment: Callable[[str], object] | None = None,
    ) -> None:
        super().__init__(self._connect)
        seconds("read_timeout", read_timeout, zero="would lose every connection at once", optional=True)
        count("max_event_size", max_event_size)
        function("on_state", on_state, "a function of a ConnectionState")
        function("on_comment", on_comment, "a function of a comment's text")
        if reconnect is not None and not isinstance(reconnect, bool) and not callable(reconnect):
            raise UsageError(
                f"reconnect={reconnect!r} must be True, False, None, or a function of a ConnectionFailed"
            )
        if session is not None and not isinstance(session, aiohttp.ClientSession):
            raise UsageError(f"session={session!r} must be an aiohttp.ClientSession, or None")
        if last_event_id is not None and (
            not isinstance(last_event_id, str) or NO_HEADER.search(last_event_id)
        ):
            raise UsageError(f"last_event_id={last_event_id!r}: no header can carry it")
        self._request = Request(url, method=method, headers=headers, body=body, token=token)
        self._settings = Settings(
            last_event_id=last_event_id or "",
            session=session,
            reconnect=self._request.is_safe if reconnect is None else reconnect,
            retry=retry_ms(retry),
            read_timeout=read_timeout,
            max_event_size=max_event_size,
            raise_stream_error=raise_stream_error,
            on_state=on_state or log_state,
            on_comment=on_comment,
        )

    @property
    def url(self) -> str:
        """The URL as given, before any redirects."""
        # [spec] The url attribute's getter must return the serialization of this EventSource object's url.
        return str(self._request.url)

    def __repr__(self) -> str:
        return f"<EventSource {self._request.title}>"

    async def __aiter__(self) -> AsyncGenerator[ServerSentEvent, None]:
        async with aclosing(Connection(self._request, self._settings).batches()) as batches:
            async for events in batches:
                for event in events:
                    yield event

    def __await__(self) -> Generator[Any, None, NoReturn]:
        raise UsageError(
            "an EventSource is endless and cannot be awaited: iterate over it with `async for`, subscribe to "
            "it, or await a part of it, like source.take(1)"
        )

    def _connect(
        self, observer: abc.ObserverBase[ServerSentEvent], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise UsageError(
                "an EventSource runs on an event loop: subscribe to it inside one, as in asyncio.run(main())"
            ) from None
        return Subscription(Connection(self._request, self._settings), observer, context_of(scheduler))
