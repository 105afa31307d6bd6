"""The mount's history: pages of a topic as JSON, by the grants of a stream, cached by `ETag`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web

import rx_sse
from rx_sse.bus.bus import core_of
from rx_sse.bus.resume.limiter import BUCKET
from rx_sse.testing import open_stream, serve
from tests.web.tokens import KEY, bearer

HEADERS = bearer("ada", 3600.0, rx_sse={"subscribe": ["news", "team:*"]})


@dataclass
class Answer:
    status: int
    headers: Any
    body: Any


@dataclass
class Mount:
    url: str
    bus: rx_sse.MemoryBus
    session: aiohttp.ClientSession

    async def get(self, path: str, headers: dict[str, str] | None = None, method: str = "GET") -> Answer:
        """A page; a path without a slash is a topic's history with this query."""
        where = path if path.startswith("/") else f"/topics/news/history{path}"
        sent = HEADERS if headers is None else headers
        async with self.session.request(method, self.url + where, headers=sent) as answer:
            text = await answer.text()
            is_json = "json" in answer.content_type and text
            return Answer(answer.status, answer.headers, await answer.json() if is_json else text)


@contextlib.asynccontextmanager
async def mounted(limits: rx_sse.Limits | None = None, **options: Any) -> AsyncIterator[Mount]:
    bus = rx_sse.MemoryBus()
    app = rx_sse.setup(web.Application(), bus=bus, limits=limits, **options)
    auth = rx_sse.JWTAuth(key=KEY, algorithms="HS256", cookie="__Host-token")
    app.add_subapp("/events", rx_sse.bus_app(bus, auth=auth))
    async with serve(app) as url, aiohttp.ClientSession() as session:
        yield Mount(url + "/events", bus, session)


async def test_a_page_has_what_the_stream_has_and_the_stream_goes_on_from_it() -> None:
    async with mounted() as mount:
        ids = [
            await mount.bus.publish("news", {"n": 1}),
            await mount.bus.publish("news", "two\nlines é", event="named"),
        ]
        page = await mount.get("")
        assert page.status == 200 and page.headers["Content-Type"].startswith("application/json")
        entries = page.body["entries"]
        assert [{**entry, "time": None} for entry in entries] == [
            {"id": ids[0], "event": None, "data": '{"n":1}', "time": None},
            {"id": ids[1], "event": "named", "data": "two\nlines é", "time": None},
        ]
        for entry in entries:
            assert entry["time"].endswith("Z") and len(entry["time"]) == 24
            age = datetime.now(UTC) - datetime.fromisoformat(entry["time"])
            assert abs(age) < timedelta(minutes=1)
        assert page.body["next"] is None and page.body["gap"] is None and page.body["position"] == ids[1]
        query = f"?topic=news&lastEventId={page.body['position']}"
        async with open_stream(mount.url, query, headers=HEADERS) as stream:
            assert (await stream.next_event(control=True)).json()["resumed"] is True
            await mount.bus.publish("news", "new")
            assert (await stream.next_event()).data == "new"


async def test_pages_follow_each_other_by_next() -> None:
    async with mounted() as mount:
        ids = [await mount.bus.publish("team:7", n) for n in range(7)]
        seen: list[str] = []
        query = "?limit=3"
        while True:
            page = (await mount.get(f"/topics/team:7/history{query}")).body
            seen += [entry["id"] for entry in page["entries"]]
            if page["next"] is None:
                break
            query = f"?limit=3&after={page['next']}"
        assert seen == ids
        last = (await mount.get("/topics/team:7/history?last=2")).body
        assert [entry["data"] for entry in last["entries"]] == ["5", "6"]


async def test_a_page_begins_at_a_time() -> None:
    async with mounted() as mount:
        ids = [await mount.bus.publish("news", n) for n in range(3)]
        entries = (await mount.get("")).body["entries"]
        moment = datetime.fromisoformat(entries[0]["time"])
        for since in ("60", "0060.5", entries[0]["time"], moment.astimezone().isoformat(), f"{moment}"):
            for sent in (quote(since, safe=""), quote(since, safe="+:")):  # `+` as it is: a space
                page = await mount.get(f"?since={sent}")
                assert [entry["id"] for entry in page.body["entries"]] == ids, since
        later = quote((datetime.now(UTC) + timedelta(hours=1)).isoformat(), safe="")
        page = await mount.get(f"?since={later}")
        assert page.body["entries"] == [] and page.body["position"] == ids[-1]
        async with open_stream(mount.url, "?topic=news&since=60", headers=HEADERS) as stream:
            assert [event.id for event in await stream.events(3)] == ids


