"""The memory bus is a bus."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rx_sse.bus import Bus, MemoryBus
from rx_sse.testing.bus import CHECKS, check_bus

MAKERS: dict[str, Callable[..., Bus]] = {"memory": MemoryBus}


@pytest.mark.parametrize("check", [check.__name__ for check in CHECKS])
@pytest.mark.parametrize("kind", MAKERS)
async def test_conformance(kind: str, check: str) -> None:
    await check_bus(MAKERS[kind], only=check)
