"""The bus over Redis keeps its promises on uvloop too, whose transports are of no class of asyncio's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rx_sse.testing import check_bus

from ..conftest import MakeBus

uvloop: Any = pytest.importorskip("uvloop")

NAMES = ("threads_keep_their_order", "nothing_is_lost_or_repeated_over_cuts", "a_revocation_is_known")


@pytest.mark.redis
@pytest.mark.parametrize("name", NAMES)
def test_a_check_of_the_public_suite(name: str, redis_bus: MakeBus) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(check_bus(redis_bus, only=name))
