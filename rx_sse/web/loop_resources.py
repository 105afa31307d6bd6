"""The resources that all streams of one application share on its loop.

Never: anything here outlives the loop; nothing is made before one runs.
"""

from __future__ import annotations

import asyncio
import threading

from rx_sse.delivery import Flusher, Inbox, Wheel
from rx_sse.delivery.fanout import FanOut
from rx_sse.reactive import LoopScheduler


class LoopResources:
    """The inbox, the scheduler, the flusher and the deadlines of one loop."""

    __slots__ = ("fanout", "flusher", "inbox", "loop", "losses", "scheduler", "wheel")

    def __init__(self, fanout: FanOut | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.fanout = fanout if fanout is not None else FanOut(self.loop.call_soon)
        self.inbox = Inbox(self.loop, slice=self.fanout.slice)
        self.scheduler = LoopScheduler(self.loop)
        self.flusher = Flusher(self.loop)
        self.wheel = Wheel(self.loop)
        self.losses = threading.RLock()
        """Held while a pusher on another thread counts an event that found the inbox full."""

    def close(self) -> None:
        """The application has ended."""
        self.inbox.close()
        self.wheel.close()
