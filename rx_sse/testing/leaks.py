"""`no_leaks`: fails a test that leaves a subscription, a task or a socket behind.

Never: it imports pytest; make a fixture of it with `no_leaks = pytest.fixture(rx_sse.testing.no_leaks)`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from collections.abc import AsyncIterator
from pathlib import Path

from rx_sse.web.stream import Stream
from rx_sse.wire.counted import counted

PATIENCE = 2.0
"""Seconds for closing objects to disappear: sockets close in the next turns of the loop."""
STEP = 0.02


def subscriptions() -> list[Stream]:
    """The streams that are subscribed to their source."""
    return [found for found in gc.get_objects() if isinstance(found, Stream) and found.subscribed]


def sockets() -> int:
    """The number of open sockets of this process (Linux; elsewhere 0).

    They are not distinguished: uvloop makes itself a new pair at every run.
    """
    descriptors = Path("/proc/self/fd")
    found = 0
    for entry in os.listdir(descriptors) if descriptors.is_dir() else ():
        with contextlib.suppress(OSError):
            found += os.readlink(descriptors / entry).startswith("socket:")
    return found


async def no_leaks() -> AsyncIterator[None]:
    """A fixture: everything that exists after the test must have existed before it.

    Raises:
        AssertionError: lists everything left behind.
    """
    tasks, streams, open_sockets = asyncio.all_tasks(), subscriptions(), sockets()
    yield
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while True:
        new_tasks = [task for task in asyncio.all_tasks() - tasks if task is not asyncio.current_task()]
        new_streams = [stream for stream in subscriptions() if stream not in streams]
        new_sockets = sockets() - open_sockets
        if not (new_tasks or new_streams or new_sockets > 0):
            return
        if loop.time() > deadline:
            raise AssertionError(
                f"left behind: "
                f"{counted(len(new_streams), 'subscription')} {[s.label for s in new_streams[:5]]}, "
                f"{counted(len(new_tasks), 'task')} {[task.get_name() for task in new_tasks[:5]]}, "
                f"{counted(new_sockets, 'socket')}"
            )
        await asyncio.sleep(STEP)
