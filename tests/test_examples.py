"""The examples run, and do what they say."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import aiohttp
import pytest
from aiohttp import web

from rx_sse.testing import open_stream, serve
from tests.browser import Browser, Tab, browsing
from tests.conftest import ROOT
from tests.node import node_package
from tests.ports import free_port
from tests.warm import interpreter

EXAMPLES = ROOT / "examples"
PROGRAMS = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "loopback")


@pytest.fixture(autouse=True)
def beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python has it for a program: its own folder comes first."""
    monkeypatch.syspath_prepend(str(EXAMPLES))


def example(name: str) -> ModuleType:
    """A fresh copy of an example, as its own program would have it."""
    spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
async def test_a_job_is_watched_from_its_middle_and_after_its_end() -> None:
    app: web.Application = example("job_progress").make_app()
    async with serve(app) as url, aiohttp.ClientSession() as session:
        async with session.post(url + "/jobs") as answer:
            job = (await answer.json())["id"]
        async with open_stream(url, f"/jobs/{job}") as first:
            assert (await first.next_event()).json()["of"] == 50
            await first.events(5)
        async with open_stream(url, f"/jobs/{job}") as again:
            assert (await again.next_event()).json()["done"] > 5, "a reload begins with the last report"
            assert await again.ended(20)
            *_, last, end = again.rest(control=True)
            assert last.json() == {"done": 50, "of": 50} and end.type == "stream-end"
        async with open_stream(url, f"/jobs/{job}") as late:
            assert await late.ended()
            assert late.rest(control=True)[-1].type == "stream-end"


async def test_a_job_is_stopped_for_all_who_watch_it() -> None:
    app: web.Application = example("job_progress").make_app()
    async with serve(app) as url, aiohttp.ClientSession() as session:
        async with session.post(url + "/jobs") as answer:
            job = (await answer.json())["id"]
        async with open_stream(url, f"/jobs/{job}") as first, open_stream(url, f"/jobs/{job}") as second:
            await first.events(3)
            async with session.delete(f"{url}/jobs/{job}") as answer:
                assert await answer.json() == {"state": "stopped"}
            for stream in first, second:
                assert await stream.ended()
                end = stream.rest(control=True)[-1]
                assert (end.type, end.json()) == ("stream-end", {"reason": "stopped"})
        for method in "GET", "DELETE":
            async with session.request(method, f"{url}/jobs/none") as answer:
                assert answer.status == 404


async def test_tokens_are_passed_on_and_leaving_cancels_upstream() -> None:
    module = example("llm_tokens")
    async with serve(module.make_app()) as url:
        async with open_stream(url, "/chat", method="POST", body=b"one two three") as stream:
            assert [e.json()["token"] for e in await stream.events(3)] == ["one ", "two ", "three "]
            assert (await stream.next_event(control=True)).type == "stream-end"
        async with open_stream(url, "/chat", method="POST", body=b"word " * 1000) as stream:
            await stream.events(2)
            assert not module.upstream_closed.is_set()
            stream.leave()
            async with asyncio.timeout(20):
                await module.upstream_closed.wait()


async def test_datastar_gets_its_frames_untouched_and_htmx_html() -> None:
    pytest.importorskip("datastar_py")
    async with serve(example("hypermedia").make_app()) as url, aiohttp.ClientSession() as session:
        async with open_stream(url, "/board") as board, open_stream(url, "/clock") as clock:
            assert (await clock.next_event()).data.startswith("<b>")
            first = await board.next_event()
            assert (first.type, first.data) == (
                "datastar-patch-elements",
                "elements <p id=board>nothing yet</p>",
            )
            async with session.post(url + "/say", data={"text": "<hello>"}):
                assert "&lt;hello&gt;" in (await board.next_event()).data


# -- as documented: the command, and the page in a browser ---------------------------------------------------


def test_the_readme_names_each_program_and_a_command_that_leads_to_it() -> None:
    text = (EXAMPLES / "README.md").read_text("utf-8")
    assert sorted(re.findall(r"^\| `(\w+)\.py", text, re.MULTILINE)) == PROGRAMS
    (command,) = re.findall(r"^\$ (.+)$", text, re.MULTILINE)
    *dev, path = command.split()
    # dev.py makes the root of the clone the current folder before it runs anything.
    assert dev == ["python3", "dev.py", "run", "python"] and (ROOT / path).is_file()


