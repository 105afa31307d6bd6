"""`setup`: prepares an application for streams.

Standard: the Fetch standard's CORS protocol (§3.2), for the listed origins, and only for streams and the
mount.
Never: it touches a route that is not rx_sse's, or allows credentials to an origin that is not on the list.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast

from aiohttp import hdrs, web
from reactivex import Observable

from rx_sse.arguments import seconds
from rx_sse.bus import Bus
from rx_sse.errors import UsageError
from rx_sse.web import about
from rx_sse.web.auth.refusals import explain
from rx_sse.web.limits import Limits
from rx_sse.web.negotiation import is_event_source, raw_last_event_id
from rx_sse.web.options import StreamOptions, warn_of_units
from rx_sse.web.origin import ALLOW_ORIGINS, ANY, allowed_origins, parse_origins
from rx_sse.web.principal import REVOKED
from rx_sse.web.registry import REGISTRY, StreamRegistry, registry_of
from rx_sse.web.script import DEFAULT_PATH, add_script
from rx_sse.web.sse import SHARED, is_streaming
from rx_sse.web.stream_response import answer_failure
from rx_sse.web.trusted_proxies import TRUSTED_PROXIES, TrustedProxies

if TYPE_CHECKING:
    from rx_sse.web.tracing import Tracing

ALLOW_HEADERS = ("Last-Event-ID", "Authorization", "Cache-Control", "Content-Type", "Idempotency-Key")
EXPOSED = f"{about.HEARTBEAT}, {about.USER}, Retry-After"
PREFLIGHT_AGE = "600"
"""Seconds that a browser may cache a preflight; Chromium's maximum is 7,200, its default 5."""


def setup(
    app: web.Application,
    *,
    bus: Bus | None = None,
    allow_origins: Iterable[str] = (),
    limits: Limits | None = None,
    trusted_proxies: Iterable[str] = (),
    drain: float = 0.0,
    runs: Literal["stop", "finish"] = "stop",
    debug: bool | None = None,
    tracing: object = False,
    client: str | Literal[False] = DEFAULT_PATH,
    **options: Unpack[StreamOptions],
) -> web.Application:
    """Prepare an application for streams. Call it once, before the application is started.

    Args:
        app: the application. In a tree of sub-applications the outermost `setup` wins.
        bus: started and closed with the application; if several applications share it, closed with the last
            of them. A malformed URL fails at the start, an unreachable Redis does not. The buses of
            sub-applications (`bus_app`, say) are found at the start: their revocations apply here too, and
            without a `bus` the first of them is this application's.
        allow_origins: origins of other sites whose pages may read the streams and publish at a mount, like
            `"https://app.example"`; with `"*"` any page may, without credentials.
        limits: limits on streams and users; see `Limits`.
        trusted_proxies: networks of the proxies in front of the application, like `"10.0.0.0/8"`, and
            `"unix"` for those on a Unix socket. Only from them does `X-Forwarded-For` say a client's address,
            for `Limits(per_address=)`.
        drain: seconds over which open streams are closed at a shutdown. 0 closes all at once.
        runs: the runs of this process at a shutdown. `"stop"`: they are stopped once the streams are closed,
            and resumable runs wait for another process; `"finish"`: they get the `drain` window to end by
            themselves first, while streams continue.
        debug: True shows the errors of streams in their `stream-error` and in the answer, tracebacks
            included, and the reason of a 401 or 403 in its answer; for development. None, the default, is
            the debug mode of the loop.
        tracing: True, or an OpenTelemetry `TracerProvider`: a span for each stream and each publish, linked
            over the bus. It needs the extra `otel`.
        client: the path of `rx_sse.js`, the module for pages; False serves it nowhere.
        **options: defaults for every stream; see `StreamOptions`.

    Returns:
        The same application.

    Raises:
        UsageError: wrong options, an invalid origin or network, an application that is already set up or
            started.
    """
    if not isinstance(app, web.Application):
        raise UsageError(f"rx_sse.setup(app) takes an aiohttp web.Application, not a {type(app).__name__}")
    if REGISTRY in app:
        raise UsageError("rx_sse.setup(app) was called twice for the same application")
    if app.frozen:
        raise UsageError("rx_sse.setup(app) came too late: the application has been started")
    if bus is not None and not isinstance(bus, Bus):
        raise UsageError(f"bus= is a rx_sse.MemoryBus, SQLiteBus or RedisBus, not {kind_of(bus)}")
    if not isinstance(limits, Limits | None):
        raise UsageError(f"limits={limits!r} must be a rx_sse.Limits")
    if debug is not None and not isinstance(debug, bool):
        raise UsageError(f"debug={debug!r} must be True, False or None")
    if runs not in ("stop", "finish"):
        raise UsageError(f"runs={runs!r} must be 'stop' or 'finish'")
    drain = seconds("drain", drain)
    origins = parse_origins(allow_origins)
    proxies = TrustedProxies(trusted_proxies)
    edge = StreamRegistry(
        bus=bus,
        allow_origins=origins,
        limits=limits or Limits(),
        drain=drain,
        finish_runs=runs == "finish",
        options=cast(Mapping[str, Any], options),
        debug=debug,
        tracing=None if tracing is False else _tracing(tracing),
    )
    warn_of_units("rx_sse.setup", options)
    add_script(app, client)
    app[REGISTRY] = edge
    app[ALLOW_ORIGINS] = origins
    app[TRUSTED_PROXIES] = proxies
    edge.proxied = bool(proxies)
    app[REVOKED] = edge.refused
    app.cleanup_ctx.append(edge.life)
    app.on_shutdown.append(edge.shutdown)
    app.middlewares.insert(0, _returning)
    app.middlewares.append(_guard)
    if origins:  # a list of an application below does not count
        app.on_response_prepare.append(_allow_origin)
    return app


