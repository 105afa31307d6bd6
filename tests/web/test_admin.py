"""What an operator sees: health that tells the truth, the open streams, figures for Prometheus."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
import reactivex as rx
from aiohttp import web
from yarl import URL

import rx_sse
from rx_sse import metrics
from rx_sse.errors import Overloaded
from rx_sse.testing import open_stream, serve
from rx_sse.web.registry import REGISTRY
from rx_sse.wire.harmless import harmless
from tests.devtools import browsing
from tests.web.tokens import bearer, jwt_auth


def operated(bus: rx_sse.Bus | None = None, **admin: Any) -> web.Application:
    app = rx_sse.setup(web.Application(), bus=bus)
    app.router.add_get("/ticks", rx_sse.sse(lambda request: rx.interval(0.02)))
    app.add_subapp("/admin", rx_sse.admin_app(**admin))
    return app


async def get(url: str, **headers: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, await answer.json() if answer.content_type == "application/json" else None


async def test_a_serving_process_is_live_and_ready() -> None:
    async with serve(operated(rx_sse.MemoryBus())) as url:
        assert await get(url + "/admin/health/live") == (200, {"live": True})
        assert (await get(url + "/admin/health/ready"))[0] == 200
        assert await get(url + "/admin/health/broker") == (200, {"ready": True, "bus": True})


async def test_a_closing_process_is_not_ready() -> None:
    app = operated()
    async with serve(app) as url:
        app[REGISTRY].closing = True
        status, told = await get(url + "/admin/health/ready")
        assert (status, told["closing"]) == (503, True)
        assert (await get(url + "/admin/health/live"))[0] == 200


async def test_a_closed_bus_is_told_as_the_brokers_state_and_does_not_turn_the_process_red() -> None:
    bus = rx_sse.MemoryBus()
    async with serve(operated(bus)) as url:
        await bus.close()
        assert (await get(url + "/admin/health/broker"))[0] == 503
        assert (await get(url + "/admin/health/ready"))[0] == 200


async def test_what_a_client_sent_is_shown_with_its_control_characters_spelt_out() -> None:
    """A user's name and a cursor come from outside, and whoever asks with curl has a terminal."""

    async def auth(request: web.Request) -> rx_sse.Principal:
        return rx_sse.Principal("a\x9b2J\u202eb")

    app = operated()
    app.router.add_get("/mine", rx_sse.sse(auth=auth)(lambda request: rx.interval(0.02)))
    async with serve(app) as url, open_stream(url, "/mine") as mine:
        await mine.next_event()
        async with open_stream(url, "/admin/streams") as admin:
            shown = await admin.next_event()
    assert shown.data == harmless(shown.data)
    assert "a\\x9b2J\\u202eb" in [stream["user"] for stream in shown.json()["streams"]]


async def test_the_page_shows_the_streams_and_how_they_ended() -> None:
    async with serve(operated(rx_sse.MemoryBus())) as url:
        async with open_stream(url, "/ticks?token=secret") as ticks:
            await ticks.next_event()
            async with open_stream(url, "/admin/streams") as admin:
                shown = (await admin.next_event()).json()
                assert {stream["path"] for stream in shown["streams"]} == {"GET /ticks", "GET /admin/streams"}
                assert "secret" not in str(shown)
                ticks.leave()
                while not (shown := (await admin.next_event()).json())["ended"]:
                    pass
                assert shown["ended"][0]["reason"] == "left"
                assert shown["stats"]["ended"] == {"left": 1}
                assert shown["bus"]["running"] is True


async def test_the_page_is_guarded_by_auth_and_health_is_not() -> None:
    async with serve(operated(auth=jwt_auth())) as url:
        for path in ("/admin/", "/admin/streams"):
            assert (await get(url + path))[0] == 401
            async with open_stream(url, path, headers=bearer("operator")) as page:
                assert page.status == 200
        assert (await get(url + "/admin/health/ready"))[0] == 200


