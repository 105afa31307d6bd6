"""Topics with history and resume: one `Bus` over a small `Log` port.

Data flows one way: a push (`topic`, `publisher`) goes through the inbox into the log (`log`), which notifies
the topic's `local_topic`; that hands entries to its live readers (`delivery.fanout`), while readers that
resume first read the entries they missed (`resume`, `events`). The connection's cursor is kept beside the
pipeline (`resume.stream_cursor`). `local_topic` and the readers are synchronous code over the `host`; asyncio
begins in `runtime`.

Never: aiohttp; redis in any file but its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["Bus", "MemoryBus", "Topic", "topic_name"]

if TYPE_CHECKING:
    from rx_sse.bus.bus import Bus as Bus
    from rx_sse.bus.memory_bus import MemoryBus as MemoryBus
    from rx_sse.bus.names import topic_name as topic_name
    from rx_sse.bus.topic import Topic as Topic
else:

    def __getattr__(name: str) -> object:
        # Lazy, because a worker that only publishes imports this room too, and must not load reactivex.
        homes = {"Bus": "bus", "MemoryBus": "memory_bus", "Topic": "topic", "topic_name": "names"}
        if name not in homes:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{homes[name]}"), name)
        globals()[name] = value
        return value
