"""The examples in docstrings work: each is found, run as it stands, and gives what it promises.

An example is an indented block after `::`. What it leaves to its reader (an application, a token, a source)
is handed to it here; a block that is no program is named in `FIGURES`.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import logging
import re
import textwrap
from collections.abc import AsyncIterator
from typing import Any

import pytest
import reactivex as rx
from aiohttp import web
from reactivex.subject import Subject

import rx_sse
from rx_sse.bus.bus import Bus
from rx_sse.bus.log.memory import MemoryLog
from rx_sse.bus.log.retention import Retention
from rx_sse.testing import open_stream, serve
from rx_sse.web.auth.tickets import Tickets

from .conftest import ROOT
from .web.tokens import KEY, bearer

FIGURES = {"__init__.py 1", "bus/redis/protocol/keys.py 1", "bus/sqlite/schema.py 1", "errors.py 1"}
"""Tables and trees."""


def examples() -> dict[str, str]:
    """Every block, by its file and its number there."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "rx_sse").rglob("*.py")):
        file, number = path.relative_to(ROOT / "rx_sse").as_posix(), 0
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for block in re.findall(r"::\n\n((?: +.*\n?|\n)+)", ast.get_docstring(node) or ""):
                number += 1
                found[f"{file} {number}"] = textwrap.dedent(block)
    return found


EXAMPLES = examples()


async def run(name: str, /, **names: Any) -> dict[str, Any]:
    """Run an example with these names, and those of the README; returns all of its names."""
    space = {"rx": rx, "rx_sse": rx_sse, "web": web, "asyncio": asyncio, **names}
    code = compile(EXAMPLES[name], f"rx_sse/{name}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    done = eval(code, space)
    if inspect.isawaitable(done):
        await done
    return space


def app_of(routes: web.RouteTableDef) -> web.Application:
    app = rx_sse.setup(web.Application())
    app.add_routes(routes)
    return app


def test_every_example_is_run_here() -> None:
    here = set(
        re.findall(r'run\(\s*"(\S+\.py \d+)"', (ROOT / "tests" / "test_docstrings.py").read_text("utf-8"))
    )
    assert EXAMPLES.keys() - FIGURES == here and len(here) >= 9


async def test_an_event_source_is_subscribed_to_and_iterated(capsys: pytest.CaptureFixture[str]) -> None:
    app = rx_sse.setup(web.Application())
    tokens: list[str | None] = []

    def prices(request: web.Request) -> rx.Observable[dict[str, float]]:
        tokens.append(request.headers.get("Authorization"))
        return rx.of({"price": 1.5})

    app.router.add_get("/prices", rx_sse.sse(prices))
    async with serve(app) as url:

        class Local(rx_sse.EventSource):
            def __init__(self, address: str, **options: Any) -> None:
                super().__init__(address.replace("https://example.org", url), **options)

        await run(
            "client/source.py 1",
            EventSource=Local,
            LoopScheduler=rx_sse.LoopScheduler,
            fresh_token=lambda: "fresh",
        )
    assert sorted(capsys.readouterr().out.splitlines()) == ['message {"price":1.5}', "{'price': 1.5}"]
    assert tokens == ["Bearer fresh"] * 2


async def test_errors_are_caught(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("shop")
    bus = rx_sse.MemoryBus()  # which is not started
    await run("errors.py 2", bus=bus, order={"coffees": 2}, log=log)
    async with bus:
        await run("errors.py 2", bus=bus, order={"coffees": 2}, log=log)
    assert [record.name for record in caplog.records] == ["shop"]


async def test_the_first_handler_streams() -> None:
    routes = web.RouteTableDef()
    await run("web/sse.py 1", routes=routes)
    async with open_stream(app_of(routes), "/ticks") as stream:
        assert (await stream.next_event()).json() == 0


async def test_one_source_is_encoded_for_all() -> None:
    market: Subject[dict[str, int]] = Subject()
    routes = web.RouteTableDef()
    await run("reactive/events.py 1", market=market, routes=routes)
    async with open_stream(app_of(routes), "/prices") as stream:
        market.on_next({"a": 1})
        assert (await stream.next_event()).type == "price"


async def test_an_async_iterable_and_the_throttle() -> None:
    class Database:
        async def stream(self, query: str) -> AsyncIterator[str]:
            yield query

    rows = (await run("reactive/iterables.py 1", database=Database()))["rows"]
    assert await rows == "select …"
    prices: Subject[dict[str, Any]] = Subject()
    await run("reactive/throttle.py 1", prices=prices)


@pytest.mark.slow  # it runs every check
async def test_a_bus_of_ones_own_is_checked() -> None:
    space = await run("testing/bus.py 1", Bus=Bus, MyLog=MemoryLog, Retention=Retention)
    await space["test_my_bus"]()


async def test_a_stream_is_opened_in_a_test() -> None:
    app = rx_sse.setup(web.Application())
    app.router.add_get("/ticks", rx_sse.sse(lambda request: rx.of({"count": 0})))
    await run("testing/streams.py 1", app=app, open_stream=open_stream)


async def test_tokens_guard_streams_and_handlers() -> None:
    routes = web.RouteTableDef()
    await run("web/auth/authenticator.py 1", JWTAuth=rx_sse.JWTAuth, SECRET=KEY, routes=routes)
    async with serve(app_of(routes)) as url:
        async with open_stream(url, "/stream", headers=bearer()) as stream:
            assert (await stream.next_event()).data == "ada"
        async with open_stream(url, "/messages", method="POST", headers=bearer()) as answer:
            assert await answer.body() == b"ada"
        for headers, status in ((bearer(), 403), (bearer(scope="events:read"), 200)):
            async with open_stream(url, "/events", headers=headers) as stream:
                assert stream.status == status


async def test_a_ticket_opens_a_stream() -> None:
    routes = web.RouteTableDef()
    auth = rx_sse.JWTAuth(key=KEY, algorithms="HS256")
    await run("web/auth/tickets.py 1", Tickets=Tickets, SECRET=KEY, auth=auth, routes=routes)
    async with serve(app_of(routes)) as url:
        async with open_stream(url, "/ticket", method="POST", headers=bearer()) as answer:
            ticket = (await answer.body()).decode().partition(': "')[2].rstrip('"}')
        async with open_stream(url, f"/stream?ticket={ticket}") as stream:
            assert (await stream.next_event()).data == "ada"