@asynccontextmanager
async def running(name: str, *arguments: str) -> AsyncIterator[str]:
    """Run an example as its README says, on a free port; gives its address. It must end at SIGTERM."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *interpreter(), f"examples/{name}.py", *arguments, cwd=ROOT,
        env={**os.environ, "PORT": str(port)}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            assert f"http://127.0.0.1:{port}".encode() in await process.stdout.readline()
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_an_example_of_a_run_has_under_60_lines_blank_ones_aside() -> None:
    over = [name for name in PROGRAMS if "bus.run(" in (EXAMPLES / f"{name}.py").read_text("utf-8")]
    assert over == ["ai_agent", "ai_chat", "ai_responses", "job_progress"]
    for path in (EXAMPLES / f"{name}.{kind}" for name in over for kind in ("py", "html")):
        assert sum(bool(line.strip()) for line in path.read_text("utf-8").splitlines()) < 60, path.name


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name[:3] == "ai_" else ()) for name in PROGRAMS]
)
async def test_each_serves_a_page_without_an_argument_and_only_to_itself(name: str) -> None:
    async with running(name) as url, aiohttp.ClientSession() as session:
        async with session.get(url) as answer:
            assert answer.status == 200 and answer.content_type == "text/html"
        for headers in ({"Host": "rebound.example"}, {"Origin": "https://elsewhere.example"}):
            async with session.get(url, headers=headers) as answer:
                assert answer.status == 403


async def opened(browser: Browser, url: str) -> Tab:
    """A tab with a page that has loaded."""
    tab = await browser.open(url)
    await tab.until("location.protocol == 'http:' && document.readyState == 'complete'")
    return tab


TEXT = "document.body.innerText"
CLICK = "document.querySelector('button').click()"


@pytest.mark.browser
@pytest.mark.slow
async def test_the_page_of_a_job_shows_it_to_its_end_in_two_tabs(chromium: str) -> None:
    async with running("job_progress") as url, browsing(chromium) as browser:
        tab = await opened(browser, url)
        await tab.run(CLICK)
        await tab.until("location.hash && / of 50/.test(document.body.innerText)")
        other = await opened(browser, await tab.run("location.href"))
        for each in other, tab:
            await each.until(f"{TEXT}.includes('50 of 50, completed')")


@pytest.mark.slow
@pytest.mark.browser
async def test_a_job_is_stopped_from_another_tab(chromium: str) -> None:
    async with running("job_progress") as url, browsing(chromium) as browser:
        tab = await opened(browser, url)
        await tab.run(CLICK)
        await tab.until(f"{TEXT}.includes('1 of 50')")
        other = await opened(browser, await tab.run("location.href"))
        await other.until("/ of 50/.test(document.body.innerText)")
        await other.run("document.querySelectorAll('button')[1].click()")
        for each in other, tab:
            await each.until(f"{TEXT}.includes('of 50, stopped')")


@pytest.mark.browser
async def test_the_page_of_the_tokens_shows_them_and_stops(chromium: str) -> None:
    async with running("llm_tokens") as url, browsing(chromium) as browser:
        tab = await opened(browser, url)
        await tab.run("document.querySelector('input').value = 'one\\\\two three'; " + CLICK)
        await tab.until(f"{TEXT}.includes('one\\\\two three') && {TEXT}.includes('complete')")
        await tab.run("document.querySelector('input').value = 'word '.repeat(1000); " + CLICK)
        await tab.until(f"{TEXT}.includes('word word')")
        await tab.run("document.querySelector('[type=button]').click()")
        await tab.until(f"{TEXT}.includes('stopped')")


@pytest.mark.browser
async def test_the_page_of_a_log_shows_a_file_and_without_one_its_own_log(
    chromium: str, tmp_path: Path
) -> None:
    log = tmp_path / "app.log"
    log.write_text("before\n")
    async with running("log_tail", str(log)) as url, running("log_tail") as own:
        async with browsing(chromium) as browser:
            tab = await opened(browser, url)
            async with asyncio.timeout(60):  # it begins at the end of the file, wherever that is as it opens
                while not await tab.run(f"{TEXT}.includes('a line')"):
                    with log.open("a") as file:
                        file.write("a line\n")
                    await asyncio.sleep(0.1)
            assert not await tab.run(f"{TEXT}.includes('before')")
            tab = await opened(browser, own)
            async with aiohttp.ClientSession() as session, asyncio.timeout(60):
                while not await tab.run(f"{TEXT}.includes('GET /missing')"):
                    async with session.get(own + "/missing"):
                        await asyncio.sleep(0.1)


async def test_a_file_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "examples/log_tail.py",
        str(tmp_path / "none"),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    assert process.returncode == 2 and b"none is not a file" in told and b"Traceback" not in told


@pytest.mark.browser
@pytest.mark.slow
async def test_htmx_swaps_each_message_and_lets_go_at_the_end(chromium: str, tmp_path: Path) -> None:
    pytest.importorskip("datastar_py")
    htmx = node_package("htmx.org", "4.0.1", tmp_path) / "dist"
    module = example("hypermedia")
    app: web.Application = module.make_app(htmx="/htmx", datastar="/none.js")
    app.router.add_static("/htmx", htmx)
    asked: list[str] = []

    async def note(request: web.Request, _: web.StreamResponse) -> None:
        asked.append(request.path)

    app.on_response_prepare.append(note)
    async with serve(app) as url, browsing(chromium) as browser:
        tab = await opened(browser, url)
        await tab.until("/^[0-9:]{8}$/.test(document.querySelector('#clock b')?.textContent)")
        await tab.until("document.querySelector('#countdown b')?.textContent == 'lift-off'")
        await tab.run(f"document.querySelector('input').value = 'hello'; {CLICK}")
        async with asyncio.timeout(20):
            while module.said.value != "hello":
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.8)  # htmx opens a stream again after half a second
        assert asked.count("/countdown") == 1


async def test_a_log_is_followed_resumed_and_its_rotation_seen(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("before\n")
    async with serve(example("log_tail").make_app(log)) as url:
        async with open_stream(url, "/tail") as stream:
            with log.open("a") as file:
                # It begins at the end of the file, wherever that is as it opens: lines may be before it.
                first = asyncio.create_task(stream.next_event(20))
                while not first.done():
                    file.write("opening\n")
                    file.flush()
                    await asyncio.wait([first], timeout=0.1)
                file.write("opened\none\r\ntwo\u2028half\n")
                file.flush()
            while (await first).data != "opened":
                first = asyncio.create_task(stream.next_event())
            assert [e.data for e in await stream.events(2)] == ["one", "two\u2028half"]
            last = stream.last_event_id
        with log.open("a") as file:
            file.write("while away\n")
        async with open_stream(url, "/tail", headers={"Last-Event-ID": last}) as stream:
            assert (await stream.next_event()).data == "while away"
            os.replace(log, tmp_path / "app.log.1")
            log.write_text("a new file\n")
            rotated, first = await stream.events(2)
            assert (rotated.type, first.data) == ("rotated", "a new file")
