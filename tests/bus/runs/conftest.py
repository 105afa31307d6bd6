"""A bus of each kind that has runs."""

from __future__ import annotations

import pytest

from rx_sse.bus import MemoryBus

from ..conftest import MakeBus, redis_maker, sqlite_maker


@pytest.fixture(params=["memory", "sqlite", "redis", pytest.param("valkey", marks=pytest.mark.slow)])
def make_bus(request: pytest.FixtureRequest) -> MakeBus:
    """Makes buses of one kind; those of one test share their log, but for the memory bus's."""
    return MemoryBus if request.param == "memory" else _shared(request)


@pytest.fixture(params=["sqlite", "redis"])
def shared_bus(request: pytest.FixtureRequest) -> MakeBus:
    """Makes buses that share a log, as those of several processes do."""
    return _shared(request)


def _shared(request: pytest.FixtureRequest) -> MakeBus:
    if request.param == "sqlite":
        return sqlite_maker(request.getfixturevalue("tmp_path") / "bus.db")
    return redis_maker(request.getfixturevalue(request.param))
