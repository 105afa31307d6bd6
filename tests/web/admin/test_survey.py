"""The page's data about streams and topics: grouped, counted, searched, bounded."""

from __future__ import annotations

import asyncio
import gc
import inspect
import weakref
from contextlib import AsyncExitStack
from typing import Any

import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.testing import open_stream, serve
from rx_sse.web.admin.wanted import Wanted
from rx_sse.web.registry import REGISTRY, WATCHER
from tests.web.admin.looks import look, look_until
from tests.web.admin.scene import application, user_of
from tests.web.apps import app_of, until


async def open_all(held: AsyncExitStack, url: str, *paths: str) -> None:
    async def one(path: str) -> None:
        stream = await held.enter_async_context(open_stream(url, path))
        assert stream.status == 200, path

    await asyncio.gather(*map(one, paths))


def route(found: dict[str, Any], name: str) -> dict[str, Any]:
    (row,) = [row for row in found["routes"] if row["route"] == name]
    return row


async def test_streams_are_grouped_by_the_route_as_it_was_declared() -> None:
    async with AsyncExitStack() as held, serve(application(rx_sse.MemoryBus())) as url:
        await open_all(held, url, "/orders/a?user=ada", "/orders/b?user=ben", "/ticks")
        async with open_stream(url, "/orders/c?user=cleo"):
            pass
        found = await look_until(url, lambda it: it["ended"])
        orders = route(found, "GET /orders/{shop}")
        assert (orders["open"], orders["opened"]) == (2, 3)
        assert route(found, "GET /ticks")["open"] == 1
        assert sum(row["open"] for row in found["routes"]) == found["stats"]["open"] == found["open"]


async def test_the_limit_of_the_application_is_told() -> None:
    app = rx_sse.setup(web.Application(), limits=rx_sse.Limits(connections=7))
    app.add_subapp("/admin", rx_sse.admin_app())
    async with serve(app) as url:
        found = await look(url)
    assert (found["open"], found["limit"]) == (1, 7)


async def test_what_streams_that_have_ended_were_sent_still_counts_for_their_route() -> None:
    app = app_of({"/some": rx_sse.sse(lambda request: rx.of(*range(50)))})
    app.add_subapp("/admin", rx_sse.admin_app())
    async with serve(app) as url:
        async with open_stream(url, "/some") as stream:
            body = await stream.body()
        found = await look_until(url, lambda it: it["ended"])
        some = route(found, "GET /some")
        assert (some["open"], some["opened"], some["dropped"]) == (0, 1, 0)
        assert some["sent"] >= len(body)


async def test_a_user_and_a_topic_are_found_by_a_part_of_their_name() -> None:
    bus = rx_sse.MemoryBus()
    async with AsyncExitStack() as held, serve(application(bus)) as url:
        await open_all(held, url, "/orders/a?user=Ada", "/orders/b?user=ben", "/orders/b?user=cleo", "/ticks")
        found = await look(url, find="aDA")
        assert [row["user"] for row in found["streams"]] == ["Ada"] and found["matching"] == 1
        assert (found["topics"]["rows"], found["topics"]["all"]) == ([], 2)
        found = await look(url, find="orders:b")
        assert {row["user"] for row in found["streams"]} == {"ben", "cleo"}
        assert [row["topic"] for row in found["topics"]["rows"]] == ["orders:b"]
        assert found["open"] == 5, "the search does not change what there is"
        assert (await look(url, find="nobody"))["streams"] == []
        one = found["streams"][0]
        (same,) = (await look(url, find=one["id"]))["streams"]
        assert same["user"] == one["user"]


async def test_how_the_streams_of_a_user_ended_is_found() -> None:
    async with serve(application(rx_sse.MemoryBus())) as url:
        for path in ("/orders/a?user=Ada", "/orders/b?user=ben", "/ticks"):
            async with open_stream(url, path) as stream:
                assert stream.status == 200
        await look_until(url, lambda it: len(it["ended"]) == 3)
        (row,) = (await look(url, find="ada"))["ended"]
        assert (row["path"], row["user"], row["reason"]) == ("GET /orders/a", "Ada", "left")
        assert [row["user"] for row in (await look(url, find="/TICKS"))["ended"]] == [None]


async def test_a_route_is_chosen_and_the_distributions_are_of_its_streams() -> None:
    async with AsyncExitStack() as held, serve(application(rx_sse.MemoryBus())) as url:
        await open_all(held, url, "/ticks", "/ticks", "/orders/a?user=ada")
        found = await look(url, route="GET /ticks")
        assert [row["path"] for row in found["streams"]] == ["GET /ticks"] * 2
        for rows in found["distributions"].values():
            assert sum(row["count"] for row in rows) == 2 and rows[-1]["upto"] is None


async def test_the_rows_are_bounded_and_what_was_left_out_is_counted() -> None:
    async with AsyncExitStack() as held, serve(application(rx_sse.MemoryBus())) as url:
        await open_all(held, url, *["/ticks"] * 30)
        found = await look(url)
        assert (len(found["streams"]), found["matching"], found["open"]) == (25, 31, 31)
        assert len((await look(url, rows="100"))["streams"]) == 31
        assert len((await look(url, rows="1000000"))["streams"]) == 25


