"""The mount: several topics on one stream, each granted by the token; publishing over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import rx_sse
from rx_sse.testing import open_stream, serve
from tests.web.tokens import bearer, jwt_auth

GRANTS = {"subscribe": ["news", "team:*"], "publish": ["team:7", "news"]}
HEADERS = bearer("ada", 3600.0, scope="publish", rx_sse=GRANTS)


@asynccontextmanager
async def mounted(**options: Any) -> AsyncIterator[tuple[str, rx_sse.Bus]]:
    bus = rx_sse.MemoryBus()
    app = rx_sse.setup(web.Application(), bus=bus)
    app.add_subapp("/events", rx_sse.bus_app(bus, auth=jwt_auth(), **options))
    async with serve(app) as url:
        yield url + "/events", bus


async def post(
    url: str, body: Any, headers: dict[str, str] | None = None, kind: str = "application/json"
) -> tuple[int, dict[str, Any]]:
    data = json.dumps(body) if kind.endswith("json") and not isinstance(body, bytes) else body
    headers = {**HEADERS, "Content-Type": kind, **(headers or {})}
    async with aiohttp.ClientSession() as session, session.post(url, data=data, headers=headers) as answer:
        return answer.status, await answer.json() if answer.content_type.endswith("json") else {}


async def test_several_topics_come_on_one_stream_and_resume_together() -> None:
    async with mounted() as (url, bus):
        async with open_stream(url, "?topic=news&topic=team:7", headers=HEADERS) as stream:
            await stream.next_event(control=True)
            await bus.publish("news", 1)
            await bus.publish("team:7", 2, event="named")
            await bus.publish("team:8", 3)
            assert [(e.type, e.data) for e in await stream.events(2)] == [("message", "1"), ("named", "2")]
            last = stream.last_event_id
        await bus.publish("team:7", 4)
        await bus.publish("news", 5)
        headers = {**HEADERS, "Last-Event-ID": last}
        async with open_stream(url, "/?topic=news&topic=team:7", headers=headers) as stream:
            assert (await stream.next_event(control=True)).json()["resumed"] is True
            assert sorted(e.data for e in await stream.events(2)) == ["4", "5"]


async def test_my_own_topic_needs_no_grant() -> None:
    async with mounted() as (url, bus), open_stream(url, "/me", headers=bearer("7:admin*")) as stream:
        await stream.next_event(control=True)
        await bus.publish(rx_sse.topic_name("user", "7"), "somebody else's")
        await bus.publish(rx_sse.topic_name("user", "7:admin*"), "mine")
        assert (await stream.next_event()).data == "mine"


async def test_a_first_load_may_begin_with_the_newest_entries() -> None:
    async with mounted() as (url, bus):
        for n in range(5):
            await bus.publish("news", n)
        async with open_stream(url, "?topic=news&last=2", headers=HEADERS) as stream:
            assert [e.data for e in await stream.events(2)] == ["3", "4"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?topic=secret", 403),
        ("?topic=news&topic=secret", 403),
        ("?topic=team", 403),
        ("?topic=teams:1", 403),
        ("?topic=user:ben", 403),
        ("?topic=*", 400),
        ("?topic=team:*", 400),
        ("?topic=a%20b", 400),
        ("?topic=%00", 400),
        ("?topic=%21revocations", 400),
        ("?topic=" + "x" * 300, 400),
        ("", 400),
        ("?topic=", 400),
        ("?" + "&".join(f"topic=team:{n}" for n in range(33)), 400),
        ("?topic=news&last=-1", 400),
        ("?topic=news&last=1001", 400),
        ("?topic=news&last=%C2%B2", 400),
    ],
)
async def test_what_is_not_allowed_is_refused_as_a_whole(query: str, status: int) -> None:
    async with mounted() as (url, _), open_stream(url, "/" + query, headers=HEADERS) as stream:
        assert stream.status == status
        assert stream.headers["content-type"].startswith("application/problem+json")


async def test_without_a_token_nothing_is_told() -> None:
    async with mounted() as (url, _):
        for path in ("/?topic=news", "/?topic=%00", "/me"):
            async with open_stream(url, path) as stream:
                assert stream.status == 401
                assert stream.headers["www-authenticate"].startswith("Bearer")
        assert (await post(url + "/topics/news", 1, {"Authorization": ""}))[0] == 401


async def test_json_and_text_are_published() -> None:
    async with mounted() as (url, _), open_stream(url, "?topic=team:7", headers=HEADERS) as stream:
        await stream.next_event(control=True)
        status, answer = await post(url + "/topics/team:7?event=x", {"a": [1]})
        assert status == 201
        assert (await post(url + "/topics/team:7", "two\nlines", kind="text/plain"))[0] == 201
        first, second = await stream.events(2)
        assert (first.type, first.json(), first.id) == ("x", {"a": [1]}, answer["id"])
        assert (second.type, second.data) == ("message", "two\nlines")


async def test_an_idempotency_key_stores_once_for_its_principal() -> None:
    async with mounted() as (url, _):
        key = {"Idempotency-Key": "once"}
        first = await post(url + "/topics/team:7", 1, key)
        assert await post(url + "/topics/team:7", 1, key) == first
        assert (await post(url + "/topics/team:7", 2, key))[0] == 422, "another payload under the same key"
        other = bearer("ben", scope="publish", rx_sse=GRANTS)
        status, answer = await post(url + "/topics/team:7", 1, {**key, **other})
        assert status == 201 and answer["id"] != first[1]["id"], "ben's key is another key"
        assert (await post(url + "/topics/team:7", 1, {"Idempotency-Key": "x" * 256}))[0] == 400


@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        ("/topics/other", 1, "application/json", 403),
        ("/topics/team:8", 1, "application/json", 403),
        ("/topics/a%20b", 1, "application/json", 400),
        ("/topics/news", "x", "image/png", 415),
        ("/topics/news?event=a%0Ab", 1, "application/json", 400),
        ("/topics/news", "x" * 1_010_000, "text/plain", 413),
        ("/topics/news", b"\xff", "text/plain", 400),
        ("/topics/news", b"1", "application/json; charset=nonsense", 400),
        ("/topics/news", b"[" * 100_000, "application/json", 400),
        ("/topics/news", b"[1", "application/json", 400),
        ("/topics/news", b"NaN", "application/json", 400),
    ],
)
async def test_a_publish_that_cannot_be_is_refused(path: str, body: Any, kind: str, status: int) -> None:
    async with mounted() as (url, _):
        assert (await post(url + path, body, kind=kind))[0] == status


async def test_publishing_needs_the_scope() -> None:
    async with mounted() as (url, _):
        assert (await post(url + "/topics/news", 1, bearer("ada", rx_sse=GRANTS)))[0] == 403


async def test_allow_may_be_a_function_of_ones_own() -> None:
    async def allow(who: rx_sse.Principal, topic: str, action: str) -> bool:
        return topic == f"room:{who.user}" and action == "subscribe"

    async with mounted(allow=allow) as (url, _):
        async with open_stream(url, "?topic=room:ada", headers=bearer("ada")) as stream:
            assert stream.status == 200
        async with open_stream(url, "?topic=room:ben", headers=bearer("ada")) as stream:
            assert stream.status == 403


@pytest.mark.parametrize(
    "grants", [None, "news", ["news"], {"subscribe": "news"}, {"subscribe": [7, None]}, {"subscribe": {}}]
)
async def test_a_claim_of_another_shape_grants_nothing(grants: Any) -> None:
    async with mounted() as (url, _):
        async with open_stream(url, "?topic=news", headers=bearer("ada", rx_sse=grants)) as stream:
            assert stream.status == 403


async def test_the_mount_alone_is_an_application() -> None:
    bus = rx_sse.MemoryBus()
    async with open_stream(rx_sse.bus_app(bus, auth=jwt_auth()), "/me", headers=bearer("ada")) as stream:
        await stream.next_event(control=True)
        await bus.publish("user:ada", "hello")
        assert (await stream.next_event()).data == "hello"


def test_auth_is_required() -> None:
    with pytest.raises(rx_sse.RxSseError, match="auth=None"):
        rx_sse.bus_app(rx_sse.MemoryBus(), auth=None)  # type: ignore[arg-type]
