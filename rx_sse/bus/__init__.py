"""Topics with history and resume: one `Bus` over a small `Log` port.

Data goes one way: a push (`topic`, `publisher`) through the inbox into the log (`log`, `memory`), which tells
the topic's `relay`; that one hands entries to its live readers (`dispatch`), while those who come back read
what they missed (`reader`, `feed`). The connection's cursor is kept beside all that (`handle`). `relay` and
`reader` are synchronous code over the `host`; asyncio begins in `bus`.

Standard: none. Never: aiohttp; redis in any file but its own.
"""

from rx_sse.bus.bus import Bus
from rx_sse.bus.memory_bus import MemoryBus
from rx_sse.bus.names import topic_name
from rx_sse.bus.topic import Topic

__all__ = ["Bus", "MemoryBus", "Topic", "topic_name"]
