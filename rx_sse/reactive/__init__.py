"""Where Rx meets an event loop: the scheduler, operators, and bridges to async iterables. Imports no web framework."""

from __future__ import annotations

from rx_sse.reactive.scheduler import LoopScheduler

__all__ = ["LoopScheduler"]
