"""A bus of each kind that has runs."""

from __future__ import annotations

import pytest

from rx_sse.bus import MemoryBus

from ..conftest import MakeBus, redis_maker


@pytest.fixture(params=["memory", "redis", pytest.param("valkey", marks=pytest.mark.slow)])
def make_bus(request: pytest.FixtureRequest) -> MakeBus:
    """Makes buses of one kind; those of one test share their log, but for the memory bus's."""
    if request.param == "memory":
        return MemoryBus
    return redis_maker(request.getfixturevalue(request.param))
