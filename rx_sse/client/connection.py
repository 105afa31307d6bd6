"""One subscription's connection to a stream, across all its attempts.

Standard: WHATWG HTML §9.2.2 and §9.2.3; its words stand beside the lines that follow them.

It is pulled: more bytes are read when the previous events have been taken. So a slow consumer slows the
server down, and the waiting data is bounded. Only this class decides whether to reconnect; its drivers
(`subscription`, `source`) only pass events on.

Never passes on an unfinished event, never opens a second connection beside the first, and leaves no socket
and no session of its own open, however it ends.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Literal, TypeVar

import aiohttp

from rx_sse.client.answer import abort, read, refusal, retry_after
from rx_sse.client.backoff import reconnection_delay
from rx_sse.client.control import end_reason, stream_error
from rx_sse.client.request import Request, without_secrets
from rx_sse.client.state import ConnectionState
from rx_sse.client.trouble import unreachable
from rx_sse.errors import ConnectionFailed, EventTooLarge
from rx_sse.wire.control import OPENING
from rx_sse.wire.event import ServerSentEvent
from rx_sse.wire.parser import EventParser

__all__ = ["Connection", "Reconnect", "Settings"]

T = TypeVar("T")

Reconnect = bool | Callable[[ConnectionFailed], bool]

# [spec] If request's redirect count is 20, then return a network error. (Fetch, HTTP-redirect fetch)
_REDIRECTS: Final = 20

# Bytes that are read ahead of the consumer: aiohttp pauses reading at twice this.
_READ_AHEAD: Final = 64 * 1024

# Input is parsed in pieces of this size: 2,700 events at most, a few milliseconds of work.
_PIECE: Final = 16 * 1024

# One or more complete lines: where there may be a comment, between the events around it.
_LINES: Final = re.compile(rb"[^\r\n]*[\r\n]+|[^\r\n]+")

# Seconds that a TCP connect may take; without it, Linux gives up after two minutes.
_CONNECT: Final = 30.0

# Seconds after which a connection without an event counts as successful all the same: the stream was quiet.
_SERVED: Final = 5.0

_NETWORK: Final = (aiohttp.ClientError, OSError)  # a TimeoutError is an OSError
_ASTRAY: Final = (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError)
_FUTILE: Final = (aiohttp.TooManyRedirects, *_ASTRAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of an `EventSource` other than the request."""

    last_event_id: str
    session: aiohttp.ClientSession | None
    reconnect: Reconnect
    retry: int
    read_timeout: float | None
    max_event_size: int
    raise_stream_error: bool
    on_state: Callable[[ConnectionState], object]
    on_comment: Callable[[str], object] | None


class _Opening:
    """The beginning of a stream: a stream of rx_sse with control events starts with `: open`, and ends with
    `stream-end`."""

    __slots__ = ("_head",)

    def __init__(self) -> None:
        self._head = b""

    def feed(self, chunk: bytes) -> None:
        """More of the stream."""
        if len(self._head) < len(OPENING):
            self._head = (self._head + chunk)[: len(OPENING)]

    @property
    def ours(self) -> bool:
        """Whether it began with `: open`."""
        return self._head == OPENING


