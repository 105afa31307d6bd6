"""reactivex on an event loop: a scheduler, operators, and bridges to async iterables.

Knows reactivex and asyncio, never aiohttp or redis.
"""

from __future__ import annotations

from rx_sse.reactive.buffer import Overflowed
from rx_sse.reactive.events import as_events
from rx_sse.reactive.iterables import (
    AsyncIterableObservable,
    ObservableIterator,
    from_async_iterable,
    to_async_iterable,
)
from rx_sse.reactive.retry import retry_backoff
from rx_sse.reactive.scheduler import LoopScheduler
from rx_sse.reactive.throttle import throttle_latest

__all__ = [
    "AsyncIterableObservable",
    "LoopScheduler",
    "ObservableIterator",
    "Overflowed",
    "as_events",
    "from_async_iterable",
    "retry_backoff",
    "throttle_latest",
    "to_async_iterable",
]
