"""Which bus an application has: its own, or those of the applications below it; never none in silence."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from aiohttp import web

import rx_sse
from rx_sse.testing import open_stream, serve
from rx_sse.web.registry import REGISTRY
from tests.web.apps import exchange, until
from tests.web.tokens import bearer, jwt_auth


def tree(*buses: rx_sse.Bus, deep: bool = False, **setup: Any) -> web.Application:
    """An application whose own routes ask for a token, with a mount for each bus."""
    auth = jwt_auth()

    async def ordinary(request: web.Request) -> web.Response:
        return web.Response(text=(await auth(request)).user)

    @rx_sse.sse(auth=auth)
    def stream(request: web.Request) -> Any:
        return buses[0].events("news", after=rx_sse.last_event_id(request))

    app = rx_sse.setup(web.Application(), **setup)
    app.router.add_get("/stream", stream)
    app.router.add_get("/ordinary", ordinary)
    for number, bus in enumerate(buses):
        mount = rx_sse.bus_app(bus, auth=auth)
        if deep:
            between = web.Application()
            between.add_subapp("/inner", mount)
            mount = between
        app.add_subapp(f"/events{number}", mount)
    return app


async def status(url: str, path: str, headers: dict[str, str]) -> int:
    async with aiohttp.ClientSession() as session:
        async with session.get(url + path, headers=headers) as answer:
            return answer.status


@pytest.mark.parametrize("deep", [False, True])
async def test_a_mount_brings_its_bus_along(deep: bool) -> None:
    bus = rx_sse.MemoryBus()
    app = tree(bus, deep=deep)
    ada, ben = bearer("ada"), bearer("ben")
    async with serve(app) as url:
        assert app[REGISTRY].bus is bus
        async with open_stream(url, "/stream", headers=ada) as stream:
            await stream.next_event(control=True)
            assert await status(url, "/ordinary", ada) == 200
            await bus.revoke(user="ada")
            assert (await stream.next_event(control=True)).type == "stream-expired"
            assert await stream.ended()
        assert await status(url, "/ordinary", ada) == 401
        assert await status(url, "/ordinary", ben) == 200
    assert not bus.stats().running, "closed with the last application that has it"


async def test_what_any_of_several_buses_revokes_holds_everywhere() -> None:
    own, first, second = rx_sse.MemoryBus(), rx_sse.MemoryBus(), rx_sse.MemoryBus()
    app = tree(first, second, bus=own)
    async with serve(app) as url:
        assert app[REGISTRY].bus is own
        for bus, user in ((own, "ada"), (first, "ben"), (second, "cid")):
            headers = bearer(user)
            async with open_stream(url, "/stream", headers=headers) as stream:
                await stream.next_event(control=True)
                await bus.revoke(user=user)
                assert (await stream.next_event(control=True)).type == "stream-expired"
            assert await status(url, "/ordinary", headers) == 401
    assert not (own.stats().running or first.stats().running or second.stats().running)


async def test_a_sub_application_with_a_setup_of_its_own_brings_its_bus_too() -> None:
    bus = rx_sse.MemoryBus()
    below = rx_sse.setup(web.Application(), bus=bus)
    app = rx_sse.setup(web.Application())
    app.add_subapp("/below", below)
    async with serve(app):
        assert app[REGISTRY].bus is bus and bus.stats().running


async def test_a_bus_that_nobody_starts_is_an_error_and_no_stream(caplog: pytest.LogCaptureFixture) -> None:
    bus = rx_sse.MemoryBus()
    app = rx_sse.setup(web.Application())
    handlers = {
        "/events": lambda request: bus.events("news", after=rx_sse.last_event_id(request)),
        "/topic": lambda request: bus.topic("news"),
    }
    for path, handler in handlers.items():
        app.router.add_get(path, rx_sse.sse(handler))
    async with serve(app) as url:
        for path in handlers:
            caplog.clear()
            assert (await exchange(url, f"GET {path}")).status == 500
            assert "start it with setup(app, bus=bus)" in caplog.text
            caplog.clear()
            back = await exchange(url, f"GET {path}", "Accept: text/event-stream", "Last-Event-ID: 1")
            assert back.status == 200 and b"retry: " in back.content
            assert "start it with setup(app, bus=bus)" in caplog.text


async def test_streams_that_are_open_when_their_bus_is_closed_come_back() -> None:
    bus = rx_sse.MemoryBus()
    app = rx_sse.setup(web.Application(), bus=bus)
    app.router.add_get("/", rx_sse.sse(lambda request: bus.topic("news")))
    async with serve(app) as url, open_stream(url) as stream:
        await until(lambda: bus.stats().subscriptions == 1)
        await bus.close()
        assert await stream.ended()
        (told,) = stream.rest(control=True)
        assert told.type == "stream-reconnect" and stream.retry is not None


async def test_a_token_that_outlives_its_revocation_is_refused_with_the_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    async with serve(tree(rx_sse.MemoryBus(max_token_life=600.0))) as url:
        for path in ("/stream", "/ordinary"):
            async with open_stream(url, path, headers=bearer("ada", 3600.0)) as stream:
                assert stream.status == 401
        async with open_stream(url, "/ordinary", headers=bearer("ada", 600.0)) as stream:
            assert stream.status == 200
    lines = [r.getMessage() for r in caplog.records if r.name == "rx_sse.web.auth"]
    assert len(lines) == 2 and all("with max_token_life=600 its revocation" in line for line in lines)