async def test_the_orders_are_what_they_are_called() -> None:
    async with AsyncExitStack() as held, serve(application(rx_sse.MemoryBus())) as url:
        for user in ("first", "second", "third"):
            await open_all(held, url, f"/orders/a?user={user}")
        users = {
            sort: [row["user"] for row in (await look(url, sort=sort, route="GET /orders/{shop}"))["streams"]]
            for sort in ("age", "newest", "nonsense")
        }
        assert users["age"] == ["first", "second", "third"]
        assert users["newest"] == ["third", "second", "first"]
        assert set(users["nonsense"]) == set(users["age"])


async def test_a_reader_that_takes_nothing_is_shown_as_stalled_with_what_it_lost() -> None:
    async with serve(application(rx_sse.MemoryBus())) as url:
        async with open_stream(url, "/camera?user=hana", receive_buffer=4096) as stream:
            stream.stall()
            found = await look_until(
                url,
                lambda it: any(row["stalled"] and row["dropped"] for row in it["streams"]),
                sort="dropped",
            )
    row = found["streams"][0]
    assert (row["user"], row["route"]) == ("hana", "GET /camera")
    assert row["bytes"] > 0 and row["queued"] > 0 and row["sent"] > 0
    assert route(found, "GET /camera")["stalled"] == found["stats"]["stalled"] == 1


async def test_topics_have_their_entries_listeners_and_presence() -> None:
    bus = rx_sse.MemoryBus()
    async with AsyncExitStack() as held, serve(application(bus)) as url:
        await open_all(held, url, "/orders/a?user=ada", "/orders/a?user=ben", "/orders/b?user=ada")
        for number in range(3):
            await bus.publish("orders:a", number)
        first, second = (await look(url))["topics"]["rows"]
        assert first | {"bytes": 0} == {
            "topic": "orders:a", "entries": 3, "kept": 3, "bytes": 0, "listeners": 2, "present": 2,
            "users": ["ada", "ben"], "more_users": 0, "ended": False,
        }  # fmt: skip
        assert (second["topic"], second["entries"], second["users"]) == ("orders:b", 0, ["ada"])
        await bus.end("orders:b")
        found = await look(url, find="orders:b")
        assert found["topics"]["rows"][0]["ended"] is True


async def test_an_application_without_a_bus_has_no_topics_and_no_runs() -> None:
    async with serve(application()) as url:
        found = await look(url)
    assert (found["bus"], found["topics"], found["runs"]) == (None, None, None)
    assert found["processes"]["bus"] == "none" and found["processes"]["rows"][0]["here"] is True


async def test_the_charts_come_with_the_first_look_and_have_a_series_for_each_route() -> None:
    async with AsyncExitStack() as held, serve(application(rx_sse.MemoryBus())) as url:
        await open_all(held, url, "/ticks")
        found = await look_until(url, lambda it: it.get("rates", {}).get("series", {}).get("open"))
        rates = found["rates"]
        assert rates["series"]["open"][-1] >= 1 and rates["series"]["sent"][-1] >= 0
        assert rates["routes"]["GET /ticks"]["open"][-1] == 1
        assert {len(values) for values in rates["series"].values()} == {len(rates["series"]["open"])}


async def test_no_look_holds_a_stream_that_has_ended() -> None:
    """Not even until the next one."""
    app = application(rx_sse.MemoryBus())
    async with serve(app) as url:
        async with open_stream(url, "/orders/a?user=ada"):
            found = await look_until(url, lambda it: it.get("rates", {}).get("series", {}).get("open"))
            assert "GET /orders/{shop}" in found["rates"]["routes"]
            gone = [weakref.ref(stream) for stream in app[REGISTRY].streams]
        gc.collect()
        gc.disable()
        try:
            await until(lambda: not app[REGISTRY].streams)
            await until(lambda: [ref() for ref in gone] == [None] * len(gone))
        finally:
            gc.enable()


async def test_pages_that_ask_for_the_same_share_a_look() -> None:
    """Ten open pages cost what one does."""
    app = rx_sse.setup(web.Application())
    admin = rx_sse.admin_app()
    app.add_subapp("/admin", admin)
    look = admin[WATCHER]
    assert inspect.ismethod(look)
    board: Any = look.__self__
    async with serve(app):
        looks = await asyncio.gather(*(board.look(Wanted(find="x")) for _ in range(10)))
        assert all(look is looks[0] for look in looks)
        assert await board.look(Wanted(find="y")) is not looks[0]


async def test_the_outermost_application_that_was_set_up_is_shown() -> None:
    inner = rx_sse.setup(web.Application())
    inner.router.add_get("/inner", rx_sse.sse(auth=user_of)(lambda request: rx.interval(0.1)))
    inner.add_subapp("/admin", rx_sse.admin_app())
    outer = rx_sse.setup(web.Application())
    outer.router.add_get("/outer", rx_sse.sse(lambda request: rx.interval(0.1)))
    outer.add_subapp("/part", inner)
    async with AsyncExitStack() as held, serve(outer) as url:
        await open_all(held, url, "/outer", "/part/inner?user=ada")
        found = await look(url + "/part")
        assert {row["route"] for row in found["routes"]} >= {"GET /outer", "GET /part/inner"}
