"""Reactive Server-Sent Events for aiohttp: a handler returns an Observable, its emissions reach the browser.

This file is the library's public face, flat and lazy (PEP 562): ``import rx_sse`` imports none of the rooms,
and the first use of a name imports the room it lives in. A worker that only publishes pays for no aiohttp.

Data flows one way, source → reactive pipeline → wire encoding → delivery → socket, and a room imports only
rooms above it in this list (``tests/test_rooms.py`` holds them to it)::

    errors      the exception tree
    arguments   what users hand over, checked
    tasks       how a task is started, whatever the task factory
    wire        bytes ↔ events, in both directions, without I/O
    delivery    slow readers, and the only place where threads cross
    reactive    reactivex on an event loop
    bus         topics with history and resume
    client      EventSource
    web         aiohttp
    testing, notebook, metrics, demo, terminal, __main__    leaves that no room imports

Every name of ``rx_sse.__all__`` exists in every installation. A class that needs an extra (`RedisBus`,
`RedisPublisher`) raises an ImportError with the line that installs it when it is called. ``rx_sse.testing``,
``rx_sse.notebook`` and ``rx_sse.metrics`` are modules of their own, imported on first use.

It never patches another library, never installs a signal handler, and keeps no state at module level.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    # For type checkers: the names of _HOMES below, from the same homes. One line here, one line there.
    from .bus.bus import Bus as Bus
    from .bus.memory_bus import MemoryBus as MemoryBus
    from .bus.names import topic_name as topic_name
    from .bus.redis.bus import RedisBus as RedisBus
    from .bus.redis.publisher import RedisPublisher as RedisPublisher
    from .bus.runs.run import Run as Run
    from .bus.runs.run import RunStatus as RunStatus
    from .bus.sqlite.bus import SQLiteBus as SQLiteBus
    from .bus.sqlite.publish_in import publish_in as publish_in
    from .bus.sqlite.publisher import SQLitePublisher as SQLitePublisher
    from .bus.topic import Topic as Topic
    from .client.source import EventSource as EventSource
    from .client.state import ConnectionState as ConnectionState
    from .delivery.overflow import Overflow as Overflow
    from .errors import BusClosed as BusClosed
    from .errors import ConnectionFailed as ConnectionFailed
    from .errors import EncodeError as EncodeError
    from .errors import EventTooLarge as EventTooLarge
    from .errors import Overloaded as Overloaded
    from .errors import PublishRefused as PublishRefused
    from .errors import PublishUnknown as PublishUnknown
    from .errors import QueueFull as QueueFull
    from .errors import RxSseError as RxSseError
    from .errors import StreamError as StreamError
    from .errors import StreamInterrupted as StreamInterrupted
    from .errors import TopicNameError as TopicNameError
    from .errors import UsageError as UsageError
    from .reactive.events import as_events as as_events
    from .reactive.iterables import from_async_iterable as from_async_iterable
    from .reactive.iterables import to_async_iterable as to_async_iterable
    from .reactive.retry import retry_backoff as retry_backoff
    from .reactive.scheduler import LoopScheduler as LoopScheduler
    from .reactive.throttle import throttle_latest as throttle_latest
    from .web.admin.application import admin_app as admin_app
    from .web.auth.authenticator import JWTAuth as JWTAuth
    from .web.auth.tickets import Tickets as Tickets
    from .web.bus_app import bus_app as bus_app
    from .web.last_event_id import last_event_id as last_event_id
    from .web.limits import Limits as Limits
    from .web.options import StreamOptions as StreamOptions
    from .web.principal import Principal as Principal
    from .web.principal import principal as principal
    from .web.setup import setup as setup
    from .web.sse import sse as sse
    from .web.stream_response import stream_response as stream_response
    from .wire.event import ServerSentEvent as ServerSentEvent
    from .wire.parser import EventParser as EventParser
    from .wire.raw_frame import RawFrame as RawFrame
else:
    _HOMES = {
        "admin_app": "web.admin.application",
        "as_events": "reactive.events",
        "Bus": "bus.bus",
        "bus_app": "web.bus_app",
        "BusClosed": "errors",
        "ConnectionFailed": "errors",
        "ConnectionState": "client.state",
        "EncodeError": "errors",
        "EventParser": "wire.parser",
        "EventSource": "client.source",
        "EventTooLarge": "errors",
        "from_async_iterable": "reactive.iterables",
        "JWTAuth": "web.auth.authenticator",
        "last_event_id": "web.last_event_id",
        "Limits": "web.limits",
        "LoopScheduler": "reactive.scheduler",
        "MemoryBus": "bus.memory_bus",
        "Overflow": "delivery.overflow",
        "Overloaded": "errors",
        "Principal": "web.principal",
        "principal": "web.principal",
        "publish_in": "bus.sqlite.publish_in",
        "PublishRefused": "errors",
        "PublishUnknown": "errors",
        "QueueFull": "errors",
        "RawFrame": "wire.raw_frame",
        "RedisBus": "bus.redis.bus",
        "RedisPublisher": "bus.redis.publisher",
        "retry_backoff": "reactive.retry",
        "Run": "bus.runs.run",
        "RunStatus": "bus.runs.run",
        "RxSseError": "errors",
        "ServerSentEvent": "wire.event",
        "setup": "web.setup",
        "SQLiteBus": "bus.sqlite.bus",
        "SQLitePublisher": "bus.sqlite.publisher",
        "sse": "web.sse",
        "stream_response": "web.stream_response",
        "StreamError": "errors",
        "StreamInterrupted": "errors",
        "StreamOptions": "web.options",
        "throttle_latest": "reactive.throttle",
        "Tickets": "web.auth.tickets",
        "to_async_iterable": "reactive.iterables",
        "Topic": "bus.topic",
        "topic_name": "bus.names",
        "TopicNameError": "errors",
        "UsageError": "errors",
    }

    # Classes that need an extra: where it is not installed, another class replaces them (`_absent`).
    _EXTRA = {"RedisBus", "RedisPublisher"}

    # Leaves that are attributes of the package; in no list, so that they are imported on first use only.
    _LEAVES = {"metrics", "notebook", "testing"}

    __all__ = list(_HOMES)

    def __getattr__(name: str) -> object:
        # Hidden from type checkers, which would otherwise accept any name.
        from importlib import import_module

        if name in _LEAVES:
            return import_module(f"{__name__}.{name}")
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            value = getattr(import_module(f"{__name__}.{home}"), name)
        except ImportError as missing:
            if name not in _EXTRA:
                raise
            return _absent(name, missing)  # not cached: the extra may be installed meanwhile
        if isinstance(value, type) and "__annotations__" not in vars(value):
            # Users, tracebacks and pickles see `rx_sse.StreamError`, wherever the room keeps it. A class with
            # annotated fields keeps its home: `typing.get_type_hints` looks up the names in them there.
            value.__module__ = __name__
        globals()[name] = value
        return value

    def _absent(name: str, missing: ImportError) -> type:
        """A replacement for a class whose extra is not installed. Inspection finds a class, as help(),
        inspect, hasattr and a star import do; calling it raises the ImportError that says what to install."""

        def refuse(cls: type, *args: object, **options: object) -> object:
            raise ImportError(str(missing), name=missing.name) from missing

        doc = f"Not installed. {missing}"
        return type(name, (), {"__new__": refuse, "__doc__": doc, "__module__": __name__})

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__, *_LEAVES})
