"""What all streams of one application share on its loop.

Never: anything here outlives the loop; nothing is made before one runs.
"""

from __future__ import annotations

import asyncio
import threading

from rx_sse.bus.dispatch import Dispatcher
from rx_sse.delivery import Flusher, Inbox, Wheel
from rx_sse.reactive import LoopScheduler


class Parts:
    """The inbox, the scheduler, the flusher and the deadlines of one loop."""

    __slots__ = ("dispatcher", "flusher", "inbox", "loop", "losses", "scheduler", "wheel")

    def __init__(self, dispatcher: Dispatcher | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.dispatcher = dispatcher if dispatcher is not None else Dispatcher(self.loop.call_soon)
        self.inbox = Inbox(self.loop)
        self.scheduler = LoopScheduler(self.loop)
        self.flusher = Flusher(self.loop)
        self.wheel = Wheel(self.loop)
        self.losses = threading.RLock()
        """Held while a pusher on another thread counts an event that found the inbox full."""

    def close(self) -> None:
        """The application has ended."""
        self.inbox.close()
        self.wheel.close()