@pytest.mark.parametrize("prefix", ["/admin", "/tools/admin"])
async def test_the_address_without_its_slash_leads_to_the_page(prefix: str) -> None:
    """By a relative address: a proxy may have cut off what comes before."""
    app = rx_sse.setup(web.Application())
    app.add_subapp(prefix, rx_sse.admin_app())
    async with serve(app) as url, aiohttp.ClientSession() as session:
        async with session.get(url + prefix, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (308, "admin/")
        async with session.get(url + prefix) as answer:
            assert (answer.status, answer.url.path) == (200, prefix + "/")
            assert "<html" in (await answer.text()).lower()


async def test_while_nobody_can_be_told_the_page_is_a_503() -> None:
    async def auth(request: web.Request) -> rx_sse.Principal:
        raise Overloaded("the users' database is busy", retry_after=3.0)

    async with serve(operated(auth=auth)) as url, aiohttp.ClientSession() as session:
        async with session.get(url + "/admin/") as answer:
            assert answer.status == 503 and int(answer.headers["Retry-After"]) >= 3


async def test_prometheus_reads_every_figure() -> None:
    prometheus = pytest.importorskip("prometheus_client")
    app = operated(rx_sse.MemoryBus())
    registry = prometheus.CollectorRegistry()
    registry.register(metrics.Collector(app))
    async with serve(app) as url, open_stream(url, "/ticks") as ticks:
        await ticks.next_event()
        async with open_stream(url, "/ticks"):
            pass
        text = prometheus.generate_latest(registry).decode()
    assert "rx_sse_streams_open 1.0" in text or "rx_sse_streams_open 2.0" in text
    assert "rx_sse_streams_opened_total 2.0" in text
    assert "rx_sse_bus_ready 1.0" in text
    for name, _ in (*metrics.GAUGES.values(), *metrics.BUS_GAUGES.values()):
        assert f"# TYPE {name} gauge" in text
    for name, _ in (*metrics.COUNTERS.values(), *metrics.BUS_COUNTERS.values(), metrics.ENDED):
        assert f"# TYPE {name}_total counter" in text


def test_metrics_need_a_setup() -> None:
    with pytest.raises(rx_sse.RxSseError, match="setup"):
        metrics.Collector(web.Application())


def prefixed(client: Any) -> web.Application:
    """The application that is set up stands below another one."""
    inner = rx_sse.setup(web.Application(), client=client)
    inner.add_subapp("/admin", rx_sse.admin_app())
    outer = web.Application()
    outer.add_subapp("/shop", inner)
    return outer


@pytest.mark.parametrize(
    ("client", "told"),
    [("/rx_sse.js", "../../shop/rx_sse.js"), ("/js/live.js", "../../shop/js/live.js"), (False, "")],
)
async def test_the_page_knows_where_the_module_is(client: Any, told: str) -> None:
    async with serve(prefixed(client)) as url, aiohttp.ClientSession() as session:
        async with session.get(url + "/shop/admin/") as answer:
            assert f'data-client="{told}"' in await answer.text()
            module = answer.url.join(URL(told)) if told else None
        if module is not None:
            async with session.get(module) as answer:
                assert (answer.status, answer.content_type) == (200, "text/javascript")


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize(("client", "connections"), [("/live.js", 1), (False, 2)])
async def test_tabs_of_the_page_share_one_connection_where_the_module_is_served(
    chromium: str, client: Any, connections: int
) -> None:
    app = rx_sse.setup(web.Application(), client=client)
    app.add_subapp("/admin", rx_sse.admin_app())
    shown = "document.querySelectorAll('#streams tr').length"
    async with serve(app) as url, browsing(chromium) as browser:
        tabs = [await browser.open(url + "/admin/") for _ in range(2)]
        for tab in tabs:
            await tab.until(f"{shown} === {1 + connections} && !document.querySelector('#state').textContent")
        assert app[REGISTRY].stats().opened == connections
