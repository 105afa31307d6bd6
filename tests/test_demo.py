"""The demo does what it shows: each part by its routes, and the page in a real browser."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from rx_sse.demo.application import PACKAGE, make_app
from rx_sse.testing import open_stream, serve
from rx_sse.web.registry import REGISTRY
from tests.browser import Page, Tab, browsing, visiting
from tests.redis_server import RedisServer, free_port
from tests.web.apps import until

SAME = {"Sec-Fetch-Site": "same-origin"}


class Viewer:
    """A page without a browser: signed in, with its cookie."""

    def __init__(self, url: str, name: str, cookie: str) -> None:
        self.url = url
        self.path = f"/viewers/{name}"
        self.headers = {**SAME, "Cookie": f"rx_sse_demo={cookie}"}

    @classmethod
    async def sign_in(cls, url: str) -> Viewer:
        """A new viewer."""
        async with aiohttp.ClientSession(headers=SAME) as session, session.post(f"{url}/viewers") as answer:
            assert answer.status == 200, await answer.text()
            return cls(url, (await answer.json())["viewer"], answer.cookies["rx_sse_demo"].value)

    def stream(self, **headers: str) -> Any:
        """The page's one stream."""
        return open_stream(self.url, f"{self.path}/events", headers={**self.headers, **headers})

    async def post(self, route: str, body: Any = None, status: int = 200) -> str:
        """Press one of the page's buttons."""
        path = route if route.startswith("/") else f"{self.path}/{route}"
        async with aiohttp.ClientSession(headers=self.headers) as session:
            async with session.post(self.url + path, json=body) as answer:
                text = await answer.text()
                assert answer.status == status, text
                return text


@asynccontextmanager
async def demo(folder: Path = PACKAGE) -> AsyncIterator[str]:
    """The demo's address."""
    async with serve(make_app(folder=folder)) as url:
        yield url


async def next_of(stream: Any, kind: str) -> Any:
    while True:
        event = await stream.next_event()
        if event.type == kind:
            return event.json()


async def test_the_clock_ticks_and_the_machine_is_read() -> None:
    async with demo() as url:
        async with (await Viewer.sign_in(url)).stream() as stream:
            assert await next_of(stream, "clock") == {"ticks": 0}
            reading = await next_of(stream, "machine")
            assert set(reading) == {"cpu", "memory", "network"}
            assert 0 < reading["memory"] <= 100
            assert await next_of(stream, "clock") == {"ticks": 1}


async def test_the_slider_changes_one_viewers_pipeline_while_it_runs() -> None:
    async with demo() as url:
        one, other = await Viewer.sign_in(url), await Viewer.sign_in(url)
        async with one.stream() as slow, other.stream() as fast:
            await next_of(slow, "machine")
            await one.post("throttle", {"seconds": 5})
            kinds = {"slow": 0, "fast": 0}
            for name, stream in (("fast", fast), ("slow", slow)):
                for _ in range(3):
                    await next_of(stream, "clock")
                stream.rest()
                while (event := await stream.next_event()).type != "clock":
                    kinds[name] += event.type == "machine"
            assert kinds["fast"] > 4 > kinds["slow"]


async def test_a_message_reaches_every_open_page_and_a_later_one() -> None:
    async with demo() as url:
        viewers = [await Viewer.sign_in(url) for _ in range(3)]
        async with viewers[0].stream() as one, viewers[1].stream() as two:
            await viewers[0].post("/say", {"text": "héllo\n<b>"})
            assert await next_of(one, "said") == await next_of(two, "said") == {"text": "héllo\n<b>"}
        async with viewers[2].stream() as late:
            assert await next_of(late, "said") == {"text": "héllo\n<b>"}


