"""The demo does what it shows: each part by its routes, and the page in a real browser."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from rx_sse.demo.application import make_app
from rx_sse.testing import open_stream, serve
from tests.browser import Page, visiting
from tests.redis_server import RedisServer, free_port

SAME = {"Sec-Fetch-Site": "same-origin"}


async def post(session: aiohttp.ClientSession, url: str, body: Any = None) -> Any:
    async with session.post(url, json=body, headers=SAME) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def next_of(stream: Any, kind: str) -> Any:
    while True:
        event = await stream.next_event()
        if event.type == kind:
            return event.json()


async def test_the_clock_ticks_and_the_machine_is_read() -> None:
    async with open_stream(make_app(), "/live?viewer=one") as stream:
        assert await next_of(stream, "clock") == {"ticks": 0}
        reading = await next_of(stream, "machine")
        assert set(reading) == {"cpu", "memory", "network"}
        assert 0 < reading["memory"] <= 100
        assert await next_of(stream, "clock") == {"ticks": 1}


async def test_the_slider_changes_one_viewers_pipeline_while_it_runs() -> None:
    async with serve(make_app()) as url, aiohttp.ClientSession() as session:
        async with (
            open_stream(url, "/live?viewer=slow") as slow,
            open_stream(url, "/live?viewer=fast") as fast,
        ):
            await next_of(slow, "machine")
            await post(session, url + "/live/throttle", {"viewer": "slow", "seconds": 5})
            kinds = {"slow": 0, "fast": 0}
            for name, stream in (("fast", fast), ("slow", slow)):
                for _ in range(3):
                    await next_of(stream, "clock")
                stream.rest()
                while (event := await stream.next_event()).type != "clock":
                    kinds[name] += event.type == "machine"
            assert kinds["fast"] > 4 > kinds["slow"]


async def test_a_message_reaches_everyone_who_watches() -> None:
    async with serve(make_app()) as url, aiohttp.ClientSession() as session:
        async with open_stream(url, "/live?viewer=1") as one, open_stream(url, "/live?viewer=2") as two:
            await post(session, url + "/say", {"text": "héllo\n<b>"})
            assert await next_of(one, "said") == await next_of(two, "said") == {"text": "héllo\n<b>"}


async def test_the_job_hashes_the_files_of_a_folder_and_ends(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.bin").write_bytes(b"x" * 100_000)
    async with open_stream(make_app(), f"/job?folder={tmp_path}") as stream:
        assert await stream.ended()
        total, first, second, end = stream.rest(control=True)
    assert total.json() == {"files": 2, "bytes": 100_003}
    assert first.json()["sha256"] == hashlib.sha256(b"one").hexdigest()
    assert second.json()["bytes"] == 100_003
    assert end.type == "stream-end"


async def test_a_folder_that_is_none_is_a_problem() -> None:
    async with open_stream(make_app(), "/job?folder=/no/such/folder") as stream:
        assert stream.status == 404
        assert b"not a folder" in await stream.body()


@pytest.mark.parametrize("path", ["/nothing.html", "/..%2fapplication.py", "/page.py", "/people.css"])
async def test_nothing_but_the_page_is_served(path: str) -> None:
    async with open_stream(make_app(), path) as stream:
        assert stream.status == 404


async def test_nobody_reads_without_signing_in() -> None:
    async with serve(make_app()) as url:
        async with open_stream(url, "/people/ada/events", headers=SAME) as stream:
            assert stream.status == 401
        async with open_stream(url, "/people/eve/sign-in", method="POST") as stream:
            assert stream.status == 404


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
  await until(() => text("#job-line").includes("stream-end"));
  report("job", $$("#files li").length > 10);
  const [ada, ben] = $$("article");
  const send = (card, words) => {
    card.querySelector("input").value = words;
    card.querySelector("form button").click();
  };
  const times = (card, words) => card.textContent.split(words).length - 1;
  send(ada, "first");
  await until(() => ben.textContent.includes("Ada: first"));
  ben.querySelector("[data-do=cut]").click();
  await until(() => ben.querySelector(".state").dataset.state == "connecting");
  send(ada, "second");
  await until(() => ben.textContent.includes("resumed") && ben.textContent.includes("Ada: second"));
  report("resumed", times(ben, "Ada: second"), times(ben, "Ada: first"));
  const before = times(ben, "resumed");
  ben.querySelector("[data-do=shorten]").click();
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


async def signed_in(url: str, name: str) -> dict[str, str]:
    """The headers of a person who has signed in, once the server is there."""
    while True:
        try:
            async with aiohttp.ClientSession() as session:
                async with session.post(f"{url}/people/{name}/sign-in") as answer:
                    return {**SAME, "Cookie": f"rx_sse_demo={answer.cookies['rx_sse_demo'].value}"}
        except aiohttp.ClientError:
            await asyncio.sleep(0.1)


@pytest.mark.redis
async def test_two_workers_share_users_over_redis(redis_server: str) -> None:
    with RedisServer() as server:
        port = free_port()
        command = ("-m", "rx_sse", "demo", "--redis", server.url, "--workers", "2", "--port", str(port))
        demo = await asyncio.create_subprocess_exec(sys.executable, *command)
        url = f"http://127.0.0.1:{port}"
        message = {"to": "ben", "text": "hello"}
        try:
            async with asyncio.timeout(60):
                ada, ben = await signed_in(url, "ada"), await signed_in(url, "ben")
                async with open_stream(url, "/people/ben/events", headers=ben) as stream:
                    processes: set[int] = set()
                    while len(processes) < 2:  # each connection goes to one of the two, as the kernel likes
                        async with aiohttp.ClientSession(headers=ada) as session:
                            async with session.post(f"{url}/people/ada/send", json=message) as answer:
                                if answer.status == 503:  # this one has only just started
                                    await asyncio.sleep(0.05)
                                    continue
                                assert answer.status == 200
                        processes.add((await stream.next_event(20)).json()["process"])
        finally:
            demo.terminate()
            assert await demo.wait() == 0
