"""Every coroutine test of this folder runs on asyncio's loop and on uvloop's, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from rx_sse.testing.leaks import sockets

from ..conformance.endpoint import Endpoint, Site, listening

PATIENCE = 20.0


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A server whose answers the test writes. When it has gone, so has everything the test made.

    Sockets are counted, not named: uvloop makes itself a new pair whenever it is run.
    """
    tasks, count = asyncio.all_tasks(), sockets()
    async with listening(Site()) as site:
        yield site
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while True:
        left = asyncio.all_tasks() - tasks - {asyncio.current_task()}, sockets() - count
        if not left[0] and left[1] <= 0:
            return
        assert asyncio.get_running_loop().time() < deadline, f"left behind: tasks, sockets: {left}"
        await asyncio.sleep(0.01)


@pytest.fixture
def endpoint(site: Site) -> Endpoint:
    """One path of it."""
    return site.endpoint()