async def test_what_a_cursor_has_lost_is_a_gap() -> None:
    async with mounted() as mount:
        first = await mount.bus.publish("news", 0)
        mount.bus.retain("news", history=2)
        for n in range(1, 5):
            await mount.bus.publish("news", n)
        page = (await mount.get(f"?after={first}")).body
        assert page["gap"] == {"reason": "trimmed", "missed": None}
        assert [entry["data"] for entry in page["entries"]] == ["3", "4"]


async def test_a_page_that_has_not_changed_is_not_sent_again() -> None:
    async with mounted() as mount:
        await mount.bus.publish("news", 1)
        first = await mount.get("")
        tag = first.headers["ETag"]
        assert tag.startswith('W/"') and first.headers["Cache-Control"] == "private, no-cache"
        assert "Authorization" in first.headers["Vary"] and "Cookie" in first.headers["Vary"]
        for given in (tag, f'"x", {tag}', tag[2:], "*"):
            again = await mount.get("", {**HEADERS, "If-None-Match": given})
            assert (again.status, again.body, again.headers["ETag"]) == (304, "", tag)
            assert again.headers["Cache-Control"] == "private, no-cache"
        assert (await mount.get("", {**HEADERS, "If-None-Match": '"other"'})).status == 200
        await mount.bus.publish("news", 2)
        changed = await mount.get("", {**HEADERS, "If-None-Match": tag})
        assert changed.status == 200 and changed.headers["ETag"] != tag


async def test_a_head_request_gets_the_headers() -> None:
    async with mounted() as mount:
        await mount.bus.publish("news", 1)
        whole = await mount.get("")
        head = await mount.get("", method="HEAD")
        assert head.status == 200 and head.body == ""
        assert head.headers["ETag"] == whole.headers["ETag"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/topics/secret/history", 403),
        ("/topics/user:ben/history", 403),
        ("/topics/teams:1/history", 403),
        ("/topics/%21revocations/history", 400),
        ("/topics/team:*/history", 400),
        ("/topics/a%20b/history", 400),
        ("?limit=0", 400),
        ("?limit=501", 400),
        ("?limit=%C2%B2", 400),
        ("?last=0", 400),
        ("?last=-1", 400),
        ("?last=1&since=5", 400),
        ("?after=nonsense", 400),
        ("?after=1_aaaaaa.1.1", 400),
        ("?after=", 400),
        ("?since=yesterday", 400),
        ("?since=-5", 400),
        ("?since=1e400", 400),
        ("?since=2026-01-02T03:04:05", 400),
        ("?since=2026-13-02T03:04:05Z", 400),
        ("?since=2026-01-02", 400),
        ("?before=3", 400),
        ("/topics/news", 405),
        ("/?topic=news&last=1&since=5", 400),
        ("/?topic=news&since=soon", 400),
    ],
)
async def test_what_cannot_be_answered_is_a_problem(path: str, status: int) -> None:
    async with mounted() as mount:
        await mount.bus.publish("news", 1)
        answer = await mount.get(path)
        assert answer.status == status
        if status != 405:
            assert answer.headers["Content-Type"].startswith("application/problem+json")
            assert answer.body["status"] == status and answer.body["detail"]
            assert "ETag" not in answer.headers


async def test_a_topic_that_may_not_be_read_is_refused_whether_it_exists_or_not() -> None:
    async with mounted() as mount:
        await mount.bus.publish("secret", 1)
        answers = [await mount.get(f"/topics/{topic}/history") for topic in ("secret", "no-such-topic")]
        assert answers[0].body == answers[1].body and answers[0].status == 403


async def test_without_a_token_or_with_a_revoked_one_nothing_is_told() -> None:
    async with mounted() as mount:
        await mount.bus.publish("news", 1)
        for headers in ({}, {"Authorization": "Bearer nonsense"}):
            answer = await mount.get("", headers)
            assert answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Bearer")
        await mount.bus.revoke(user="ada")
        await core_of(mount.bus).delivered()
        assert (await mount.get("")).status == 401


async def test_ones_own_topic_needs_no_grant() -> None:
    async with mounted() as mount:
        await mount.bus.publish(rx_sse.topic_name("user", "ben/7"), "mine")
        topic = quote(rx_sse.topic_name("user", "ben/7"), safe="")
        answer = await mount.get(f"/topics/{topic}/history", bearer("ben/7"))
        assert [entry["data"] for entry in answer.body["entries"]] == ["mine"]


async def test_a_page_of_another_site_gets_nothing_by_the_cookie() -> None:
    async with mounted() as mount:
        await mount.bus.publish("news", 1)
        cookie = {"Cookie": "__Host-token=" + HEADERS["Authorization"].split()[1]}
        assert (await mount.get("", {**cookie, "Sec-Fetch-Site": "same-origin"})).status == 200
        assert (await mount.get("", {**cookie, "Sec-Fetch-Site": "cross-site"})).status == 403