async def test_the_job_hashes_the_files_of_a_folder_and_ends(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.bin").write_bytes(b"x" * 100_000)
    async with demo(tmp_path) as url:
        viewer, other = await Viewer.sign_in(url), await Viewer.sign_in(url)
        async with viewer.stream() as stream, other.stream() as others:
            await viewer.post("job", {"folder": str(tmp_path)})
            assert await next_of(stream, "total") == {"files": 2, "bytes": 100_003}
            first = await next_of(stream, "progress")
            assert first["sha256"] == hashlib.sha256(b"one").hexdigest()
            assert (await next_of(stream, "progress"))["bytes"] == 100_003
            assert await next_of(stream, "done") == {"files": 2}
            assert {event.type for event in others.rest()} <= {"clock", "machine"}, "a job is its viewer's"


async def test_a_job_goes_on_while_its_page_is_away_and_is_resumed(tmp_path: Path) -> None:
    names = [f"{number:03}" for number in range(150)]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    async with demo(tmp_path) as url:
        viewer = await Viewer.sign_in(url)
        seen: list[str] = []
        async with viewer.stream() as stream:
            await viewer.post("job", {"folder": str(tmp_path)})
            seen.append((await next_of(stream, "progress"))["file"])
            seen += [event.json()["file"] for event in stream.rest() if event.type == "progress"]
            cursor = stream.last_event_id
        async with viewer.stream(**{"Last-Event-ID": cursor}) as stream:
            while (event := await stream.next_event()).type != "done":
                if event.type == "progress":
                    seen.append(event.json()["file"])
        assert seen == names, "each file once, in order, over two connections"


async def test_a_link_leads_out_of_no_folder(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "out").symlink_to(tmp_path)
    (tmp_path / "secret").write_text("s")
    (tmp_path / "own" / "secret").symlink_to(tmp_path / "secret")
    async with demo(tmp_path / "own") as url:
        viewer = await Viewer.sign_in(url)
        await viewer.post("job", {"folder": "out"}, status=404)
        async with viewer.stream() as stream:
            await viewer.post("job", {"folder": ""})
            assert (await next_of(stream, "total"))["files"] == 0


OWN = {"Host": "localhost:1", "Origin": "http://localhost:1", "Sec-Fetch-Site": "same-origin"}
CROSS = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
REBOUND = {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}


@pytest.mark.parametrize(
    ("headers", "page", "push"),
    [
        ({}, 200, 200),
        (OWN, 200, 200),
        ({"Host": "127.0.0.1:1"}, 200, 200),
        ({"Host": "[::1]:1"}, 200, 200),
        ({"Host": "demo.localhost"}, 200, 200),
        ({"Sec-Fetch-Site": "none"}, 200, 200),
        (REBOUND, 421, 421),
        ({"Host": "localhost.evil.example"}, 421, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421, 421),
        ({"Host": "evil.example"}, 421, 421),
        (CROSS, 403, 403),
        ({"Origin": "null"}, 403, 403),
        ({"Origin": "http://localhost:9"}, 403, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403, 403),
        (LINK, 200, 403),
    ],
)
async def test_only_the_demos_own_pages_may_use_it(headers: dict[str, str], page: int, push: int) -> None:
    async with demo() as url, aiohttp.ClientSession(headers=headers) as session:
        async with session.get(url + "/") as answer:
            assert answer.status == page
        async with session.post(url + "/say", json={"text": "hello"}) as answer:
            assert answer.status == push
        async with session.post(url + "/viewers") as answer:
            assert answer.status == push and (push == 200) is ("Set-Cookie" in answer.headers)


async def test_a_link_from_elsewhere_begins_no_stream() -> None:
    async with demo() as url:
        viewer = await Viewer.sign_in(url)
        async with viewer.stream(**LINK) as stream:
            assert stream.status == 403


@pytest.mark.parametrize(
    "folder", ["/no/such/folder", "~nobody-here/x", "\0", "a" * 5000, 7, "/", "/etc", "..", "~", "wire/../.."]
)
async def test_a_folder_that_is_none_or_outside_of_the_one_is_a_problem(folder: Any) -> None:
    async with demo() as url:
        viewer = await Viewer.sign_in(url)
        assert "is no folder in" in await viewer.post("job", {"folder": folder}, status=404)


@pytest.mark.parametrize("body", [None, {}, [], "text", 1])
async def test_a_body_without_its_fields_is_a_bad_request(body: Any) -> None:
    async with demo() as url:
        viewer = await Viewer.sign_in(url)
        for route in ("throttle", "job", "send", "/say"):
            await viewer.post(route, body, status=400)


@pytest.mark.parametrize("path", ["/nothing.html", "/..%2fapplication.py", "/page.py", "/people.css"])
async def test_nothing_but_the_page_is_served(path: str) -> None:
    async with open_stream(make_app(), path) as stream:
        assert stream.status == 404


async def test_without_signing_in_a_page_neither_reads_nor_writes() -> None:
    async with demo() as url:
        stranger = Viewer(url, "0" * 32, "")
        async with stranger.stream() as stream:
            assert stream.status == 401
        for route in ("throttle", "job", "send", "cut"):
            await stranger.post(route, {}, status=401)
        await stranger.post("/viewers/eve/sign-in", status=404)


async def test_a_message_goes_only_from_and_to_people_that_exist() -> None:
    async with demo() as url:
        viewer = await Viewer.sign_in(url)
        await viewer.post("send", {"from": "eve", "to": "ben", "text": "hello"}, status=403)
        await viewer.post("send", {"from": "ada", "to": "eve", "text": "hello"}, status=404)


SCRIPT = """
const frame = document.createElement("iframe");
frame.src = "/"; frame.width = 1100; frame.height = 1200;
document.body.append(frame);
const wait = ms => new Promise(done => setTimeout(done, ms));
const until = async truth => { while (!truth()) await wait(50); };
frame.addEventListener("load", async () => {
  const page = frame.contentDocument, $ = s => page.querySelector(s), $$ = s => [...page.querySelectorAll(s)];
  const text = s => $(s)?.textContent ?? "";
  await until(() => $$("article").length == 2 && $$(".state").every(s => s.dataset.state == "open"));
  report("open");
  await until(() => /\\d/.test(text("[data-value=cpu]")) && text("#clock output") >= "1");
  report("live", text("#clock output"));
  $("#everyone input").value = "to all"; $("#everyone button").click();
  await until(() => text("#said li").startsWith("to all"));
  report("said");
  $("#job button").click();
  await until(() => text("#job-line").includes("done"));
  report("job", $$("#files li").length > 10);
  const [ada, ben] = $$("article");
  const send = (card, words) => {
    card.querySelector("input").value = words;
    card.querySelector("form button").click();
  };
  const times = (card, words) => card.textContent.split(words).length - 1;
  send(ada, "first");
  await until(() => ben.textContent.includes("Ada: first"));
  $("[data-do=cut]").click();
  await until(() => $("#live-state").dataset.state == "connecting");
  send(ada, "second");
  await until(() => ben.textContent.includes("resumed") && ben.textContent.includes("Ada: second"));
  report("resumed", times(ben, "Ada: second"), times(ben, "Ada: first"));
  const before = times(ben, "resumed");
  $("[data-do=shorten]").click();
  await until(() => ben.textContent.includes("a token of 5 s") && times(ben, "resumed") > before);
  send(ada, "third");
  await until(() => ben.textContent.includes("Ada: third"));
  report("another token", ...["first", "second", "third"].map(words => times(ben, `Ada: ${words}`)));
});
"""


@pytest.mark.browser
async def test_the_page_works_in_a_browser(chromium: str) -> None:
    page = Page(SCRIPT)
    app: web.Application = make_app()
    page.add_to(app, "/test/page")
    async with serve(app) as url, visiting(chromium, url + "/test/page"):
        assert await page.seen() == ["open"]
        assert (await page.seen())[0] == "live"
        assert await page.seen() == ["said"]
        assert await page.seen() == ["job", True]
        assert await page.seen(30) == ["resumed", 1, 1], "once each, over the cut"
        assert await page.seen(30) == ["another token", 1, 1, 1], "once each, over two EventSources"


SAY = """(() => {
  document.querySelector("#everyone input").value = "%s";
  document.querySelector("#everyone button").click();
})()"""
SAID = "[...document.querySelectorAll('#said li')].map(item => item.firstChild.data)"


@pytest.mark.browser
async def test_six_tabs_load_and_their_buttons_work(chromium: str) -> None:
    """A browser opens six HTTP/1.1 connections to an origin, over all of its tabs."""
    app = make_app()
    async with serve(app) as url, browsing(chromium) as browser:
        tabs: list[Tab] = []
        for number in range(6):
            tabs.append(tab := await browser.open(url))
            await tab.until("/[0-9]/.test(document.querySelector('#clock output').textContent)")
            assert await tab.run("document.querySelector('#live-state').dataset.state") == "open"
            await tab.run(SAY % f"tab {number}")
            await tab.until(f"{SAID}.includes('tab {number}')", timeout=5)
        await tabs[0].show()
        await tabs[0].until(f"{SAID}.includes('tab 5')")
        assert await tabs[0].run(SAID) == [f"tab {number}" for number in reversed(range(6))], "once, in order"
        await until(lambda: len(app[REGISTRY].streams) == 1)  # one page is shown, and it has one connection


async def first_sign_in(url: str) -> Viewer:
    """A viewer, once the server is there."""
    while True:
        try:
            return await Viewer.sign_in(url)
        except aiohttp.ClientError:
            await asyncio.sleep(0.1)


@pytest.mark.redis
async def test_two_workers_share_users_over_redis(redis_server: str) -> None:
    with RedisServer() as server:
        port = free_port()
        command = ("-m", "rx_sse", "demo", "--redis", server.url, "--workers", "2", "--port", str(port))
        demo = await asyncio.create_subprocess_exec(sys.executable, *command)
        url = f"http://127.0.0.1:{port}"
        message = {"from": "ada", "to": "ben", "text": "hello"}
        try:
            async with asyncio.timeout(60):
                ada, ben = await first_sign_in(url), await first_sign_in(url)
                async with ben.stream() as stream:
                    processes: set[int] = set()
                    while len(processes) < 2:  # each connection goes to one of the two, as the kernel likes
                        async with aiohttp.ClientSession(headers=ada.headers) as session:
                            async with session.post(url + ada.path + "/send", json=message) as answer:
                                if answer.status == 503:  # this one has only just started
                                    await asyncio.sleep(0.05)
                                    continue
                                assert answer.status == 200
                        processes.add((await next_of(stream, "ben"))["process"])
        finally:
            demo.terminate()
            assert await demo.wait() == 0
