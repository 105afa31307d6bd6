"""What an operator does: done, answered, logged; and refused to who may not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import rx_sse
from rx_sse.testing import open_stream, serve
from tests.web.admin.looks import look
from tests.web.admin.scene import SAME, application, post
from tests.web.tokens import bearer, jwt_auth


async def forever() -> AsyncIterator[int]:
    yield 1
    await asyncio.Event().wait()


async def test_a_stream_is_ended_and_its_client_is_told_to_reconnect(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serve(application(rx_sse.MemoryBus(), scope=None)) as url:
        async with open_stream(url, "/orders/a?user=ada") as stream, open_stream(url, "/ticks") as other:
            (row,) = (await look(url, find="ada"))["streams"]
            with caplog.at_level(logging.WARNING, "rx_sse"):
                status, answer = await post(url, "end", {"stream": row["id"]})
            assert status == 200 and "GET /orders/a of ada" in answer["done"]
            assert "ended GET /orders/a of ada" in caplog.text
            told = await stream.next_event(control=True)
            while told.type != "stream-reconnect":
                told = await stream.next_event(control=True)
            assert told.json() == {"reason": "operator"}
            assert await stream.ended()
            assert (await other.next_event()).data, "nothing else has ended"
        assert (await look(url))["stats"]["ended"]["operator"] == 1
        status, answer = await post(url, "end", {"stream": row["id"]})
        assert (status, answer["detail"]) == (404, "this stream has ended already")


async def test_a_user_is_revoked_and_their_streams_end() -> None:
    app = application(rx_sse.MemoryBus(), scope=None)
    async with serve(app) as url, open_stream(url, "/orders/a?user=ada") as stream:
        assert (await post(url, "revoke", {"user": "ada"}))[0] == 200
        told = await stream.next_event(control=True)
        while told.type != "stream-expired":
            told = await stream.next_event(control=True)
        async with open_stream(url, "/orders/a?user=ada") as again:
            assert again.status == 401
        async with open_stream(url, "/orders/a?user=ben") as other:
            assert other.status == 200


@pytest.mark.parametrize(
    ("body", "data", "event"),
    [
        ({"text": '{"n": 1}', "json": True}, '{"n":1}', None),
        ({"text": '{"n": 1}', "json": False, "event": "mine"}, '{"n": 1}', "mine"),
        ({"text": "", "json": False, "event": ""}, "", None),
    ],
)
async def test_a_test_event_is_published(body: dict[str, Any], data: str, event: str | None) -> None:
    bus = rx_sse.MemoryBus()
    async with serve(application(bus, scope=None)) as url:
        async with open_stream(url, "/orders/a?user=ada") as stream:
            status, answer = await post(url, "publish", {"topic": "orders:a", **body})
            assert status == 200, answer
            got = await stream.next_event()
            assert (got.data, got.event) == (data, event)


async def test_a_run_is_stopped() -> None:
    bus = rx_sse.MemoryBus()
    async with serve(application(bus, scope=None)) as url:
        await bus.run("long", forever)
        status, answer = await post(url, "stop", {"run": "long"})
        assert (status, answer["done"]) == (200, "the run long is stopped")
        assert [run.state for run in await bus.runs()] == ["stopped"]


@pytest.mark.parametrize(
    ("action", "body", "status", "why"),
    [
        ("end", {"stream": "nonsense"}, 404, "ended already"),
        ("end", {}, 400, "give stream as text"),
        ("revoke", {"user": ""}, 400, "give user as text"),
        ("revoke", {"user": 7}, 400, "give user as text"),
        ("publish", {"topic": "a b", "text": "x"}, 400, "not the name of a topic"),
        ("publish", {"topic": "a", "text": "{", "json": True}, 400, "is not JSON"),
        ("publish", {"topic": "a", "text": "x", "event": "stream-end"}, 400, "stream-end"),
        ("publish", {"topic": "a"}, 400, "give text"),
        ("stop", {"run": "none"}, 400, "there is no run"),
        ("stop", {"run": "a b"}, 400, "a b"),
        ("dance", {}, 404, "no action 'dance'"),
        ("end", ["stream"], 400, "no JSON object"),
    ],
)
async def test_what_cannot_be_done_says_why(action: str, body: Any, status: int, why: str) -> None:
    async with serve(application(rx_sse.MemoryBus(), scope=None)) as url:
        found, answer = await post(url, action, body)
        assert (found, answer["status"]) == (status, status) and why in answer["detail"]


@pytest.mark.parametrize("action", ["revoke", "publish", "stop"])
async def test_without_a_bus_it_says_so(action: str) -> None:
    async with serve(application(scope=None)) as url:
        body = {"user": "ada", "topic": "a", "text": "x", "run": "r"}
        status, answer = await post(url, action, body)
        assert status == 409 and "no bus" in answer["detail"]


ACTIONS = {
    "end": {"stream": "x"},
    "revoke": {"user": "ada"},
    "publish": {"topic": "a", "text": "x"},
    "stop": {"run": "r"},
}


@pytest.mark.parametrize("action", ACTIONS)
async def test_an_action_needs_the_scope(action: str) -> None:
    bus = rx_sse.MemoryBus()
    async with serve(application(bus, auth=jwt_auth())) as url:
        assert (await post(url, action, ACTIONS[action]))[0] == 401
        status, answer = await post(url, action, ACTIONS[action], **bearer("eve", scope="publish"))
        assert status == 403 and "scope" in answer["detail"]
        status, _ = await post(url, action, ACTIONS[action], **bearer("op", scope="admin"))
        assert status not in (401, 403)
        async with aiohttp.ClientSession(headers=bearer("eve")) as session:
            async with session.get(f"{url}/admin/") as page:
                assert page.status == 200 and 'data-act=""' in await page.text()
        async with aiohttp.ClientSession(headers=bearer("op", scope="admin")) as session:
            async with session.get(f"{url}/admin/") as page:
                assert 'data-act="yes"' in await page.text()


async def test_the_scope_has_the_name_that_the_application_gives_it() -> None:
    async with serve(application(rx_sse.MemoryBus(), auth=jwt_auth(), scope="ops:write")) as url:
        body = ACTIONS["publish"]
        assert (await post(url, "publish", body, **bearer("op", scope="admin")))[0] == 403
        assert (await post(url, "publish", body, **bearer("op", scope="x ops:write")))[0] == 200


async def test_without_an_authenticator_nobody_acts_unless_the_application_says_so() -> None:
    async with serve(application(rx_sse.MemoryBus())) as url:
        for action, body in ACTIONS.items():
            assert (await post(url, action, body))[0] == 403


async def test_an_operator_who_was_revoked_acts_no_more() -> None:
    bus = rx_sse.MemoryBus()
    headers = bearer("op", scope="admin")
    async with serve(application(bus, auth=jwt_auth())) as url:
        assert (await post(url, "publish", ACTIONS["publish"], **headers))[0] == 200
        await bus.revoke(user="op")
        assert (await post(url, "publish", ACTIONS["publish"], **headers))[0] == 401


async def send(url: str, headers: dict[str, str], body: bytes = b'{"topic": "a", "text": "x"}') -> int:
    async with aiohttp.ClientSession() as session:
        answer = await session.post(f"{url}/admin/actions/publish", data=body, headers=headers)
        async with answer:
            return answer.status


JSON = {"Content-Type": "application/json"}


async def test_another_sites_page_cannot_act_not_even_one_that_may_read_streams() -> None:
    bus = rx_sse.MemoryBus()
    app = rx_sse.setup(web.Application(), bus=bus, allow_origins=["https://friend.example"])
    app.add_subapp("/admin", rx_sse.admin_app(scope=None))
    async with serve(app) as url:
        host = url.removeprefix("http://")
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "https://friend.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site", "Origin": f"http://sub.{host}"},
            {"Cookie": "session=1"},
        ):
            assert await send(url, {**JSON, **headers}) == 403, headers
        for headers in (SAME, {"Origin": f"http://{host}", "Cookie": "session=1"}, {}):
            assert await send(url, {**JSON, **headers}) == 200, headers
        for headers in ({"Origin": "https://friend.example"}, {"Sec-Fetch-Site": "cross-site"}):
            for path in ("/admin/streams", "/admin/follow?topic=a"):
                async with open_stream(url, path, headers=headers) as stream:
                    assert stream.status == 403, (headers, path)


async def test_a_form_and_a_compressed_body_are_refused() -> None:
    async with serve(application(rx_sse.MemoryBus(), scope=None)) as url:
        assert await send(url, {"Content-Type": "text/plain", **SAME}) == 415
        assert await send(url, {**JSON, **SAME}, b"[") == 400
        assert await send(url, {**JSON, **SAME}, b"[" * 100_000) == 400


@pytest.mark.parametrize("scope", ["", 7, ["admin"]])
def test_a_scope_that_is_none_is_refused(scope: Any) -> None:
    with pytest.raises(rx_sse.UsageError, match="scope"):
        rx_sse.admin_app(scope=scope)
