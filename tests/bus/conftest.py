"""A bus of each kind, for tests that hold for all of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from rx_sse.bus import Bus, MemoryBus

from ..redis_server import RedisServer

MakeBus = Callable[..., Bus]

if os.environ.get("RX_SSE_TEST_LOOP") == "uvloop":  # set by test_uvloop.py

    def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
        """Every coroutine test of this folder runs on uvloop's loop."""
        import uvloop

        return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """A Redis for tests that leave it as it is. Its keys are distinguished by their prefix."""
    with RedisServer("redis") as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[RedisServer]:
    """The same of Valkey."""
    with RedisServer("valkey") as server:
        yield server


@pytest.fixture
def redis_bus(redis: RedisServer) -> MakeBus:
    """Makes buses that share a log on Redis."""
    return redis_maker(redis)


@pytest.fixture
def sqlite_bus(tmp_path: Path) -> MakeBus:
    """Makes buses that share a log in a file."""
    return sqlite_maker(tmp_path / "bus.db")


@pytest.fixture(params=["memory", "sqlite", "redis", pytest.param("valkey", marks=pytest.mark.slow)])
def make_bus(request: pytest.FixtureRequest) -> MakeBus:
    """Makes buses of one kind; those of one test share their log, but for the memory bus's."""
    if request.param == "memory":
        return MemoryBus
    if request.param == "sqlite":
        return sqlite_maker(request.getfixturevalue("tmp_path") / "bus.db")
    return redis_maker(request.getfixturevalue(request.param))


def redis_maker(server: RedisServer, **defaults: Any) -> MakeBus:
    """Makes buses on a server, under an unused prefix."""
    from rx_sse import RedisBus

    prefix = f"t{os.urandom(4).hex()}"
    options: dict[str, Any] = {"prefix": prefix, **defaults}
    return lambda **given: RedisBus(server.url, **options, **given)


def sqlite_maker(path: Path, **defaults: Any) -> MakeBus:
    """Makes buses on a file."""
    from rx_sse import SQLiteBus

    return lambda **given: SQLiteBus(path, **defaults, **given)
