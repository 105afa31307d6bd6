"""A source becomes the response to a request.

`stream_response` is `sse` without the decorator: for handlers that decide late whether they stream.

Standard: HTML Living Standard §9.2 (server-sent events), RFC 9112 (HTTP/1.1), design §5.
Never: it subscribes to a source whose client has gone, or returns with a subscription left.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, Awaitable, Callable, Coroutine, Mapping
from typing import Any, NamedTuple, TypeGuard, Unpack, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from reactivex import Observable

from rx_sse.errors import Overloaded, UsageError
from rx_sse.web.about import about
from rx_sse.web.coding import PLAIN, coding_of, headers_of
from rx_sse.web.edge import Edge, edge_of
from rx_sse.web.negotiation import accepts_events, is_event_source, raw_last_event_id, resource_of
from rx_sse.web.options import Options, StreamOptions
from rx_sse.web.principal import PRINCIPAL
from rx_sse.web.problem import told
from rx_sse.web.refusal import STREAM_HEADERS, failed_again, failure
from rx_sse.web.resume import RESUME
from rx_sse.web.stream import Source, Stream
from rx_sse.wire.control import ended_id


async def stream_response(
    request: web.Request, source: Observable[Any] | AsyncIterable[Any], /, **options: Unpack[StreamOptions]
) -> web.StreamResponse:
    """Answer a request with a stream, and return when it has ended.

    Args:
        request: the request that the handler got.
        source: an Observable, or an async iterable (which is pulled, as fast as the client reads).
        **options: as for `sse`; they overlay the application's.

    Returns:
        The response, finished; return it from the handler.

    Raises:
        UsageError: the application was not set up, or the source is neither.
        web.HTTPException: the source failed with it before the headers, or the client does not accept event
        streams.
    """
    return await _streamed(request, source, cast(Mapping[str, Any], options))


async def _begin(
    request: web.Request, source: object, options: Mapping[str, Any]
) -> Begun | web.StreamResponse:
    edge = edge_of(request)
    resolved = edge.once(options)
    if (refusal := precondition(request, resolved)) is not None:
        return refusal
    return await begin(edge, request, check_source(source, "source"), resolved)


def precondition(request: web.BaseRequest, options: Options) -> web.StreamResponse | None:
    """The answer to a request that gets no stream, whatever the handler: HEAD, 406, or 204 for what has
    ended."""
    if not accepts_events(request.headers):
        return web.Response(status=406, text="This resource is an event stream (text/event-stream).")
    if request.method == "HEAD":
        headers = headers_of(coding_of(request, options), options) | about(request, options)
        return web.StreamResponse(headers=STREAM_HEADERS | headers)
    came_from = raw_last_event_id(request) if options.on_end == "stop" else None
    if came_from is not None and came_from == ended_id(*resource_of(request)):
        return web.Response(status=204)
    return None


def _is_source(source: object) -> TypeGuard[Source]:
    return isinstance(source, Observable | AsyncIterable)


def check_source(source: object, what: str) -> Source:
    """The source, if it is one.

    Raises:
        UsageError: with what was given instead, and what to do.
    """
    if _is_source(source):
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
    """A stream whose headers are out."""

    stream: Stream
    response: web.StreamResponse
    writer: AbstractStreamWriter


Beginning = Callable[..., Awaitable["Begun | web.StreamResponse"]]


def streaming(begin: Beginning) -> Callable[..., Coroutine[Any, Any, web.StreamResponse]]:
    """The coroutine function that begins a stream and returns its response when it has ended.

    Args:
        begin: gets the arguments. What it keeps is gone when the headers are out: an open stream costs one
            small frame of ours.
    """

    async def answer(*args: Any, **kwargs: Any) -> web.StreamResponse:
        begun = await begin(*args, **kwargs)
        del args, kwargs
        if isinstance(begun, web.StreamResponse):
            return begun
        try:
            await begun.stream.closed
            return await _finish(begun)
        finally:
            begun.stream.release()

    return answer


async def begin(
    edge: Edge, request: web.Request, source: Source, options: Options
) -> Begun | web.StreamResponse:
    """Subscribe to a source and send the headers to the client of a request; or answer otherwise."""
    transport = request.transport
    if transport is None or transport.is_closing():
        return web.StreamResponse()  # the client has gone: nothing is subscribed, and nobody reads this
    # Asked again: others may have come while the handler was at work, or the shutdown.
    if (refusal := edge.refuse(request, request.get(PRINCIPAL))) is not None:
        return refusal
    coding = coding_of(request, options)
    stream = Stream(edge, transport, request, options, coding, request.get(RESUME))
    begun: Begun | None = None
    try:
        stream.subscribe(source)
        try:
            await stream.gate.wait()
        except Exception as error:
            return answer_failure(request, error)
        headers = STREAM_HEADERS | headers_of(coding, options) | about(request, options)
        response = web.StreamResponse(headers=headers)
        if coding is PLAIN:
            response.force_close()
        if stream.connection.lost:
            return response
        try:
            writer = await response.prepare(request)
        except ConnectionError:
            return response
        if writer is None or stream.connection.lost:
            return response
        chunked = "Transfer-Encoding" in response.headers
        if chunked is (coding is PLAIN) or "Content-Length" in response.headers:
            raise UsageError("something gave the event stream a Content-Length: a stream has none")
        stream.open(transport.write)
        begun = Begun(stream, response, writer)
        return begun
    finally:
        if begun is None:
            stream.release()


async def _finish(begun: Begun) -> web.StreamResponse:
    """The stream has ended: aiohttp has its connection again, and ends the response."""
    stream, response, writer = begun
    stream.connection.detach()
    writer.output_size += stream.connection.sent
    if not stream.connection.lost:
        with contextlib.suppress(ConnectionError):
            await response.write_eof()
    return response


def answer_failure(request: web.BaseRequest, error: Exception) -> web.StreamResponse:
    """The answer to a failure before the headers: a status, unless that would end an EventSource that comes
    back."""
    unexpected = not isinstance(error, web.HTTPException | Overloaded)
    if unexpected and is_event_source(request) and raw_last_event_id(request) is not None:
        if not told(error):
            asyncio.get_running_loop().call_exception_handler(
                {
                    "message": f"rx_sse: {request.method} {request.rel_url.raw_path} failed on a reconnect",
                    "exception": error,
                }
            )
        return failed_again(error)
    return failure(request, error)


_streamed = streaming(_begin)
