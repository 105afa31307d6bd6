"""The mount: several topics on one stream, each granted by the token; publishing over HTTP."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import rx_sse
from rx_sse.bus.log.entry import Draft
from rx_sse.bus.log.memory import MemoryLog
from rx_sse.errors import BusClosed, Overloaded, PublishRefused, PublishUnknown, QueueFull
from rx_sse.testing import open_stream, serve
from rx_sse.web.setup import EXPOSED
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


async def test_a_user_whose_name_is_too_long_has_no_topic_and_may_read_others() -> None:
    headers = bearer("x" * 300, rx_sse=GRANTS)
    async with mounted() as (url, _):
        for path, status in (("/me", 404), ("?topic=news", 200), ("?topic=user:" + "x" * 200, 403)):
            async with open_stream(url, path, headers=headers) as stream:
                assert stream.status == status


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
    with pytest.raises(rx_sse.RxSseError, match="a NoneType: give a JWTAuth"):
        rx_sse.bus_app(rx_sse.MemoryBus(), auth=None)  # type: ignore[arg-type]


async def problem(url: str, headers: dict[str, str], data: Any = b"1") -> tuple[int, dict[str, Any], Any]:
    sent = {"Content-Type": "application/json", **headers}
    async with aiohttp.ClientSession() as session, session.post(url, data=data, headers=sent) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if "json" in answer.content_type else {}, answer.headers


@pytest.mark.parametrize("name", ["stream-end", "stream-error", "stream-gap", "error", "open"])
async def test_nobody_ends_the_streams_of_all_who_read_by_an_events_name(name: str) -> None:
    async with mounted() as (url, bus), open_stream(url, "?topic=news", headers=HEADERS) as reader:
        await reader.next_event(control=True)
        status, told, _ = await problem(f"{url}/topics/news?event={name}", HEADERS)
        assert status == 400 and name in told["detail"]
        await bus.publish("news", "still here")
        assert (await reader.next_event(control=True)).data == "still here"


async def test_a_scope_that_is_missing_is_named_to_who_publishes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "rx_sse.web.auth")
    async with mounted() as (url, _):
        status, told, headers = await problem(url + "/topics/news", bearer("ada", rx_sse=GRANTS))
    assert (status, told["status"]) == (403, 403) and "the scope 'publish'" in told["detail"]
    assert headers["Content-Type"].startswith("application/problem+json")
    assert 'error="insufficient_scope", scope="publish"' in headers["WWW-Authenticate"]
    assert "POST /events/topics/news was answered 403: the token lacks the scope 'publish'" in caplog.text


@pytest.mark.parametrize(
    ("grants", "reason"),
    [
        (None, "the token has no claim 'rx_sse' that is an object, so it grants no publish to 'other'"),
        ({"subscribe": ["other"]}, "the claim 'rx_sse' has no list 'publish', so it grants none to 'other'"),
        (GRANTS, "the claim 'rx_sse' grants no publish to 'other'"),
        (
            {"publish": ["oth*", "x"]},
            "the claim 'rx_sse' grants no publish to 'other'; 1 of its entries are no patterns (a name, or a "
            "prefix like 'team:*')",
        ),
    ],
)
async def test_what_a_token_does_not_grant_is_told_to_the_developer(
    grants: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "rx_sse.web.auth")
    claims = {} if grants is None else {"rx_sse": grants}
    async with mounted() as (url, _):
        status, told, _ = await problem(url + "/topics/other", bearer("ada", scope="publish", **claims))
        assert (status, told["detail"]) == (403, "the token does not grant publishing to this topic")
    lines = [r.getMessage() for r in caplog.records if r.name == "rx_sse.web.auth"]
    assert lines == [f"POST /events/topics/other was answered 403: {reason}"]


@pytest.mark.parametrize("grant", ["user:7*", "team*", "a b*", "", "{x}*"])
async def test_a_grant_that_is_no_pattern_opens_nothing(grant: str) -> None:
    headers = bearer("eve", scope="publish", rx_sse={"subscribe": [grant], "publish": [grant]})
    async with mounted() as (url, _):
        for topic in ("user:77", "teammates", "a", "x"):
            async with open_stream(url, f"?topic={topic}", headers=headers) as stream:
                assert stream.status == 403
            assert (await problem(f"{url}/topics/{topic}", headers))[0] == 403


class Broken(MemoryLog):
    """A log that takes nothing."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def append(self, draft: Draft) -> None:
        assert draft.settle is not None
        draft.settle(self.error)


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (PublishRefused("the store took nothing for 5 s", retry_after=1.0), 503, "1"),
        (PublishRefused("the store is loading", retry_after=2.3), 503, "3"),
        (PublishRefused("this key was used with another payload"), 422, None),
        (PublishUnknown("no answer came"), 504, None),
        (QueueFull("no room", retry_after=1.0), 503, "1"),
        (Overloaded("busy"), 503, "1"),
        (BusClosed("closed"), 503, "1"),
    ],
)
async def test_an_outage_is_a_503_that_says_when_to_come_back(
    error: Exception, status: int, retry_after: str | None
) -> None:
    bus = rx_sse.Bus(Broken(error))
    app = rx_sse.setup(web.Application(), bus=bus)
    app.add_subapp("/events", rx_sse.bus_app(bus, auth=jwt_auth()))
    async with serve(app) as url:
        answered, told, headers = await problem(url + "/events/topics/news", HEADERS)
    assert (answered, headers.get("Retry-After"), told["detail"]) == (status, retry_after, str(error))


