"""Makes a source the response to a request.

`stream_response` is `sse` without the decorator: for handlers that decide late whether they stream.

Standard: HTML Living Standard §9.2 (server-sent events), RFC 9112 (HTTP/1.1), docs/architecture.md.
Never: it subscribes to a source whose client has gone, or returns with a subscription left.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, TypeGuard, Unpack, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict
from reactivex import Observable

from rx_sse.errors import Overloaded, StreamError, UsageError
from rx_sse.reactive.observer import is_kind
from rx_sse.web.about import about, of_user
from rx_sse.web.hand_over import EventStreamResponse, HeldHeaders, can_leave, leave
from rx_sse.web.head import Head, has_prepare_handlers
from rx_sse.web.headers import Pairs, headers_of, pairs_of
from rx_sse.web.last_event_id import STREAM_CURSOR
from rx_sse.web.log_fields import request_fields
from rx_sse.web.negotiation import STRICT, accepts_events, is_event_source, raw_last_event_id, resource_of
from rx_sse.web.options import Options, StreamOptions
from rx_sse.web.principal import PRINCIPAL, Principal
from rx_sse.web.problem import told
from rx_sse.web.registry import StreamRegistry, registry_of
from rx_sse.web.rejection import failed_for_now, failure
from rx_sse.web.stream import Source, Stream
from rx_sse.web.transfer_coding import PLAIN, Coding, coding_headers, coding_of
from rx_sse.wire.control import ended_id
from rx_sse.wire.dumps import DUMPS

logger = logging.getLogger("rx_sse")


async def stream_response(
    request: web.Request, source: Observable[Any] | AsyncIterable[Any], /, **options: Unpack[StreamOptions]
) -> web.StreamResponse:
    """Answer a request with a stream, and return when it has ended, or when its headers are sent
    (`hold_request`).

    Args:
        request: the request that the handler got.
        source: an Observable, or an async iterable (which is pulled, as fast as the client reads).
        **options: as for `sse`; they overlay the application's.

    Returns:
        The response; return it from the handler.

    Raises:
        UsageError: the application was not set up, or the source is neither.
        web.HTTPException: the source failed with it before the headers, or the client does not accept event
            streams.
    """
    return await _streamed(request, source, cast(Mapping[str, Any], options))


async def _begin(
    request: web.Request, source: object, options: Mapping[str, Any]
) -> Begun | web.StreamResponse:
    edge = registry_of(request)
    resolved = edge.once(options)
    if (refusal := precondition(request, resolved)) is not None:
        return refusal
    with encoding(resolved):
        who = request.get(PRINCIPAL)
        return await begin(edge, request, check_source(source, "source"), resolved, who)


class encoding:  # as `contextlib.suppress`: used like a function
    """Events made in this block, and in work started in it, are encoded with the stream's `dumps=`."""

    __slots__ = ("_dumps", "_token")

    def __init__(self, options: Options) -> None:
        self._dumps = options.dumps

    def __enter__(self) -> None:
        changes = self._dumps is not DUMPS.get()
        self._token = DUMPS.set(self._dumps) if changes else None

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            DUMPS.reset(self._token)


def precondition(request: web.Request, options: Options) -> web.StreamResponse | None:
    """The answer to a request that gets no stream, whatever the handler: HEAD, 406, or 204 for an ended
    stream."""
    if not accepts_events(request.headers):
        return web.Response(status=406, text="This resource is an event stream (text/event-stream).")
    if request.method == "HEAD":
        coding = coding_of(request, options)
        own = own_headers(request, options)
        return web.StreamResponse(headers=response_headers(own, coding, options, request.get(PRINCIPAL)))
    stops = options.on_end == "stop" and not options.strict
    came_from = raw_last_event_id(request) if stops else None
    if came_from is not None and came_from == ended_id(*resource_of(request)):
        return web.Response(status=204)
    return None


def own_headers(request: web.Request, options: Options) -> Pairs:
    """The headers of the option `headers=` for a request.

    Raises:
        UsageError: the result of its function cannot be sent.
        Exception: its function raised this.
    """
    return pairs_of(options.headers(request)) if callable(options.headers) else options.headers


