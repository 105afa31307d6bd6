"""`python -m benchmarks.path`: the library's calls are noted, from the push until the bytes are written."""

from __future__ import annotations

import pytest

from benchmarks import path, peers
from benchmarks.path import Call, Tracer, Way
from rx_sse.wire.jsontext import dumps

from ..conftest import require


def test_counts_changes_between_neighbours() -> None:
    way = Way(
        "", tuple(Call(file, "f") for file in ("bus/a.py", "bus/a.py", "bus/b.py", "errors.py", "bus/a.py"))
    )
    assert (way.files, way.file_changes, way.room_changes) == (3, 3, 2)
    assert [(file, len(functions)) for file, functions in way.steps()] == [
        ("bus/a.py", 2),
        ("bus/b.py", 1),
        ("errors.py", 1),
        ("bus/a.py", 1),
    ]


def test_notes_the_library_and_nothing_else() -> None:
    tracer = Tracer()
    with tracer.on():
        dumps({"a": 1})
        sorted([1], key=lambda each: each)  # calls, but not below rx_sse/
    dumps({"a": 1})  # below rx_sse/, but too late
    assert [call.function for call in tracer.calls].count("dumps") == 1
    assert {call.room for call in tracer.calls} == {"wire"}


@pytest.mark.parametrize(
    ("name", "first", "rooms"),
    [
        ("memory", "Topic.on_next", {"bus", "delivery", "wire"}),
        ("subject", "Sink.on_next", {"web", "delivery", "wire"}),
        ("redis", "Topic.on_next", {"bus", "delivery", "wire"}),
    ],
)
async def test_follows_a_push_from_its_call_to_the_socket(name: str, first: str, rooms: set[str]) -> None:
    if name == "redis":
        require("redis-server")
    way = await path.WAYS[name]()
    assert way.calls[0].function == first
    assert rooms <= {call.room for call in way.calls}
    assert "Writer.write" in [call.function for call in way.calls]
    assert ("bus/redis/" in "".join(call.file for call in way.calls)) == (name == "redis")


async def test_a_push_through_the_memory_bus_takes_a_short_way() -> None:
    ways = [await path.memory() for _ in range(3)]  # on a busy machine, a timer falls into one of them
    way = min(ways, key=lambda way: len(way.calls))
    assert len(way.calls) <= 20 and way.files <= 12 and way.room_changes <= 5, path.printed([way])


def test_without_redis_the_others_are_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers, "PLACES", ())
    monkeypatch.setenv("PATH", "")
    assert path.main(["redis", "subject"]) == 0
    printed = capsys.readouterr()
    assert "redis: skipped: no redis-server on this machine" in printed.err
    assert "Sink.on_next" in printed.out
    assert "\nredis" not in printed.out
