"""`python -m rx_sse publish`, into the mount and into Redis."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import rx_sse
from rx_sse.terminal.publish import pause
from rx_sse.testing import serve
from rx_sse.testing.listener import Listener

from ..redis_server import RedisServer
from ..web.tokens import bearer, jwt_auth
from .command import LIMIT, run, running

GRANTS = {"subscribe": ["news"], "publish": ["news", "team:*"]}
TOKEN = bearer("ada", 3600.0, scope="publish", rx_sse=GRANTS)["Authorization"].removeprefix("Bearer ")
ENV = {"RX_SSE_TOKEN": TOKEN}


async def test_into_a_file_while_no_server_runs(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    one = await run("publish", "--db", str(path), "news", '{"n": 1}', "--event", "named")
    lines = await run("publish", f"--db={path}", "news", "--lines", stdin="2\n3\n")
    assert (one.status, lines.status, one.err, lines.out.count("\n")) == (0, 0, "", 2)
    async with rx_sse.SQLiteBus(path) as bus:
        listener = await Listener(bus, "news", last=10).received(3)
        assert listener.values == [{"n": 1}, 2, 3] and listener.events[0].type == "named"
        assert listener.events[0].id == one.out.strip()
    wrong = await run("publish", "--db", str(tmp_path), "news", "1")
    assert wrong.status == 2 and "is a directory" in wrong.err
    many = await run("publish", "--db", str(path), "http://localhost", "news", "1")
    assert many.status == 2 and "no TARGET" in many.err


@asynccontextmanager
async def mounted() -> AsyncIterator[tuple[str, list[tuple[str, str]]]]:
    """The mount, and what is published into `news` and `team:7`: names and data."""
    bus = rx_sse.MemoryBus()
    app = rx_sse.setup(web.Application(), bus=bus)
    app.add_subapp("/events", rx_sse.bus_app(bus, auth=jwt_auth()))
    async with serve(app) as url:
        got: list[tuple[str, str]] = []
        events = bus.events("news", "team:7", after=None)
        subscription = events.subscribe(
            lambda event: got.append((event.type, event.data)), scheduler=rx_sse.LoopScheduler()
        )
        yield f"{url}/events", got
        subscription.dispose()


@pytest.mark.parametrize(
    ("arguments", "stdin", "published"),
    [
        (['{"a": 1}'], "", ("message", '{"a":1}')),
        (["plain é"], "", ("message", "plain é")),
        (["7", "--text", "--event", "named"], "", ("named", "7")),
        (["7"], "", ("message", "7")),
        (["-"], "two\nlines\n", ("message", "two\nlines")),
        ([], '{"a":\n 1}\n', ("message", '{"a":1}')),
    ],
)
async def test_one_event(arguments: list[str], stdin: str, published: tuple[str, str]) -> None:
    async with mounted() as (url, got):
        result = await run("publish", f"{url}/", "news", *arguments, stdin=stdin, env=ENV)
        assert (result.status, result.err, result.out.count("\n")) == (0, "", 1)
        await seen(got, 1)
    assert got == [published]


async def seen(got: list[Any], count: int) -> None:
    async with asyncio.timeout(20):
        while len(got) < count:
            await asyncio.sleep(0.01)


async def test_lines_are_published_as_they_come_in_order() -> None:
    async with mounted() as (url, got):
        async with running("publish", url, "team:7", "--lines", env=ENV) as process, asyncio.timeout(LIMIT):
            assert process.stdin is not None and process.stdout is not None
            ids: list[bytes] = []
            for line in ("one", "", '{"n": 2}', "three"):
                process.stdin.write(f"{line}\n".encode())
                if line:
                    ids.append(await process.stdout.readline())
                    await seen(got, len(ids))
            process.stdin.close()
            assert await process.wait() == 0
    assert got == [("message", "one"), ("message", '{"n":2}'), ("message", "three")]
    assert len(set(ids)) == 3 and all(ids)


async def test_ctrl_c_ends_the_wait_for_a_line() -> None:
    async with mounted() as (url, got):
        async with running("publish", url, "news", "--lines", env=ENV) as process, asyncio.timeout(LIMIT):
            assert process.stdin is not None and process.stderr is not None
            process.stdin.write(b"one\n")
            await seen(got, 1)
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
            assert await process.stderr.read() == b""


@pytest.mark.parametrize(
    ("topic", "told"), [("other", "403 Forbidden"), ("a b", "400 Bad Request"), ("../me", "403 Forbidden")]
)
async def test_a_refusal_is_told(topic: str, told: str) -> None:
    async with mounted() as (url, _):
        result = await run("publish", url, topic, "x", env=ENV)
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(f"rx_sse: {told}")


async def test_without_a_token_it_is_unauthorized_and_a_token_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("Authorization: Bearer s3cret\n", "utf-8")
    async with mounted() as (url, _):
        result = await run("publish", url, "news", "x", "--header-file", str(file))
    assert result.status == 1
    assert "401 Unauthorized" in result.err and "s3cret" not in result.err


async def test_what_may_have_arrived_is_sent_again_under_the_same_key() -> None:
    """To a server that cuts the connection, then is overloaded, then accepts."""
    keys: list[str] = []
    app = web.Application()

    async def publish(request: web.Request) -> web.StreamResponse:
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) == 1:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"id": "5"}, status=503 if len(keys) == 2 else 201)

    app.router.add_post("/topics/{name}", publish)
    async with serve(app) as url:
        result = await run("publish", url, "news", "x")
    assert (result.status, result.out) == (0, "5\n")
    assert len(keys) == 3 and len(set(keys)) == 1


async def test_an_outage_is_waited_for_as_long_as_the_server_asks() -> None:
    times: list[float] = []
    app = web.Application()

    async def publish(request: web.Request) -> web.Response:
        times.append(asyncio.get_running_loop().time())
        headers = {"Retry-After": "3"} if len(times) == 1 else None
        return web.json_response({"id": "5"}, status=503 if len(times) < 3 else 201, headers=headers)

    app.router.add_post("/topics/{name}", publish)
    async with serve(app) as url:
        result = await run("publish", url, "news", "x")
    assert (result.status, result.out) == (0, "5\n")
    first, second, third = times
    assert second - first >= 3.0 > third - second


def test_each_attempt_waits_longer_and_never_for_ever() -> None:
    assert [pause(attempt, None) for attempt in (1, 2, 3)] == [0.2, 0.4, 0.8]
    assert pause(1, 3.0) == 3.0 and pause(4, 1.0) == 1.6 and pause(1, 1e9) == 60.0


@pytest.mark.redis
@pytest.mark.slow
async def test_into_redis_an_outage_is_waited_for_and_a_refusal_is_not() -> None:
    """The command says what it waits for, and goes on after it; the key with other data is refused."""
    with RedisServer("valkey", tcp=True) as server:
        server.kill()
        started = asyncio.create_task(run("publish", server.url, "news", "1", "--key", "k"))
        await asyncio.sleep(6)  # beyond the publisher's own patience of 5 s
        server.start()
        result = await started
        at = server.url.removeprefix("redis://").partition("/")[0]
        waits = f"Redis at {at} cannot be reached: Connection refused; RedisPublisher tries again for 5.0 s"
        assert (result.status, result.err) == (0, f"rx_sse: {waits}\n")
        refused = await run("publish", server.url, "news", "2", "--key", "k")
        assert refused.status == 1 and "another payload" in refused.err


@pytest.mark.slow
async def test_a_server_that_is_not_there_is_given_up_on() -> None:
    result = await run("publish", "http://127.0.0.1:9", "news", "x")
    assert result.status == 1
    assert result.err == "rx_sse: cannot connect to 127.0.0.1:9: Connection refused\n"


@pytest.mark.redis
async def test_into_redis_by_the_address_of_the_environment() -> None:
    with RedisServer("valkey", tcp=True) as server:
        async with rx_sse.RedisBus(server.url) as bus:
            got: list[tuple[str, str]] = []
            subscription = bus.events("news", after=None).subscribe(
                lambda event: got.append((event.type, event.data)), scheduler=rx_sse.LoopScheduler()
            )
            result = await run(
                *("publish", "redis", "news", '{"a": 1}', "--event", "named"),
                env={"RX_SSE_REDIS_URL": server.url},
            )
            assert (result.status, result.err) == (0, "")
            await seen(got, 1)
            subscription.dispose()
    assert got == [("named", '{"a":1}')]


@pytest.mark.parametrize(
    "arguments",
    [["http://x"], ["redis", "news", "x"], ["http://x", "t", "--lines", "--key", "k"]],
)
async def test_a_wrong_call_is_answered_in_one_line(arguments: list[str]) -> None:
    result = await run("publish", *arguments)
    assert (result.status, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert line.startswith("python -m rx_sse publish: error: ") and line.endswith(" (see --help)")