def response_headers(
    own: Pairs, coding: Coding, options: Options, principal: Principal | None
) -> CIMultiDict[str]:
    """The headers of a stream. Other streams may share them: copy them to change them."""
    if principal is None and own is options.headers:
        return head_of(own, coding, options).headers
    return headers_of(own, coding_headers(coding, options) | about(principal, options))


def head_of(own: Pairs, coding: Coding, options: Options) -> Head:
    """The head that all streams with these options and this coding have, but for the user's mark."""
    head = options.heads.get(coding.content)
    if head is None:
        said = coding_headers(coding, options) | about(None, options)
        head = options.heads[coding.content] = Head(headers_of(own, said))
    return head


def is_source(source: object) -> TypeGuard[Source]:
    """Whether an object is an Observable or an async iterable, and not a response."""
    kind: Any = type(source)
    return _is_source_type(kind)


@lru_cache(maxsize=256)
def _is_source_type(kind: type[object]) -> bool:
    # A WebSocketResponse is an AsyncIterable as well.
    return issubclass(kind, Observable | AsyncIterable) and not issubclass(kind, web.StreamResponse)


def check_source(source: object, what: str) -> Source:
    """The source, if it is one.

    Raises:
        UsageError: it is not; the message has the type, and what to do.
    """
    if is_source(source):
        return source
    if source is None:
        raise UsageError(
            f"{what} is None: return an Observable or an async iterable (is a 'return' missing?)"
        )
    raise UsageError(
        f"{what} is a {type(source).__name__}: an event stream needs an Observable or an async iterable"
        + (" (rx.from_iterable makes one of a list)" if isinstance(source, list | tuple | set) else "")
    )


class Begun(NamedTuple):
    """A stream whose headers are sent, and whose request aiohttp keeps until its end."""

    stream: Stream
    response: EventStreamResponse
    writer: AbstractStreamWriter


Beginning = Callable[..., Awaitable["Begun | web.StreamResponse"]]


def streaming(begin: Beginning) -> Callable[..., Coroutine[Any, Any, web.StreamResponse]]:
    """The coroutine function that starts a stream and returns its response when it has ended.

    Args:
        begin: called with the arguments. Its local variables are freed when the headers are sent: an open
            stream costs one small frame of the library.
    """

    async def answer(*args: Any, **kwargs: Any) -> web.StreamResponse:
        begun = await begin(*args, **kwargs)
        del args, kwargs
        if not isinstance(begun, Begun):  # another answer, or the stream continues by itself
            return begun
        try:
            if begun.stream.closed is not None:
                await begun.stream.closed
            return await _finish(begun)
        finally:
            begun.stream.release()

    return answer


async def begin(
    edge: StreamRegistry,
    request: web.Request,
    source: Source,
    options: Options,
    principal: Principal | None,
    *,
    admitted: bool = False,
) -> Begun | web.StreamResponse:
    """Subscribe to a source and send the headers to the client of a request; or answer otherwise.

    Args:
        admitted: admission has just been checked, and nothing was awaited since. Otherwise it is checked
            again: other streams may have opened while the handler ran, or the shutdown begun.
    """
    transport = request.transport
    if transport is None or transport.is_closing():
        return web.StreamResponse()  # the client has gone: nothing is subscribed, and no client reads this
    if not admitted:
        refusal = edge.refuse(request, principal, strict=options.strict)
        if refusal is not None:
            return refusal
    coding = coding_of(request, options)
    try:
        own = own_headers(request, options)
    except Exception as error:
        return answer_failure(request, error, options)
    stream = Stream(edge, transport, request, options, coding, request.get(STREAM_CURSOR), principal)
    opened = False
    try:
        stream.subscribe(source)
        try:
            await stream.gate.wait()
        except Exception as error:
            return answer_failure(request, error, options)
        leaves = _leaves(stream, request, transport, source, options)
        if leaves and coding is not PLAIN and own is options.headers and not has_prepare_handlers(request):
            mark = None if principal is None else of_user(principal)
            headers, data = head_of(own, coding, options).now(mark)
            response = EventStreamResponse(headers=headers)
            response.force_close()
            if stream.connection.lost or transport.is_closing():
                return response
            request.writer.output_size += len(data)
        else:
            response = EventStreamResponse(headers=response_headers(own, coding, options, principal))
            if coding is PLAIN or leaves:
                response.force_close()
            prepared = await _prepare(response, request, transport, stream)
            if prepared is None:
                return response
            data = prepared
            chunked = "Transfer-Encoding" in response.headers
            if chunked is (coding is PLAIN) or "Content-Length" in response.headers:
                transport.write(data)
                raise UsageError("something gave the event stream a Content-Length: a stream has none")
            if not leaves:
                stream.closed = edge.parts.loop.create_future()
        stream.open(data, stays=not leaves)
        opened = True
        if not leaves or stream.connection.lost:
            return Begun(stream, response, request.writer)
        stream.take_over(leave(request, response, request.writer.output_size))
        return response
    finally:
        if not opened:
            stream.release()