def _tracing(given: object) -> Tracing:
    try:
        from rx_sse.web.tracing import tracing_of
    except ImportError as error:
        raise UsageError("setup(tracing=) needs OpenTelemetry: pip install 'rx_sse[otel]'") from error
    return tracing_of(given)


def kind_of(given: object) -> str:
    """The type of a value, in words that do not show it: it may be a URL with a password."""
    if isinstance(given, type):
        return f"the class {given.__name__}"
    name = type(given).__name__
    return f"an {name}" if name[0] in "AEIOUaeiou" else f"a {name}"


Next = Callable[[web.Request], Awaitable[web.StreamResponse]]
RETURNED: web.RequestKey[bool] = web.RequestKey("rx_sse.returned", bool)


@web.middleware
def _returning(request: web.Request, handler: Next) -> Awaitable[web.StreamResponse]:
    """Outside of all other middlewares: a failure in them would be a 500 as well, and end the
    EventSource of a reconnecting client for good. It keeps no frame for a stream that opens for the first
    time."""
    if registry_of(request).debug:
        handler = functools.partial(_explained, handler=handler)
    if raw_last_event_id(request) is not None and is_event_source(request) and RETURNED not in request:
        request[RETURNED] = True  # the outermost of several applications has it
        return _returned(request, handler)
    return handler(request)


async def _explained(request: web.Request, *, handler: Next) -> web.StreamResponse:
    """In the development mode a 401 and a 403 say why."""
    try:
        answer = await handler(request)
    except web.HTTPException as error:
        explain(request, error)
        raise
    explain(request, answer)
    return answer


async def _returned(request: web.Request, handler: Next) -> web.StreamResponse:
    try:
        return await handler(request)
    except Exception as error:
        if request.writer.output_size > 0:  # the headers have left
            raise
        return answer_failure(request, error)


@web.middleware
def _guard(request: web.Request, handler: Next) -> Awaitable[web.StreamResponse]:
    if request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
        return _preflighted(request, handler)
    if is_streaming(request.match_info.handler):  # no frame of ours waits with every stream
        return handler(request)
    return _checked(request, handler)


async def _preflighted(request: web.Request, handler: Next) -> web.StreamResponse:
    answer = await _preflight(request)
    return answer if answer is not None else await _checked(request, handler)


async def _checked(request: web.Request, handler: Next) -> web.StreamResponse:
    """Say so if a handler gives a source to aiohttp, which can do nothing with it."""
    try:
        response: Any = await handler(request)
    except AssertionError as error:
        if not _is_source(response := _refused_by_aiohttp(error)):
            raise
    if _is_source(response):  # `sse` is missing, or stands above the route
        raise UsageError(
            f"the handler of {request.rel_url.raw_path} returned {kind_of(response)} to aiohttp: "
            "put @rx_sse.sse directly above the function, below @routes.get(...)"
        )
    return cast(web.StreamResponse, response)


def _is_source(response: object) -> bool:
    # A WebSocketResponse is an AsyncIterable as well.
    return isinstance(response, Observable | AsyncIterable) and not isinstance(response, web.StreamResponse)


def _refused_by_aiohttp(error: AssertionError) -> object:
    """What a handler returned that is no coroutine function: aiohttp asserts that it is a response, and says
    nothing else."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or not trace.tb_frame.f_globals.get("__name__", "").startswith("aiohttp."):
        return None
    return trace.tb_frame.f_locals.get("result")


def _allowed(request: web.Request) -> str | None:
    """The value for Access-Control-Allow-Origin, if the request's origin may read streams."""
    origin = request.headers.get(hdrs.ORIGIN)
    origins = allowed_origins(request)
    if origin is None:
        return None
    return origin if origin in origins else ANY if ANY in origins else None


def _shared(handler: object, method: str) -> bool:
    """True if pages of listed origins may use a route: its handler streams (a function that `sse` made, or a
    class-based view with such a method), or belongs to the mount."""
    if is_streaming(handler) or getattr(handler, SHARED, False) is True:
        return True
    return isinstance(handler, type) and is_streaming(getattr(handler, method.lower(), None))


async def _preflight(request: web.Request) -> web.StreamResponse | None:
    """The answer to a CORS preflight for a stream or the mount; None if it asks for something else, which is
    not ours to answer."""
    method = request.headers[hdrs.ACCESS_CONTROL_REQUEST_METHOD].upper()
    if not method.isalpha() or _allowed(request) is None:
        return None
    asked = await request.match_info.apps[0].router.resolve(request.clone(method=method))
    if not _shared(asked.handler, method):
        return None
    headers = {
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: method,
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ", ".join(ALLOW_HEADERS),
        hdrs.ACCESS_CONTROL_MAX_AGE: PREFLIGHT_AGE,
    }
    return _with_origin(request, web.Response(status=204, headers=headers))


async def _allow_origin(request: web.Request, response: web.StreamResponse) -> None:
    if allowed_origins(request) and _shared(request.match_info.handler, request.method):
        _with_origin(request, response)
        if request.method != hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_ALLOW_ORIGIN in response.headers:
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED


def _with_origin(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    if not allowed_origins(request):
        return response
    vary = [value.strip() for value in response.headers.get(hdrs.VARY, "").split(",") if value.strip()]
    if hdrs.ORIGIN not in vary:
        response.headers[hdrs.VARY] = ", ".join([*vary, hdrs.ORIGIN])
    if (allowed := _allowed(request)) is not None:
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = allowed
        if getattr(request.match_info.handler, SHARED, False) is True:
            response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = hdrs.RETRY_AFTER
        if allowed != ANY:
            response.headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"
    return response
