"""Every coroutine test of this folder runs twice: on asyncio's loop and on uvloop's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def reported() -> Reported:
    """What reached the loop's exception handler, once `reported.on(loop)` was called."""
    return Reported()


class Reported(list[BaseException]):
    """The exceptions reported to a loop."""

    def on(self, loop: asyncio.AbstractEventLoop) -> None:
        def handler(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            self.append(context["exception"])

        loop.set_exception_handler(handler)