async def test_who_asks_cannot_be_told_is_a_503_too() -> None:
    async def auth(request: web.Request) -> rx_sse.Principal:
        raise Overloaded("the users' database is busy", retry_after=4.2)

    async with serve(rx_sse.bus_app(rx_sse.MemoryBus(), auth=auth)) as url:
        status, _, headers = await problem(url + "/topics/news", {})
        assert (status, headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize("authorized", [True, False])
async def test_a_compressed_body_is_refused_before_anything_is_asked(authorized: bool) -> None:
    app = rx_sse.bus_app(rx_sse.MemoryBus(), auth=jwt_auth())
    runner = web.AppRunner(app, auto_decompress=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        headers = {"Content-Encoding": "gzip", **(HEADERS if authorized else {})}
        body = gzip.compress(b'"' + b"x" * 900_000 + b'"')
        status, _, answered = await problem(f"http://{host}:{port}/topics/news", headers, body)
        assert (status, answered["Accept-Encoding"]) == (415, "identity")
    finally:
        await runner.cleanup()


async def test_one_users_keys_leave_room_for_everybody_elses() -> None:
    bus = rx_sse.MemoryBus()
    app = rx_sse.setup(web.Application(), bus=bus, limits=rx_sse.Limits(keys_per_user=8))
    app.add_subapp("/events", rx_sse.bus_app(bus, auth=jwt_auth()))
    async with serve(app) as url:
        where, other = url + "/events/topics/news", bearer("ben", scope="publish", rx_sse=GRANTS)
        answers = [(await problem(where, {**HEADERS, "Idempotency-Key": f"k{n}"})) for n in range(5)]
        assert [status for status, _, _ in answers] == [201] * 4 + [429]
        assert int(answers[-1][2]["Retry-After"]) > 60 and "8 idempotency keys" in answers[-1][1]["detail"]
        assert (await problem(where, {**other, "Idempotency-Key": "k0"}))[0] == 201
        assert (await problem(where, HEADERS))[0] == 201, "without a key nothing is remembered"


async def test_one_users_topics_leave_room_for_everybody_elses() -> None:
    bus = rx_sse.MemoryBus()
    app = rx_sse.setup(web.Application(), bus=bus, limits=rx_sse.Limits(topics_per_user=4))
    app.add_subapp("/events", rx_sse.bus_app(bus, auth=jwt_auth()))
    async with serve(app) as url:
        ben = bearer("ben", rx_sse=GRANTS)
        for path, headers, status in (
            ("?topic=team:1&topic=team:2", HEADERS, 200),
            ("?topic=team:3&topic=team:4", HEADERS, 200),
            ("?topic=team:5", {**HEADERS, "Accept": "*/*"}, 429),
            ("?topic=team:5", ben, 200),
            ("/me", HEADERS, 200),
        ):
            async with open_stream(url, "/events" + path, headers=headers) as stream:
                assert stream.status == status, path
        async with open_stream(url, "/events?topic=team:5", headers=HEADERS) as stream:
            assert stream.status == 200 and await stream.ended(), "a browser is shed, to come back"
            assert stream.retry is not None and stream.retry > 10_000


ORIGIN = "https://app.example"


@pytest.mark.parametrize(
    ("origin", "method", "path", "status"),
    [
        (ORIGIN, "POST", "/topics/team:7", 204),
        (ORIGIN, "GET", "/?topic=news", 204),
        (ORIGIN, "GET", "/me", 204),
        (ORIGIN, "PUT", "/topics/team:7", 405),
        ("https://evil.example", "POST", "/topics/team:7", 405),
    ],
)
async def test_a_page_that_may_read_may_publish(origin: str, method: str, path: str, status: int) -> None:
    bus = rx_sse.MemoryBus()
    app = rx_sse.setup(web.Application(), bus=bus, allow_origins=[ORIGIN])
    app.add_subapp("/events", rx_sse.bus_app(bus, auth=jwt_auth()))
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }
    async with serve(app) as url, aiohttp.ClientSession() as session:
        async with session.options(f"{url}/events{path}", headers=asked) as answer:
            assert answer.status == status
            if status == 204:
                assert answer.headers["Access-Control-Allow-Methods"] == method
                allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
                assert {"authorization", "content-type", "idempotency-key"} <= set(allowed)
        where = url + "/events/topics/news"
        for headers, expected in ((HEADERS, 201), ({}, 401)):
            posted, _, answered = await problem(where, {**headers, "Origin": origin})
            assert posted == expected
            shared = origin == ORIGIN
            assert answered.get("Access-Control-Allow-Origin") == (ORIGIN if shared else None)
            assert answered.get("Access-Control-Expose-Headers") == (EXPOSED if shared else None)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://own.example"}, 201),
        ({"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"}, 201),
        ({}, 201),
    ],
)
async def test_a_strangers_page_cannot_publish_with_somebodys_cookie(
    headers: dict[str, str], status: int
) -> None:
    """Whatever the authenticator is: this one reads a session from a cookie, and does not ask who sent it."""

    def auth(request: web.Request) -> rx_sse.Principal | None:
        return rx_sse.Principal("ada", frozenset({"publish"})) if "session" in request.cookies else None

    bus = rx_sse.MemoryBus()
    app = rx_sse.setup(web.Application(), bus=bus, allow_origins=[ORIGIN])
    app.add_subapp("/events", rx_sse.bus_app(bus, auth=auth, allow=lambda *_: True))
    async with serve(app) as url:
        sent = {**headers, "Cookie": "session=1", "Content-Type": "text/plain"}
        assert (await problem(url + "/events/topics/news", sent))[0] == status
