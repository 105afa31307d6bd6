"""Every coroutine test of this folder runs twice: on asyncio's loop and on uvloop's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Reported(list[BaseException]):
    """What reached a loop's exception handler."""

    def on(self, loop: asyncio.AbstractEventLoop) -> None:
        def handler(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            self.append(context["exception"])

        loop.set_exception_handler(handler)


@pytest.fixture
async def reported() -> Reported:
    """The exceptions reported to the running loop."""
    found = Reported()
    found.on(asyncio.get_running_loop())
    return found


@pytest.fixture
def idle_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that runs only when the test says so."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()