async def test_pages_of_listed_origins_may_read_it() -> None:
    origin = "https://app.example.com"
    async with mounted(allow_origins=[origin]) as mount:
        answer = await mount.get("", {**HEADERS, "Origin": origin})
        assert answer.status == 200 and answer.headers["Access-Control-Allow-Origin"] == origin
        assert "Origin" in answer.headers["Vary"] and "Authorization" in answer.headers["Vary"]


async def test_who_reads_too_much_is_told_when_to_come_back() -> None:
    async with mounted(rx_sse.Limits(topics_per_user=2)) as mount:
        answers = [await mount.get("") for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert int(answers[2].headers["Retry-After"]) >= 1
    async with mounted() as mount:
        await mount.bus.publish("news", "x" * 1000)
        core_of(mount.bus).limiter.enter("ada")
        core_of(mount.bus).limiter.leave("ada", BUCKET * 2)
        answer = await mount.get("")
        assert answer.status == 503 and int(answer.headers["Retry-After"]) >= 1
        assert core_of(mount.bus).limiter.running == 0
        other = bearer("ben", rx_sse={"subscribe": ["news"]})
        assert (await mount.get("", other)).status == 200


async def test_a_page_ends_before_it_is_too_big() -> None:
    async with mounted() as mount:
        for n in range(4):
            await mount.bus.publish("news", str(n) * 100_000)
        await mount.bus.publish("news", "x" * 900_000)
        pages, after = 0, ""
        while after is not None:
            body = (await mount.get(f"?after={after}" if after else "")).body
            assert sum(len(entry["data"]) for entry in body["entries"][:-1]) <= 262_144
            pages, after = pages + 1, body["next"]
        assert pages == 3


# -- positions in handlers -----------------------------------------------------------------------------------


async def test_a_handler_begins_where_the_server_says_and_a_reconnect_where_the_client_says() -> None:
    bus = rx_sse.MemoryBus()
    positions: list[str] = []

    @rx_sse.sse
    def handler(request: web.Request) -> Any:
        return bus.events("t", after=rx_sse.last_event_id(request, default=positions[0]))

    app = rx_sse.setup(web.Application(), bus=bus)
    app.router.add_get("/", handler)
    async with serve(app) as url:
        await bus.publish("t", "before")
        positions.append(await bus.position("t"))
        await bus.publish("t", 1)
        async with open_stream(url) as stream:
            assert (await stream.next_event()).data == "1"
            last = stream.last_event_id
        await bus.publish("t", 2)
        async with open_stream(url, headers={"Last-Event-ID": last}) as stream:
            assert (await stream.next_event()).data == "2"


async def test_a_text_as_after_in_a_handler_is_refused_and_in_what_it_begins_is_not() -> None:
    bus = rx_sse.MemoryBus()
    got: asyncio.Queue[str] = asyncio.Queue()
    begun: list[asyncio.Task[None]] = []
    handlers_done = asyncio.Event()

    async def beside() -> None:
        await handlers_done.wait()
        bus.events("t", after=await bus.position("t")).subscribe(lambda event: got.put_nowait(event.data))

    @rx_sse.sse
    async def handler(request: web.Request) -> Any:
        begun.append(asyncio.create_task(beside()))
        return bus.events("t", after=await bus.position("t"))

    app = rx_sse.setup(web.Application(), bus=bus)
    app.router.add_get("/", handler)
    async with serve(app) as url:
        async with open_stream(url) as stream:
            assert stream.status == 500
        handlers_done.set()
        await asyncio.gather(*begun)
        await bus.publish("t", "x")
        async with asyncio.timeout(20):
            assert await got.get() == "x"


async def test_a_default_is_given_once_and_is_a_cursor() -> None:
    told: list[str] = []
    bus = rx_sse.MemoryBus()

    @rx_sse.sse
    def handler(request: web.Request) -> Any:
        for default in (7, None, "1_aaaaaa.1.1"):
            try:
                rx_sse.last_event_id(request, default)  # type: ignore[arg-type]
            except rx_sse.UsageError as error:
                told.append(str(error))
        return bus.events("t", after=rx_sse.last_event_id(request))

    app = rx_sse.setup(web.Application(), bus=bus)
    app.router.add_get("/", handler)
    async with serve(app) as url, open_stream(url) as stream:
        await stream.next_event(control=True)
    assert len(told) == 2 and "must be a cursor" in told[0] and "at the first call" in told[1]