async def _prepare(
    response: EventStreamResponse, request: web.Request, transport: asyncio.Transport, stream: Stream
) -> bytes | None:
    """The head of a response as aiohttp makes it; None if the client has gone."""
    if stream.connection.lost:
        return None
    held = HeldHeaders(request, transport)
    try:
        writer = await response.prepare(request)
    except ConnectionError:
        return None
    finally:
        held.release()
    return None if writer is None or stream.connection.lost else held.data


def _leaves(
    stream: Stream, request: web.Request, transport: asyncio.Transport, source: Source, options: Options
) -> bool:
    """Whether the socket is handed over when the headers are sent. A stream that has ended already does not
    need it: its connection can be reused."""
    hold = options.hold_request
    if hold is None:
        hold = not is_kind(type(source), Observable)
    return not hold and not stream.ended and can_leave(request, transport)


async def _finish(begun: Begun) -> web.StreamResponse:
    """The stream has ended: aiohttp has its connection again, and ends the response."""
    stream, response, writer = begun
    stream.connection.detach()
    writer.output_size += stream.connection.sent
    if not stream.connection.lost:
        with contextlib.suppress(ConnectionError):
            await response.write_eof()
    return response


def answer_failure(
    request: web.Request, error: Exception, options: Options | None = None
) -> web.StreamResponse:
    """The answer to a failure before the headers: a status, unless that would end an EventSource for good.

    A native EventSource sends the same request for the first time and again, as long as its stream has no
    ids. So an unexpected failure is answered to both as it would be after the headers: with `stream-error`
    and the reconnection time. A `web.HTTPException` is the answer as it is. The status that a `StreamError`
    names, and the 500 of a call that can never work, are sent to clients without a `Last-Event-ID`.
    """
    edge = registry_of(request)
    strict = options.strict if options is not None else request.get(STRICT, edge.defaults.strict)
    if isinstance(error, Overloaded):
        return edge.unavailable(request, error, strict=strict)
    if not strict and is_event_source(request) and _is_unexpected(request, error):
        if not told(error):
            asyncio.get_running_loop().call_exception_handler(
                {
                    "message": f"rx_sse: {request.method} {request.rel_url.raw_path} failed",
                    "exception": error,
                }
            )
        return failed_for_now(error, debug=edge.debug)
    if edge.debug and not told(error):
        path, fields = request.rel_url.raw_path, request_fields(request)
        logger.error("%s %s failed", request.method, path, exc_info=error, extra=fields)
    return failure(error, debug=edge.debug)


def _is_unexpected(request: web.Request, error: Exception) -> bool:
    if isinstance(error, web.HTTPException):
        return False
    chosen = isinstance(error, UsageError) or (isinstance(error, StreamError) and error.status is not None)
    return not chosen or raw_last_event_id(request) is not None


_streamed = streaming(_begin)
