"""The options of a stream, their defaults and their checks.

The same names serve `sse`, `setup` (as defaults) and `stream_response`. All durations are seconds; `retry`
alone is integer milliseconds, because it mirrors the wire (HTML Living Standard §9.2.6, "retry").
Never: an option is read while a stream runs; options are resolved once, when it starts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import Any, Literal, TypedDict

from aiohttp import web

from rx_sse.arguments import function, seconds
from rx_sse.delivery import Overflow
from rx_sse.delivery.overflow import Policy
from rx_sse.errors import UsageError
from rx_sse.web.head import Head
from rx_sse.web.headers import Headers, Pairs, pairs_of
from rx_sse.wire.dumps import Dumps
from rx_sse.wire.fields import MAX_RETRY

logger = logging.getLogger("rx_sse")

Control = Literal["events", "none"]
OnError = Callable[[Exception], Any]
OnEnd = Literal["stop", "reconnect"]
Compress = Literal["zstd"]


class StreamOptions(TypedDict, total=False):
    """Keyword options of `sse`, `setup` and `stream_response`.

    Options:
        overflow: What happens to a slow reader: a policy's name, or an `Overflow` with limits.
            Default `"disconnect"`.
        heartbeat: Seconds without traffic after which a comment is sent; 0 or None for never.
            Default 15; with `control="none"` never, unless it is given.
        retry: Milliseconds after which the client reconnects. None, the default, leaves the
            client's own; a client that reconnects is sent 3000, because it may still use the
            time that an earlier connection sent.
        hold_headers: Seconds that the response headers wait for a first emission or failure.
            Default 0.05.
        write_timeout: Seconds after which a reader that accepts no byte is ended. Default 30.
        on_end: `"stop"`: after `stream-end` the browser's reconnect is answered 204. `"reconnect"`:
            the source runs again. Default `"stop"`.
        max_duration: Seconds after which a stream is closed, for a resume (with 10 % of jitter);
            None for never. Default None.
        prelude_bytes: Bytes that a source may emit while it is being subscribed. Default 8 MiB.
        close_timeout: Seconds that a reader has to receive queued events when its stream ends.
            Default 2.
        dumps: Replaces the JSON encoder: returns JSON text. It applies to values of the handler
            and its pipeline, and to the events that they make. That of `setup` is the bus's as well,
            unless it has its own. Default None.
        compress: `"zstd"` compresses each event, once for all clients that accept it. Default None.
        control: `"events"`: the stream reports its state in events named `stream-…`. `"none"`:
            only bytes that the source emitted, for clients that accept only their own protocol;
            after any end but the source's own the connection is cut.
            Default `"events"`.
        on_error: Called with the error when a stream fails after its headers; its result is
            sent as the last event, instead of `stream-error`; None for nothing. With
            `control="none"` also for a `StreamInterrupted`. Default None.
        headers: Response headers of the stream: a mapping, or pairs (several `Set-Cookie`), or a
            function of the request that returns them. Default None.
        hold_request: True keeps the handler waiting, and with it the request and anything that
            middlewares opened for it, until the stream ends; False releases both once the headers
            are sent, which takes a fifth of the memory. None, the default: True for an async
            iterable, False for an Observable.
    """

    overflow: Policy | Overflow
    """What happens to a slow reader: a policy's name, or an `Overflow` with limits. Default
    `"disconnect"`."""
    heartbeat: float | None
    """Seconds without traffic after which a comment is sent; 0 or None for never. Default 15; with
    `control="none"` never, unless it is given."""
    retry: int | None
    """Milliseconds after which the client reconnects. None, the default, leaves the client's own; a client
    that reconnects is sent 3000, because it may still use the time that an earlier connection sent."""
    hold_headers: float
    """Seconds that the response headers wait for a first emission or failure. Default 0.05."""
    write_timeout: float
    """Seconds after which a reader that accepts no byte is ended. Default 30."""
    on_end: OnEnd
    """`"stop"`: after `stream-end` the browser's reconnect is answered 204. `"reconnect"`: the source runs
    again. Default `"stop"`."""
    max_duration: float | None
    """Seconds after which a stream is closed, for a resume (with 10 % of jitter); None for never. Default
    None."""
    prelude_bytes: int
    """Bytes that a source may emit while it is being subscribed. Default 8 MiB."""
    close_timeout: float
    """Seconds that a reader has to receive queued events when its stream ends. Default 2."""
    dumps: Dumps | None
    """Replaces the JSON encoder: returns JSON text. It applies to values of the handler and its pipeline, and
    to the events that they make. That of `setup` is the bus's as well, unless it has its own. Default
    None."""
    compress: Compress | None
    """`"zstd"` compresses each event, once for all clients that accept it. Default None."""
    control: Control
    """`"events"`: the stream reports its state in events named `stream-…`. `"none"`: only bytes that the
    source emitted, for clients that accept only their own protocol; after any end but the source's own the
    connection is cut. Default `"events"`."""
    on_error: OnError | None
    """Called with the error when a stream fails after its headers; its result is sent as the last event,
    instead of `stream-error`; None for nothing. With `control="none"` also for a `StreamInterrupted`.
    Default None."""
    headers: Headers | Callable[[web.Request], Headers] | None
    """Response headers of the stream: a mapping, or pairs (several `Set-Cookie`), or a function of the
    request that returns them. Default None."""
    hold_request: bool | None
    """True keeps the handler waiting, and with it the request and anything that middlewares opened for it,
    until the stream ends; False releases both once the headers are sent, which takes a fifth of the memory.
    None, the default: True for an async iterable, False for an Observable."""


ENDS_ALL = "would end every stream at once"
DISCONNECT = Overflow("disconnect")


@dataclass(frozen=True, slots=True)
class Options:
    """`StreamOptions`, complete and checked."""

    overflow: Overflow = DISCONNECT
    heartbeat: float | None = 15.0
    retry: int | None = None
    hold_headers: float = 0.05
    write_timeout: float = 30.0
    on_end: OnEnd = "stop"
    max_duration: float | None = None
    prelude_bytes: int = 8 * 1024 * 1024
    close_timeout: float = 2.0
    dumps: Dumps | None = None
    compress: Compress | None = None
    control: Control = "events"
    on_error: OnError | None = None
    headers: Pairs | Callable[[web.Request], Headers] = ()
    hold_request: bool | None = None
    strict: bool = field(init=False)
    """The stream contains nothing but its source's bytes."""
    heads: dict[str | None, Head] = field(
        init=False, repr=False, compare=False, default_factory=dict[str | None, Head]
    )
    """Those of the responses, by content coding; filled when the first stream with these options starts."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "strict", self.control == "none")


GIVEN = tuple(option for option in fields(Options) if option.init)
IN_MILLISECONDS = 100
"""A `retry` below it is probably meant in seconds: a server would be asked more than ten times a second."""
IN_SECONDS = 1_000.0
"""A `heartbeat` or `write_timeout` from it on is probably meant in milliseconds."""
NAMES = frozenset(option.name for option in GIVEN)
DEFAULTS: Mapping[str, Any] = {option.name: option.default for option in GIVEN} | {
    "overflow": "disconnect",
    "headers": None,
}


def resolve(*layers: Mapping[str, Any]) -> Options:
    """Defaults, overlaid by each layer in turn.

    Raises:
        UsageError: an unknown name, or an invalid value, with the value.
    """
    given: dict[str, Any] = {}
    for layer in layers:
        given.update(layer)
    if unknown := given.keys() - NAMES:
        raise UsageError(f"unknown option {min(unknown)!r}; the options are {', '.join(sorted(NAMES))}")
    if "overflow" in given:
        given["overflow"] = Overflow.of(given["overflow"])
    for name in ("hold_headers", "write_timeout", "close_timeout"):
        if name in given:
            given[name] = seconds(name, given[name], zero="" if name == "hold_headers" else ENDS_ALL)
    if "heartbeat" in given:
        given["heartbeat"] = seconds("heartbeat", given["heartbeat"], optional=True) or None
    if "max_duration" in given:
        given["max_duration"] = seconds("max_duration", given["max_duration"], zero=ENDS_ALL, optional=True)
    retry = given.get("retry")
    if retry is not None and (type(retry) is not int or not 0 <= retry <= MAX_RETRY):
        raise UsageError(
            f"retry={retry!r} must be an integer number of milliseconds from 0 to {MAX_RETRY}, or None"
        )
    if type(given.get("prelude_bytes", 1)) is not int or given.get("prelude_bytes", 1) < 1:
        raise UsageError(f"prelude_bytes={given['prelude_bytes']!r} must be an integer of at least 1")
    if given.get("on_end", "stop") not in ("stop", "reconnect"):
        raise UsageError(f"on_end={given['on_end']!r} must be 'stop' or 'reconnect'")
    if (dumps := given.get("dumps")) is not None and not callable(dumps):
        raise UsageError(f"dumps={dumps!r} must be a function of a value that returns JSON text, or None")
    if given.get("control", "events") not in ("events", "none"):
        raise UsageError(f"control={given['control']!r} must be 'events' or 'none'")
    if given.get("control") == "none":
        given.setdefault("heartbeat", None)
    function("on_error", given.get("on_error"), "a function of an exception that returns the last event")
    if "headers" in given and not callable(given["headers"]):
        given["headers"] = pairs_of(given["headers"])
    if given.get("hold_request") not in (None, True, False):
        raise UsageError(f"hold_request={given['hold_request']!r} must be True, False or None")
    if given.get("compress") is not None:
        if given["compress"] != "zstd":
            raise UsageError(f"compress={given['compress']!r} must be 'zstd' or None")
        import_module("rx_sse.wire.zstd")  # a missing extra raises here, not when the first client connects
    return Options(**given)


def warn_of_units(where: str, given: Mapping[str, Any]) -> None:
    """Log options whose value fits the other unit. They stay as they are.

    Args:
        where: the function that got them.
        given: options that `resolve` has accepted.
    """
    if (retry := given.get("retry")) is not None and 0 < retry < IN_MILLISECONDS:
        logger.warning(
            "%s: retry=%d is in milliseconds: clients reconnect after %d ms; for %d s give retry=%d",
            where, retry, retry, retry, retry * 1000,
        )  # fmt: skip
    for name in ("heartbeat", "write_timeout"):
        if (value := given.get(name)) is not None and value >= IN_SECONDS:
            logger.warning(
                "%s: %s=%g is in seconds, which is %.0f minutes; for %g ms give %s=%g",
                where, name, value, value / 60, value, name, value / 1000,
            )  # fmt: skip
