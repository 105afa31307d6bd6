"""The other processes of a bus, as each says of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import rx_sse
from rx_sse.testing import open_stream, serve
from rx_sse.web.admin.processes import _parsed
from tests.redis_server import RedisServer
from tests.web.admin.looks import look, look_until
from tests.web.admin.scene import application


async def see_each_other(one: rx_sse.Bus, other: rx_sse.Bus) -> None:
    async with serve(application(one)) as here, serve(application(other)) as there:
        async with open_stream(there, "/ticks"):
            found = await look_until(here, lambda it: len(it["processes"]["rows"]) == 2)
            mine, theirs = found["processes"]["rows"]
            assert (mine["here"], theirs["here"]) == (True, False)
            assert (
                theirs["pid"] > 0 and theirs["host"] == mine["host"] and theirs["version"] == mine["version"]
            )
            assert found["processes"]["shared"] is True and found["processes"]["left_out"] == 0


@pytest.mark.slow
async def test_processes_over_a_file_see_each_other(tmp_path: Path) -> None:
    path = tmp_path / "bus.db"
    await see_each_other(rx_sse.SQLiteBus(path), rx_sse.SQLiteBus(path))


@pytest.mark.slow
async def test_processes_over_redis_see_each_other() -> None:
    with RedisServer("redis") as server:
        await see_each_other(rx_sse.RedisBus(server.url), rx_sse.RedisBus(server.url))


@pytest.mark.slow
async def test_one_that_has_closed_is_gone_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bus.db"
    async with serve(application(rx_sse.SQLiteBus(path))) as here:
        async with serve(application(rx_sse.SQLiteBus(path))):
            await look_until(here, lambda it: len(it["processes"]["rows"]) == 2)
    async with serve(application(rx_sse.SQLiteBus(path))) as here:
        found = await look_until(here, lambda it: it["processes"]["known"])
        assert len(found["processes"]["rows"]) == 1


async def test_a_bus_in_memory_knows_of_no_other_process() -> None:
    async with serve(application(rx_sse.MemoryBus())) as url:
        found = (await look(url))["processes"]
    assert (found["bus"], found["shared"], len(found["rows"])) == ("MemoryBus", False, 1)


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[]", b"7", b"null", b'{"pid": []}', b'{"pid": 1e999}', b'{"sent": NaN}', b"[" * 9_999],
)
def test_a_line_that_no_process_of_ours_says_is_left_out_or_harmless(line: bytes) -> None:
    found: Any = _parsed(line)
    assert found is None or found["here"] is False


def test_what_another_process_says_is_cut_and_spelt_out() -> None:
    found = _parsed(b'{"host": "' + b"x" * 5_000 + b'", "version": "\\u001b[2J", "pid": 3}')
    assert found is not None
    assert len(found["host"]) <= 100 and found["version"] == "\\x1b[2J" and found["pid"] == 3.0
