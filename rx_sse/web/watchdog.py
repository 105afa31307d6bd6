"""Detects and names code that blocks the event loop.

While a handler, a generator or an operator works without a pause, no stream of the process makes progress,
and nothing reports it: heartbeats stop, browsers wait. A small thread pings the loop four times a second.
After a second without an answer, it inspects the stack of the loop's thread, and names the function.

The debug mode of asyncio measures the same afterwards (`slow_callback_duration`), at a cost for every
callback.
Never: it interrupts anything, or warns twice of the same function. It cannot detect a call that holds the
interpreter itself (a long regular expression), or time that the machine gave to other processes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from types import CodeType, FrameType

import aiohttp
import reactivex

logger = logging.getLogger("rx_sse")

LIMIT = 1.0
"""Seconds."""
PERIOD = 0.25
"""Seconds between two pings, which cost 0.1 % of a core (measured)."""
MOST = 1_000
"""Functions that are remembered."""

FRAMEWORK = tuple(
    os.path.dirname(os.path.abspath(str(file))) + os.sep
    for file in (asyncio.__file__, aiohttp.__file__, reactivex.__file__, os.path.dirname(__file__))
)
"""The location of the code that calls the user's."""
LOOP = frozenset({"run_forever", "run_until_complete", "run", "_run_once", "_run"})
"""Functions of asyncio that are always on the stack."""


class Watchdog:
    """The thread that watches one loop. Made on the loop's thread.

    Args:
        loop: the loop.
        observe: called on the loop with the seconds that each answer took.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, observe: Callable[[float], None] | None = None
    ) -> None:
        self._observe = observe
        self._asked = 0.0
        self._loop = loop
        self._watched = threading.get_ident()
        self._answered = True
        self._stop = threading.Event()
        self._told: set[CodeType] = set()
        self._thread = threading.Thread(target=self._watch, name="rx_sse watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()

    def _answer(self) -> None:
        self._answered = True
        if self._observe is not None:
            self._observe(time.monotonic() - self._asked)

    def _watch(self) -> None:
        held = 0.0
        while True:
            before = time.monotonic()
            if self._stop.wait(PERIOD):
                return
            if self._answered:
                held, self._answered = 0.0, False
                self._asked = time.monotonic()
                try:
                    self._loop.call_soon_threadsafe(self._answer)
                except RuntimeError:  # the loop is closed
                    return
                continue
            # A wait that took longer was caused by the machine, and says nothing about the loop.
            held += min(time.monotonic() - before, 2 * PERIOD)
            if held >= LIMIT:
                self._look()
                held = float("-inf")  # until the next answer

    def _look(self) -> None:
        innermost = sys._current_frames().get(self._watched)  # pyright: ignore[reportPrivateUsage] (public)
        culprit = culprit_of(innermost)
        if innermost is None or culprit is None or culprit.f_code in self._told or len(self._told) >= MOST:
            return
        self._told.add(culprit.f_code)
        logger.warning(
            "%s has held the event loop for over a second%s: meanwhile no stream of this process gets "
            "anything. Give work that takes long, or waits, to `await asyncio.to_thread(...)`, or use a "
            "client that is awaited",
            _place_of(culprit),
            "" if innermost is culprit else f", in {_place_of(innermost)}",
        )


def _place_of(frame: FrameType) -> str:
    """A function, with its file and the line that it is on."""
    return f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"


def culprit_of(innermost: FrameType | None) -> FrameType | None:
    """The outermost function of the user's on the stack; None if there is none."""
    culprit: FrameType | None = None
    frame = innermost
    while frame is not None:
        code = frame.f_code
        if code.co_name in LOOP and code.co_filename.startswith(FRAMEWORK[0]):
            return culprit
        if not code.co_filename.startswith((*FRAMEWORK, "<frozen")):
            culprit = frame
        frame = frame.f_back
    return None
