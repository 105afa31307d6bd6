"""The module in pages of a Chromium: sharing, positions, users, a device that is offline or asleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
from aiohttp import web

import rx_sse
from rx_sse.testing import serve

from ..conformance.endpoint import Site, listening
from ..devtools import Browser, Tab, browsing
from ..web.apps import until
from .pages import Numbers

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SECRET = "a secret of at least thirty-two bytes"


@asynccontextmanager
async def stage(chromium: str, numbers: Numbers) -> AsyncIterator[tuple[str, Browser]]:
    async with serve(numbers.app) as url, browsing(chromium) as browser:
        yield url, browser


async def bare(browser: Browser, url: str, **where: Any) -> Tab:
    tab = await browser.open(f"{url}/bare", **where)
    await tab.until("globalThis.open_stream !== undefined")
    return tab


async def start(tab: Tab, options: str = "{}", url: str = "/numbers", state: str = "open") -> None:
    await tab.run(f"void (globalThis.me = open_stream('{url}', {options}))")
    await tab.until(f"me.state === '{state}'")


MESSAGES = "me.got.filter(([type]) => type === 'message').map(([, data]) => +data)"


async def test_tabs_share_and_a_new_one_joins_with_a_replay_if_it_asks(chromium: str) -> None:
    numbers = Numbers()
    async with stage(chromium, numbers) as (url, browser):
        first = await bare(browser, url)
        await start(first)
        await numbers.send(5)
        await first.until(f"{MESSAGES}.length === 5")
        second, third = await bare(browser, url), await bare(browser, url)
        await start(second)
        await start(third, "{replay: 2}")
        assert (await second.run("me.told"))[0][:1] == ["joined"]
        assert (await third.run("me.told"))[0][1]["events"] == 2
        await numbers.send(1)
        for tab, expected in ((first, [0, 1, 2, 3, 4, 5]), (second, [5]), (third, [3, 4, 5])):
            assert await tab.until(f"{MESSAGES}.at(-1) === 5 && {MESSAGES}") == expected
        assert (numbers.open, numbers.opened["streams"]) == (1, 1)
        await first.run("me.close()")
        await second.run("me.close()")
        assert numbers.open == 1
        await third.run("me.close()")
        await until(lambda: numbers.open == 0)


async def test_a_reload_loses_nothing_alone_or_beside_others(chromium: str) -> None:
    numbers = Numbers()
    async with stage(chromium, numbers) as (url, browser):
        alone = await browser.open(url + "/")
        await alone.until("globalThis.me?.state === 'open'")
        for beside in (False, True):
            if beside:
                other = await browser.open(url + "/")
                await other.until("globalThis.me?.state === 'open'")
            await numbers.send(3)
            await alone.until(f"got.length === {numbers.sent}")
            await alone.navigate(url + "/blank")
            await numbers.send(3)
            await alone.navigate(url + "/")
            await alone.until(f"globalThis.got?.length === {numbers.sent}")
        await numbers.send(1)
        assert await alone.until("got.at(-1) === 12 && got") == list(range(13))
        assert [kind for kind, *_ in await alone.run("told") if kind in ("gap", "error")] == []


async def test_a_page_that_is_left_lets_go_and_one_that_comes_back_goes_on(chromium: str) -> None:
    numbers = Numbers()
    async with stage(chromium, numbers) as (url, browser):
        tab = await browser.open(url + "/")
        await tab.until("globalThis.me?.state === 'open'")
        await numbers.send(2)
        await tab.until("got.length === 2")
        await tab.navigate(url + "/blank")
        await until(lambda: numbers.open == 0)
        await numbers.send(2)
        await tab.run("void history.back()")
        await tab.until("globalThis.got?.length === 4")
        assert await tab.run("got") == [0, 1, 2, 3]


@pytest.mark.parametrize("how", ["policy", "no locks"])
async def test_where_there_is_no_worker_another_way_is_found(chromium: str, how: str) -> None:
    numbers = Numbers()
    if how == "policy":
        numbers.headers["Content-Security-Policy"] = "worker-src 'none'"
    async with stage(chromium, numbers) as (url, browser):
        tabs = [await bare(browser, url) for _ in range(2)]
        for tab in tabs:
            if how == "no locks":
                await tab.run(
                    "delete globalThis.SharedWorker; Object.defineProperty(navigator, 'locks', {value: undefined}); 1"
                )
            await start(tab)
        await numbers.send(2)
        for tab in tabs:
            await tab.until(f"{MESSAGES}.length === 2")
        assert numbers.open == (1 if how == "policy" else 2)


async def test_a_hidden_tab_keeps_or_pauses_as_it_was_told(chromium: str) -> None:
    numbers = Numbers()
    async with stage(chromium, numbers) as (url, browser):
        tab = await bare(browser, url)
        await start(tab, "{hidden: 'pause'}")
        await numbers.send(2)
        await tab.until(f"{MESSAGES}.length === 2")
        front = await browser.open(f"{url}/blank", window=False)
        await tab.until("document.visibilityState === 'hidden' && me.state === 'waiting'")
        await until(lambda: numbers.open == 0)
        await numbers.send(2)
        await front.close()
        await tab.until("document.visibilityState === 'visible'")
        assert await tab.until(f"{MESSAGES}.length === 4 && {MESSAGES}") == [0, 1, 2, 3]
        assert [kind for kind, _ in await tab.run("me.told") if kind == "gap"] == []


# -- users ------------------------------------------------------------------------------------------------------


class People(Numbers):
    """Streams of a cookie's, or a token's, user."""

    def __init__(self) -> None:
        super().__init__()
        auth = rx_sse.JWTAuth(key=SECRET, algorithms=["HS256"])
        self.users: list[str] = []

        def by_cookie(request: web.Request) -> rx_sse.Principal:
            return rx_sse.Principal(user=request.cookies.get("user", "nobody"))

        self.app.router.add_get("/mine", rx_sse.sse(auth=by_cookie)(self.mine))
        self.app.router.add_get("/signed", rx_sse.sse(auth=auth)(self.mine))
        self.app.router.add_get("/token", self.token)

    def mine(self, request: web.Request) -> Any:
        user = rx_sse.principal(request).user
        self.users.append(user)
        mine = rx_sse.topic_name("user", user)
        return self.bus.events(mine, after=rx_sse.last_event_id(request))

    async def token(self, request: web.Request) -> web.Response:
        return web.Response(text=token(request.query["user"], float(request.query.get("seconds", "60"))))


def token(user: str, seconds: float = 60.0) -> str:
    return jwt.encode({"sub": user, "exp": time.time() + seconds}, SECRET, algorithm="HS256")


async def test_tabs_of_two_users_never_share_though_both_have_a_cookie(chromium: str) -> None:
    people = People()
    async with stage(chromium, people) as (url, browser):
        ada, still_ada = await bare(browser, url), await bare(browser, url)
        await ada.run("document.cookie = 'user=ada'")
        await start(ada, url="/mine")
        await start(still_ada, url="/mine")
        assert (people.open, people.users) == (1, ["ada"])
        ben = await bare(browser, url)
        await ben.run("document.cookie = 'user=ben'")
        await start(ben, url="/mine")
        assert (people.open, people.users) == (2, ["ada", "ben"])
        for user in ("ada", "ben"):
            await people.bus.publish(rx_sse.topic_name("user", user), user)
        for tab, user in ((ada, "ada"), (still_ada, "ada"), (ben, "ben")):
            await tab.until(f"me.got.some(([type, data]) => type === 'message' && data === '{user}')")
            assert await tab.run("me.got.filter(([type]) => type === 'message').length") == 1
        # Ada's connection breaks, and the cookie is Ben's now: what comes then is not for her page.
        await people.bus.publish(rx_sse.topic_name("user", "ben"), "for Ben alone")
        for stream in list(people.streams):
            if stream.principal is not None and stream.principal.user == "ada":
                stream.connection.abort()
        await ada.until("me.state === 'closed'")
        assert [detail["reason"] for kind, detail in await ada.run("me.told") if kind == "error"][
            -1
        ] == "user"
        assert await ada.run("me.got.filter(([, data]) => data === 'for Ben alone').length") == 0


async def test_two_tokens_never_share_and_one_user_with_fresh_tokens_does(chromium: str) -> None:
    people = People()
    async with stage(chromium, people) as (url, browser):
        tabs = [await bare(browser, url) for _ in range(4)]
        given = {user: token(user) for user in ("ada", "ben")}
        for tab, signed in zip(tabs[:2], given.values(), strict=True):
            await start(tab, f"{{token: '{signed}'}}", "/signed")
        assert people.users == ["ada", "ben"] and people.open == 2
        fresh = "{user: 'cy', token: async () => (await fetch('/token?user=cy')).text()}"
        for tab in tabs[2:]:
            await start(tab, fresh, "/signed")
        assert people.users == ["ada", "ben", "cy"] and people.open == 3
        await tabs[0].run(
            "void dispatchEvent(new PageTransitionEvent('pagehide'))"
        )  # which keeps the position
        names = await tabs[0].run("JSON.stringify({...sessionStorage})")
        assert "/signed" in names
        assert given["ada"] not in names


@pytest.mark.timeout(180)
async def test_a_token_of_three_seconds_lasts_for_a_minute(chromium: str) -> None:
    people = People()
    seconds, pause = 60.0, 0.05
    async with stage(chromium, people) as (url, browser):
        tab = await bare(browser, url)
        fresh = "{user: 'ada', token: async () => (await fetch('/token?user=ada&seconds=3')).text()}"
        await start(tab, fresh, "/signed")
        topic, sent = rx_sse.topic_name("user", "ada"), 0
        until_then = time.monotonic() + seconds
        while time.monotonic() < until_then:
            await people.bus.publish(topic, sent)
            sent += 1
            await asyncio.sleep(pause)
        got = await tab.until(f"{MESSAGES}.length >= {sent} && {MESSAGES}")
        assert got == list(range(sent))
        assert await tab.run("me.told") == []
        assert len(people.users) >= 20
    print(f"{len(people.users)} connections in {seconds:.0f} s, {sent} events, no gap")


# -- offline, asleep -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", ["true", "false"])
@pytest.mark.parametrize(("missed", "gaps"), [(40, 0), (400, 1)])
async def test_asleep_for_less_and_for_longer_than_the_history(
    chromium: str, share: str, missed: int, gaps: int
) -> None:
    numbers = Numbers(history=100, heartbeat=0.3)
    async with stage(chromium, numbers) as (url, browser):
        tab = await bare(browser, url)
        await start(tab, f"{{share: {share}, retry: 100}}")
        await numbers.send(5)
        await tab.until(f"{MESSAGES}.length === 5")
        sessions = [await browser.attach(target) for target in await browser.targets("shared_worker")]
        switch = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        for offline in (True, False):
            for session in sessions:
                await browser.call("Network.enable", session)
                await browser.call("Network.emulateNetworkConditions", session, offline=offline, **switch)
            await tab.offline(offline)
            if offline:
                for stream in list(numbers.streams):
                    stream.connection.abort()
                await tab.until("me.state === 'waiting' && !navigator.onLine")
                await numbers.send(missed)
        await tab.until("me.state === 'open'")
        last = numbers.sent - 1
        got = await tab.until(f"{MESSAGES}.at(-1) === {last} && {MESSAGES}")
        assert len([kind for kind, _ in await tab.run("me.told") if kind == "gap"]) == gaps
        assert got == (
            list(range(numbers.sent)) if not gaps else [*range(5), *range(numbers.sent - 100, numbers.sent)]
        )
        await numbers.send(1)
        await tab.until(f"{MESSAGES}.at(-1) === {numbers.sent - 1}")


# -- what is hostile --------------------------------------------------------------------------------------------


async def test_a_script_in_any_field_stays_text(chromium: str) -> None:
    harm = "\"><img src=x onerror='globalThis.harmed=1'><script>globalThis.harmed=1</script>"
    numbers = Numbers()

    @rx_sse.sse
    def hostile(request: web.Request) -> Any:
        async def source() -> AsyncIterator[Any]:
            yield rx_sse.ServerSentEvent(harm, event=harm, id=harm.encode("ascii").hex())
            yield rx_sse.RawFrame(f'id: {harm}\nevent: stream-gap\ndata: {{"reason":"x"}}\n\n')
            yield rx_sse.RawFrame(f"retry: {harm}\nevent: __proto__\ndata: {harm}\n\n")
            await asyncio.sleep(60)

        return source()

    numbers.app.router.add_get("/hostile", hostile)
    async with stage(chromium, numbers) as (url, browser):
        tab = await bare(browser, url)
        await start(tab, f"{{user: `{harm}`, headers: {{'X-Harm': `{harm}`}}}}", "/hostile")
        got = await tab.until("me.got.length >= 3 && me.got")
        assert [data for _, data in got][::2] == [harm, harm] and got[0][0] == harm
        assert await tab.run("[globalThis.harmed ?? null, document.images.length, ({}).x ?? null]") == [
            None,
            0,
            None,
        ]


async def test_a_redirect_to_another_origin_gets_no_token(chromium: str) -> None:
    numbers = Numbers()
    async with listening(Site()) as site:
        target = site.endpoint()
        seen: list[str | None] = []

        async def away(request: web.Request) -> web.Response:
            seen.append(request.headers.get("Authorization"))
            return web.Response(status=307, headers={"Location": target.url})

        numbers.app.router.add_get("/away", away)
        async with stage(chromium, numbers) as (url, browser):
            tab = await bare(browser, url)
            await tab.run("void (globalThis.me = open_stream('/away', {token: 'secret'}))")
            visit = await target.visit()
            assert (visit.method, seen) == ("GET", ["Bearer secret"])
            assert "Authorization" not in visit.headers
            await visit.open(
                headers={"Content-Type": "text/event-stream", "Access-Control-Allow-Origin": "*"}
            )
            await visit.send("data: there\n\n")
            assert await tab.until("me.got.length && me.got") == [["message", "there"]]
