"""Every bus is a bus: the same suite over memory, Redis and Valkey."""

from __future__ import annotations

import pytest

from rx_sse.testing.bus import CHECKS, check_bus

from .conftest import MakeBus


@pytest.mark.parametrize("check", [check.__name__ for check in CHECKS])
async def test_conformance(make_bus: MakeBus, check: str) -> None:
    await check_bus(make_bus, only=check)
