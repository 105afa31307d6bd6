"""Reactive Server-Sent Events for aiohttp: a handler returns an Observable, its emissions reach the browser.

This file is the library's public face, flat and lazy (PEP 562): ``import rx_sse`` imports none of the rooms,
and the first use of a name imports the room it lives in. A worker that only publishes pays for no aiohttp.

Data flows one way, source → reactive pipeline → wire encoding → delivery → socket, and a room imports only
rooms above it in this list (``tests/test_rooms.py`` holds them to it)::

    errors      the exception tree
    arguments   what users hand over, checked
    wire        bytes ↔ events, in both directions, without I/O
    delivery    what happens when a reader is slow, and the one place where threads cross
    reactive    where Rx meets an event loop
    bus         topics with history and resume
    client      the other end of a stream
    web         the aiohttp edge
    testing, notebook, metrics, demo, terminal, __main__    leaves that nobody imports

It never patches another library, never installs a signal handler, and keeps no state at module level.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # What a type checker sees: the names of _HOMES below, from the same homes. One line here, one there.
    from .bus.bus import Bus as Bus
    from .bus.memory_bus import MemoryBus as MemoryBus
    from .bus.names import topic_name as topic_name
    from .bus.redis.bus import RedisBus as RedisBus
    from .bus.redis.publisher import RedisPublisher as RedisPublisher
    from .bus.topic import Topic as Topic
    from .client.source import EventSource as EventSource
    from .delivery.overflow import Overflow as Overflow
    from .errors import RxSseError as RxSseError
    from .errors import StreamError as StreamError
    from .reactive.events import as_events as as_events
    from .reactive.iterables import from_async_iterable as from_async_iterable
    from .reactive.iterables import to_async_iterable as to_async_iterable
    from .reactive.retry import retry_backoff as retry_backoff
    from .reactive.scheduler import LoopScheduler as LoopScheduler
    from .reactive.throttle import throttle_latest as throttle_latest
    from .web.admin import admin_app as admin_app
    from .web.auth.authenticator import JWTAuth as JWTAuth
    from .web.handler import sse as sse
    from .web.limits import Limits as Limits
    from .web.mount import bus_app as bus_app
    from .web.options import StreamOptions as StreamOptions
    from .web.principal import Principal as Principal
    from .web.principal import principal as principal
    from .web.response import stream_response as stream_response
    from .web.resume import last_event_id as last_event_id
    from .web.setup import setup as setup
    from .wire.event import RawFrame as RawFrame
    from .wire.event import ServerSentEvent as ServerSentEvent
    from .wire.parser import EventParser as EventParser
else:
    _HOMES = {
        "admin_app": "web.admin",
        "as_events": "reactive.events",
        "Bus": "bus.bus",
        "bus_app": "web.mount",
        "EventParser": "wire.parser",
        "EventSource": "client.source",
        "from_async_iterable": "reactive.iterables",
        "JWTAuth": "web.auth.authenticator",
        "last_event_id": "web.resume",
        "Limits": "web.limits",
        "LoopScheduler": "reactive.scheduler",
        "MemoryBus": "bus.memory_bus",
        "Overflow": "delivery.overflow",
        "Principal": "web.principal",
        "principal": "web.principal",
        "RawFrame": "wire.event",
        "RedisBus": "bus.redis.bus",
        "RedisPublisher": "bus.redis.publisher",
        "retry_backoff": "reactive.retry",
        "RxSseError": "errors",
        "ServerSentEvent": "wire.event",
        "setup": "web.setup",
        "sse": "web.handler",
        "stream_response": "web.response",
        "StreamError": "errors",
        "StreamOptions": "web.options",
        "throttle_latest": "reactive.throttle",
        "to_async_iterable": "reactive.iterables",
        "Topic": "bus.topic",
        "topic_name": "bus.names",
    }

    __all__ = list(_HOMES)

    def __getattr__(name: str) -> object:
        # Out of a type checker's sight, which would otherwise believe in any name at all.
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{home}"), name)
        if isinstance(value, type) and "__annotations__" not in vars(value):
            # Users, tracebacks and pickles see `rx_sse.StreamError`, wherever the room keeps it. A class with
            # annotated fields keeps its home: `typing.get_type_hints` looks up the names in them there.
            value.__module__ = __name__
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
