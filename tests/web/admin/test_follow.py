"""A topic, live: the debugger's stream."""

from __future__ import annotations

import pytest

import rx_sse
from rx_sse.testing import open_stream, serve
from tests.web.admin.scene import application
from tests.web.tokens import bearer, jwt_auth


async def test_what_was_kept_comes_first_then_what_is_published_and_the_end() -> None:
    bus = rx_sse.MemoryBus()
    async with serve(application(bus, scope=None)) as url:
        for number in range(25):
            await bus.publish("news", {"n": number}, event="piece")
        async with open_stream(url, "/admin/follow?topic=news") as stream:
            begin = await stream.next_event()
            assert (begin.event, begin.json()) == ("begin", {"topic": "news", "kept": 20})
            kept = [(await stream.next_event()).json() for _ in range(20)]
            assert [entry["data"] for entry in kept] == [f'{{"n":{n}}}' for n in range(5, 25)]
            assert kept[-1]["event"] == "piece" and kept[-1]["size"] == len(kept[-1]["data"])
            assert kept[0]["at"] <= kept[-1]["at"]
            entry = await bus.publish("news", "text")
            live = await stream.next_event()
            assert live.event == "entry"
            assert (live.json()["data"], live.json()["id"], live.json()["event"]) == ("text", entry, None)
            await bus.end("news")
            last = await stream.next_event(control=True)
            while last.type != "stream-end":
                last = await stream.next_event(control=True)


async def test_data_that_could_act_is_spelt_out_and_data_that_is_long_is_cut() -> None:
    bus = rx_sse.MemoryBus()
    async with serve(application(bus, scope=None)) as url:
        async with open_stream(url, "/admin/follow?topic=news") as stream:
            await stream.next_event()
            await bus.publish("news", "\x1b[2J\u202e" + "x" * 10_000)
            shown = (await stream.next_event()).json()
    assert shown["data"].startswith("\\x1b[2J\\u202exxx")
    assert shown["size"] == 10_005 and len(shown["data"]) < 4_100


async def test_it_needs_the_scope() -> None:
    async with serve(application(rx_sse.MemoryBus(), auth=jwt_auth())) as url:
        for headers, status in (
            ({}, 401),
            (bearer("eve"), 403),
            (bearer("op", scope="admin"), 200),
        ):
            async with open_stream(url, "/admin/follow?topic=news", headers=headers) as stream:
                assert stream.status == status


@pytest.mark.parametrize("topic", ["", "a b", "!revocations", "x" * 300])
async def test_a_name_that_is_none_is_refused(topic: str) -> None:
    async with serve(application(rx_sse.MemoryBus(), scope=None)) as url:
        async with open_stream(url, f"/admin/follow?topic={topic.replace(' ', '%20')}") as stream:
            assert stream.status == 400


async def test_without_a_bus_there_is_nothing_to_follow() -> None:
    async with serve(application(scope=None)) as url:
        async with open_stream(url, "/admin/follow?topic=news") as stream:
            assert stream.status == 409
