"""The decorator `sse`.

It turns a handler (a function that returns an Observable, an async generator, a method) into the coroutine
function that aiohttp serves. The steps from a request to its stream happen here, in this order: negotiation,
authentication, admission, the handler, the stream.

Standard: RFC 9110, RFC 6750 (through `auth=`).
Never: it changes the handler; `__wrapped__` is the function as written.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from typing import Any, ParamSpec, Unpack, cast, overload

from aiohttp import web
from reactivex import Observable

from rx_sse.errors import Overloaded, UsageError
from rx_sse.web.auth.challenge import Told, no_credentials
from rx_sse.web.last_event_id import unasked
from rx_sse.web.negotiation import STRICT
from rx_sse.web.options import StreamOptions, resolve, warn_of_units
from rx_sse.web.principal import PRINCIPAL, Principal
from rx_sse.web.registry import registry_of
from rx_sse.web.rejection import Cause
from rx_sse.web.stream import Source
from rx_sse.web.stream_response import (
    Begun,
    answer_failure,
    begin,
    check_source,
    encoding,
    is_source,
    precondition,
    streaming,
)

P = ParamSpec("P")
Result = Observable[Any] | AsyncIterable[Any] | web.StreamResponse
Handler = Callable[P, "Result | Awaitable[Result]"]
Auth = Callable[[web.Request], "Awaitable[Principal | None] | Principal | None"]
Streaming = Callable[P, "Awaitable[web.StreamResponse]"]

MARK = "__rx_sse__"
SHARED = "__rx_sse_shared__"
"""Marks a handler that is not a stream and that pages of `allow_origins` may use all the same."""


@overload
def sse(handler: Handler[P], /) -> Streaming[P]: ...
@overload
def sse(
    handler: None = None, /, *, auth: Auth | None = None, **options: Unpack[StreamOptions]
) -> Callable[[Handler[P]], Streaming[P]]: ...
def sse(handler: Any = None, /, *, auth: Auth | None = None, **options: Unpack[StreamOptions]) -> Any:
    """Serve the result of a handler as an event stream.

    Place it below the route::

        @routes.get("/ticks")
        @rx_sse.sse
        def ticks(request: web.Request) -> rx.Observable[int]:
            return rx.interval(1.0)

    Args:
        handler: a function, coroutine function or async generator of a request; a method of a `web.View` or
            of any class. It returns an Observable (subscribed), an async iterable (pulled), or a
            `web.StreamResponse` (passed through).
        auth: called with the request before the handler, for HEAD too; returns a `Principal`, or None for
            401; may be a coroutine function and may raise a `web.HTTPException`.
        **options: see `StreamOptions`; they overlay those of `setup`.

    Returns:
        The coroutine function for aiohttp's routes; without a handler, a decorator. `__wrapped__` is the
        handler itself.

    Raises:
        UsageError: at once for wrong options or use as `@sse("/path")`; per request (and so 500, logged) for
            a handler that returns any other type, or an application without `setup`.
    """
    resolve(options)
    if auth is not None and not callable(auth):
        raise UsageError(
            f"auth= is a {type(auth).__name__}: give a function of a request that returns a Principal or None"
        )
    if handler is None:
        return functools.partial(_decorate, auth=auth, options=cast(Mapping[str, Any], options))
    if not callable(handler):
        raise UsageError(
            f"@rx_sse.sse({handler!r}): sse takes no path; put @routes.get({handler!r}) above @rx_sse.sse"
            if isinstance(handler, str)
            else f"@rx_sse.sse decorates a handler, not a {type(handler).__name__}"
        )
    return _decorate(handler, auth=auth, options=cast(Mapping[str, Any], options))


def _decorate(
    handler: Callable[..., Any], *, auth: Auth | None, options: Mapping[str, Any]
) -> Callable[..., Any]:
    if not callable(handler):
        raise UsageError(f"@rx_sse.sse decorates a handler, not {handler!r}")
    if inspect.isclass(handler):
        raise UsageError(
            f"@rx_sse.sse on the class {handler.__name__}: decorate its methods (get, post) instead"
        )
    name = getattr(handler, "__qualname__", repr(handler))
    if inspect.isgeneratorfunction(handler):
        raise UsageError(
            f"@rx_sse.sse on {name}: a plain function with yield is a generator, which would hold the loop "
            "until it is at its end; make it `async def`, or return rx.from_iterable(...)"
        )
    warn_of_units(f"@rx_sse.sse on {name}", options)

    async def begun(*args: Any, **kwargs: Any) -> Begun | web.StreamResponse:
        request = _request_among(args, name)
        edge = registry_of(request)
        resolved = edge.options(options)
        if resolved.strict is not edge.defaults.strict:
            request[STRICT] = resolved.strict
        if auth is not None:
            try:
                edge.heed(auth)
                request[PRINCIPAL] = await authenticate(auth, request)
            except Overloaded as error:  # the token cannot be checked at the moment
                return edge.unavailable(request, error, Cause.UNKNOWN_TOKEN, strict=resolved.strict)
            except Exception as error:  # a refusal, or the token cannot be checked at the moment
                return answer_failure(request, error, resolved)
        try:
            refusal = precondition(request, resolved)
        except Exception as error:
            return answer_failure(request, error, resolved)
        who: Principal | None = request.get(PRINCIPAL)
        if refusal is None:
            refusal = edge.refuse(request, who, strict=resolved.strict)
        if refusal is not None:
            return refusal
        waited = False
        with encoding(resolved), unasked(request, edge.notices):
            try:
                result: Any = handler(*args, **kwargs)
                if is_source(result):
                    source: Source = result
                else:
                    if not isinstance(result, Observable | AsyncIterable) and inspect.isawaitable(result):
                        waited = True
                        result = await result
                    if isinstance(result, web.StreamResponse):
                        return result
                    source = check_source(cast(object, result), f"what {name} returned")
            except Exception as error:
                return answer_failure(request, error, resolved)
            return await begin(edge, request, source, resolved, who, admitted=not waited)

    answer = functools.wraps(handler)(streaming(begun))
    setattr(answer, MARK, True)
    return answer


def is_streaming(handler: object) -> bool:
    """True for functions made by `sse`."""
    return getattr(handler, MARK, False) is True


async def authenticate(auth: Auth, request: web.Request) -> Principal:
    """The principal of a request, by `auth`.

    Raises:
        web.HTTPUnauthorized: it returned None.
        UsageError: it returned neither a `Principal` nor None.
        Exception: it raised this.
    """
    try:
        found = auth(request)
        principal = await found if inspect.isawaitable(found) else found
    except (web.HTTPUnauthorized, web.HTTPForbidden) as error:
        if not isinstance(error, Told):
            registry_of(request).refusals.tell(request, error.status, f"auth={_name_of(auth)} raised it")
        raise
    if principal is None:
        registry_of(request).refusals.tell(request, 401, f"auth={_name_of(auth)} returned None")
        raise no_credentials()
    if not isinstance(principal, Principal):
        raise UsageError(
            f"auth={_name_of(auth)} returned a {type(principal).__name__}: "
            "return a rx_sse.Principal, or None for 401"
        )
    return principal


def _name_of(auth: object) -> str:
    return str(getattr(auth, "__qualname__", type(auth).__name__))


def _request_among(args: tuple[Any, ...], name: str) -> web.Request:
    for arg in reversed(args):
        if isinstance(arg, web.Request):
            return arg
        if isinstance(arg, web.View):
            return arg.request
    raise UsageError(
        f"{name} was called without a request: it serves aiohttp's routes; call its __wrapped__ in tests"
    )
