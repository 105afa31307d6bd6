"""The examples run, and do what they say."""

from __future__ import annotations

import asyncio
import os
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import aiohttp
import pytest
from aiohttp import web

from rx_sse.testing import open_stream, serve
from tests.browser import Page, visiting
from tests.conftest import ROOT
from tests.node import node_package


def example(name: str) -> ModuleType:
    """A fresh copy of an example, as its own program would have it."""
    spec = spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
            async with asyncio.timeout(5):
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


@pytest.mark.browser
async def test_htmx_swaps_what_comes(chromium: str, tmp_path: Path) -> None:
    pytest.importorskip("datastar_py")
    htmx = node_package("htmx.org", "4.0.1", tmp_path) / "dist"
    page = Page(
        """const frame = document.createElement("iframe");
        frame.src = "/?htmx=/htmx&datastar=/none.js";
        document.body.append(frame);
        frame.onload = () => {
            const clock = frame.contentDocument.querySelector("#clock");
            const told = setInterval(() => {
                if (clock.querySelector("b")) { clearInterval(told); report(clock.textContent); }
            }, 50);
        };"""
    )
    app: web.Application = example("hypermedia").make_app()
    app.router.add_static("/htmx", htmx)
    page.add_to(app, "/test/page")
    async with serve(app) as url, visiting(chromium, url + "/test/page"):
        [shown] = await page.seen(20)
    assert len(shown) == len("12:34:56")


async def test_a_log_is_followed_resumed_and_its_rotation_seen(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("before\n")
    async with serve(example("log_tail").make_app(log)) as url:
        async with open_stream(url, "/tail") as stream:
            with log.open("a") as file:
                # The stream begins at the end of the file, which it looks at as it opens.
                await asyncio.sleep(0.3)
                file.write("one\r\ntwo\u2028half\n")
                file.flush()
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