class Connection:
    """The attempts, answers and delays of one subscription."""

    def __init__(self, request: Request, settings: Settings) -> None:
        self._request = request
        self._settings = settings
        self._url = without_secrets(request.url)
        # [spec] The reconnection time and the last event ID string belong to the EventSource object: they
        # outlive every single connection.
        self._retry = settings.retry
        self._last_event_id = settings.last_event_id
        self._failures = 0
        self._status: int | None = None
        self._retry_after = 0.0
        self._end: str | None = None
        self._last_control = ""

    async def batches(self) -> AsyncGenerator[list[ServerSentEvent], None]:
        """The events, in the pieces in which they were received. To be iterated once, and closed.

        Raises:
            ConnectionFailed: the standard, or `reconnect`, forbids another attempt.
            EventTooLarge: an event is over `max_event_size`.
            StreamError: the server sent ``stream-error``, and `raise_stream_error` is set.
            Exception: raised by `token`, unless it was a network error.
        """
        session = self._settings.session or aiohttp.ClientSession()
        reason = "closed by the subscriber"
        error: Exception | None = None
        cause: Exception | None
        try:
            self._tell("connecting", "first attempt")
            while True:
                opened, served = monotonic(), False
                response, opening = None, _Opening()
                try:
                    response = await self._open(session)
                    if response.status == 204:
                        reason = "204 No Content"
                        return
                    parser = self._parser()
                    # [spec] The stream is parsed as it comes, whatever its encoding says: always UTF-8.
                    while chunk := await read(response.content):
                        opening.feed(chunk)
                        for events in self._parse(parser, chunk):
                            served = True
                            yield events
                        if self._end is not None:
                            reason = self._end
                            return
                    # [spec] When the end of the response's body is reached, reestablish the connection.
                    loss, cause = "the server ended the stream", None
                except ConnectionFailed as failure:
                    # [spec] Otherwise, if res's status is not 200, or if its Content-Type is not
                    # `text/event-stream`, then fail the connection. Deviation: the caller may know better.
                    if not (callable(self._settings.reconnect) and self._settings.reconnect(failure)):
                        raise
                    loss, cause = failure.reason, failure
                except _NETWORK as failure:
                    # [spec] If res is a network error, then reestablish the connection, unless the user agent
                    # knows that to be futile.
                    loss, cause = self._described(failure), failure
                    if self._settings.reconnect is False:
                        raise self._failed(loss, self._sent_once()) from failure
                finally:
                    if response is not None:
                        abort(response)
                if self._settings.reconnect is False:
                    if cause is None and opening.ours:
                        raise self._failed("the stream ended without its stream-end", self._last_control)
                    reason = loss
                    return
                served = served or (response is not None and monotonic() - opened >= _SERVED)
                await self._wait(loss, cause, served)
        except Exception as failure:
            reason, error = self._described(failure), failure
            raise
        finally:
            try:
                if session is not self._settings.session:
                    await session.close()
            finally:
                self._tell("closed", reason, error=error)

    async def _open(self, session: aiohttp.ClientSession) -> aiohttp.ClientResponse:
        """An answer that is an event stream, or a 204, after redirects.

        Raises:
            ConnectionFailed: any other answer.
        """
        request, settings = self._request, self._settings
        self._status, self._retry_after = None, 0.0
        try:
            # aiohttp follows 301, 302, 303, 307 and 308 as Fetch does, without Authorization, Cookie and
            # Proxy-Authorization where the origin changes. Every attempt starts at the original URL.
            response = await session.request(
                request.method,
                request.url,
                headers=await request.headers(self._last_event_id),
                data=request.body,
                skip_auto_headers=request.left_out,
                max_redirects=_REDIRECTS + 1,
                timeout=aiohttp.ClientTimeout(sock_connect=_CONNECT, sock_read=settings.read_timeout),
                read_bufsize=_READ_AHEAD,
                raise_for_status=False,
            )
        except _FUTILE as error:
            raise self._failed(self._described(error)) from error
        try:
            self._status = response.status
            # [spec] 204 No Content: clients can be told to stop reconnecting using it. For a browser that is
            # a failure like any other status; here it is the server's way to say that all is said.
            if response.status != 204:
                if why := await refusal(response):
                    self._retry_after = retry_after(response)
                    raise self._failed(*why)
                # [spec] Announce the connection: set the readyState to OPEN and fire an event named open.
                self._tell("open", f"{response.status} {response.reason}", url=without_secrets(response.url))
        except BaseException:
            abort(response)
            raise
        return response

    def _parser(self) -> EventParser:
        on_comment = self._settings.on_comment
        return EventParser(
            max_event_size=self._settings.max_event_size,
            last_event_id=self._last_event_id,
            on_comment=on_comment and (lambda text: _guarded(on_comment, text)),
        )

    def _parse(self, parser: EventParser, chunk: bytes) -> Iterator[list[ServerSentEvent]]:
        """The events in a chunk, up to the event that ends or fails the stream."""
        for piece in self._pieces(chunk):
            failure: Exception | None = None
            try:
                events = parser.feed(piece)
            except EventTooLarge as error:
                events, failure = list(error.events), error
            self._last_event_id = parser.last_event_id
            if parser.retry is not None:
                self._retry = parser.retry
            for index, event in enumerate(events):
                if event.event is None or not event.event.startswith("stream-"):
                    continue
                self._last_control = f"{event.event} {event.data[:200]}"
                if event.event == "stream-end":
                    self._end = end_reason(event)
                elif event.event == "stream-error" and self._settings.raise_stream_error:
                    failure = stream_error(event)
                else:
                    continue
                del events[index:]
                break
            if events:
                yield events
            if failure is not None:
                raise failure
            if self._end is not None:
                return

    def _pieces(self, chunk: bytes) -> Iterable[bytes]:
        if self._settings.on_comment is None:
            return (chunk[start : start + _PIECE] for start in range(0, len(chunk), _PIECE))
        # The parser reports a comment at once, and events when it returns: so that a comment is reported
        # after the events before it, the parser gets a line at a time.
        return _LINES.findall(chunk)

    async def _wait(self, loss: str, cause: Exception | None, served: bool) -> None:
        # [spec] Reestablish the connection: set the readyState to CONNECTING and fire an event named error;
        # wait a delay equal to the reconnection time of the event source; optionally, wait some more.
        self._failures = 0 if served else self._failures + 1
        delay = reconnection_delay(self._retry, self._failures, at_least=self._retry_after)
        self._tell("connecting", loss, delay=delay, error=cause)
        await asyncio.sleep(delay)

    def _tell(
        self,
        state: Literal["connecting", "open", "closed"],
        reason: str,
        *,
        url: str | None = None,
        delay: float = 0.0,
        error: Exception | None = None,
    ) -> None:
        record = ConnectionState(
            state=state,
            reason=reason,
            url=url or self._url,
            status=self._status,
            delay=delay,
            failures=self._failures,
            last_event_id=self._last_event_id,
            error=error,
        )
        _guarded(self._settings.on_state, record)

    def _failed(self, reason: str, detail: str = "") -> ConnectionFailed:
        message = f"{self._request.title}: {reason}" + (f": {detail}" if detail else "")
        return ConnectionFailed(message, status=self._status, reason=reason)

    def _sent_once(self) -> str:
        method = self._request.method
        return "" if self._request.is_safe else f"{method} is sent once, reconnect=True would send it again"

    def _described(self, error: Exception) -> str:
        if isinstance(error, ConnectionFailed):
            return error.reason
        if isinstance(error, aiohttp.SocketTimeoutError):
            return f"no byte came for {self._settings.read_timeout:g} s"
        if isinstance(error, aiohttp.ClientConnectorError):
            return unreachable(error)
        if isinstance(error, aiohttp.ClientPayloadError):
            return "the connection was lost"
        if isinstance(error, aiohttp.TooManyRedirects):
            return f"more than {_REDIRECTS} redirects"
        if isinstance(error, _ASTRAY):
            return f"redirected to {str(error)[:200]!r}, which is no http URL"
        return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _guarded(callback: Callable[[T], object], value: T) -> None:
    """Call a user's function; its exception is reported and stops nothing."""
    try:
        callback(value)
    except Exception as error:
        context: dict[str, Any] = {"message": f"rx_sse: {callback!r} raised", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)
