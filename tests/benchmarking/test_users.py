"""The task users, and the stalls of a server, measured on real servers by the load client."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import bars, load, machine, peers, report, rounds, tasks
from benchmarks.load import Client
from benchmarks.roster import ROSTER, Contestant
from benchmarks.rounds import Results, Sample

from ..conftest import ROOT, require

CACHE = ROOT / "benchmarks" / ".cache"
BLOCKED = 0.25
"""Seconds that the stalling server holds its loop."""


@pytest.fixture(scope="module")
def client() -> Client:
    require("cc")
    return Client(load.compile_client(CACHE), machine.cores()[1])


def contestant(name: str) -> Contestant:
    return next(each for each in ROSTER if each.name == name)


def run(name: str, cell: tasks.Cell, client: Client) -> Sample:
    who = contestant(name)
    sample = rounds.one(who.prepare(CACHE), who, cell, 0, client, machine.cores()[0])
    assert not sample.error, sample.error
    return sample


@pytest.mark.slow
@pytest.mark.parametrize("name", ["aiohttp, one write", "rx_sse, events"])
def test_users_have_a_stream_each(name: str, client: Client) -> None:
    arrived = run(name, tasks.Arrive("users", 40, pause=0.2), client).values
    assert arrived["open_us"] > 0
    assert 10 < arrived["objects"] < 200, "an aiohttp stream is dozens of tracked objects, not none"
    served = run(name, tasks.Live("users", 40, 400.0, users=True, seconds=0.3, warm=0.1), client).values
    assert served["delivered"] >= 100
    assert served["lost"] == served["repeated"] == served["closed"] == 0
    assert served["stall"] > 0


@pytest.mark.slow
def test_go_serves_users_or_is_left_out_with_a_reason(client: Client) -> None:
    try:
        peers.go(CACHE)
    except peers.Unavailable as reason:
        assert "apt-get install golang-go" in str(reason)
        return
    served = run("Go, net/http", tasks.Live("users", 40, 400.0, users=True, seconds=0.3, warm=0.1), client)
    assert served.values["delivered"] >= 100
    assert served.values["lost"] == 0
    arrived = run("Go, net/http", tasks.Arrive("users", 40, pause=0.1), client)
    assert "objects" not in arrived.values, "only Python has a collector that can be asked"


def test_without_go_the_row_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(peers, "PLACES", ())
    monkeypatch.setenv("PATH", "")
    results = Results()
    assert rounds.prepare([contestant("Go, net/http")], tmp_path, results, print) == {}
    assert results.unavailable == {
        "Go, net/http": "no go on this machine (Debian: apt-get install golang-go)"
    }


def test_every_level_of_users_has_three_loads_and_an_arrival() -> None:
    labels = [cell.label for cell in tasks.plan((), (1_000, 10_000), 1.0) if cell.task == "users"]
    assert labels == [
        f"{count} users{what}"
        for count in ("1,000", "10,000")
        for what in (", saturated", ", 1,000/s", ", 5,000/s", " arrive")
    ]


def test_the_report_has_a_dash_where_there_is_no_python() -> None:
    label = "10 users arrive"
    page = report.markdown(
        Results(
            samples=[
                Sample(
                    "rx_sse, events", "users", label, 0, {"open_us": 90.0, "objects": 25.0, "stall": 4_000.0}
                ),
                Sample("Go, net/http", "users", label, 0, {"open_us": 80.0, "stall": 5_000.0}),
            ]
        )
    )
    objects = page.partition("objects that Python’s collector tracks for it")[2].partition("##")[0]
    assert "| rx_sse, events | 25.0 |" in objects
    assert "| Go, net/http | – |" in objects
    stalls = page.partition("longest stall, ms: users")[2].partition("##")[0]
    assert "| Go, net/http | 5.0 |" in stalls


def test_the_bars_are_ratios_within_a_round() -> None:
    """Two rounds on a machine that is half as fast in the second: the ratio stays."""
    label = "1,000 users, 5,000/s"
    samples = [
        Sample(who, "users", label, number, {"us": us * (number + 1)})
        for number in range(2)
        for who, us in (("rx_sse, events", 30.0), ("aiohttp, one write", 20.0), ("aiohttp-sse", 15.0))
    ]
    samples += [Sample("rx_sse, events", "users", "10,000 users, 5,000/s", 0, {"stall": 61_000.0})]
    rows = {row[0]: row[1:] for row in bars.rows(samples)}
    assert rows[f"CPU per event for one of {label}, to aiohttp, one write"] == ("× 1.50", "≤ × 1.6", "holds")
    assert rows[f"CPU per event for one of {label}, to aiohttp-sse"] == ("× 2.00", "≤ × 1", "**falls short**")
    assert rows["longest stall with 10,000 users, ms"] == ("61.00", "≤ 60", "**falls short**")
    assert rows["CPU to open a user's stream, to NestJS, fastify"][0] == "not measured"


class Stalling:
    """A server in a thread of this process that holds its loop once, at the fifth event."""

    post = ""

    def __init__(self, blocked: float) -> None:
        self.beside: dict[str, int] = {}
        self._blocked = blocked
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._up.wait(10)

    def pids(self) -> list[int]:
        return [os.getpid()]

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        self._streams: list[asyncio.StreamWriter] = []
        people = await asyncio.start_server(self._stream, "127.0.0.1", 0)
        feeds = await asyncio.start_server(self._feed, "127.0.0.1", 0)
        self.port, self.feed = (each.sockets[0].getsockname()[1] for each in (people, feeds))
        self._up.set()
        await self._over.wait()
        people.close()
        feeds.close()

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        self._streams.append(writer)
        await self._gone(reader, writer)

    async def _feed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count = 0
        while line := await reader.readline():
            count += 1
            if count == 5:
                time.sleep(self._blocked)  # noqa: ASYNC251 (the stall)
            for stream in self._streams:
                stream.write(b"data: " + line.partition(b" ")[2] + b"\n")
        writer.close()

    async def _gone(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        except ConnectionError:
            return
        finally:
            writer.close()


@contextmanager
def stalling(blocked: float) -> Iterator[Stalling]:
    server = Stalling(blocked)
    try:
        yield server
    finally:
        server.close()


def test_a_stall_is_the_longest_wait_for_what_is_due(client: Client) -> None:
    options = {"clients": 2, "rate": 50, "warm": 0, "seconds": 0.5, "settle": 0.05}
    with stalling(BLOCKED) as server:
        *_, told = client.run(server, "/events", **options)
    assert told["delivered"] >= 40
    assert BLOCKED * 0.8 < told["stall"] / 1e6 < BLOCKED * 3


def test_pauses_between_events_are_no_stalls(client: Client) -> None:
    options = {"clients": 2, "rate": 1.5, "warm": 0, "seconds": 0.75, "settle": 0.05}
    with stalling(0.0) as server:
        *_, told = client.run(server, "/events", **options)
    assert told["delivered"] == 4
    assert told["stall"] / 1e6 < 0.5, (
        "two thirds of a second lie between two events, and nothing was due in it"
    )
