"""The page in Chromium."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from html import unescape
from importlib.resources import files
from pathlib import Path
from textwrap import indent

import pytest
from aiohttp import web
from reactivex import operators as ops

import rx_sse
from rx_sse.demo.application import make_app
from rx_sse.demo.pipeline import OPERATORS
from rx_sse.testing import serve
from rx_sse.web.registry import REGISTRY
from rx_sse.web.stream import Stream
from tests.browser import Page, visiting, visiting_firefox
from tests.devtools import browsing
from tests.pictures import photograph, show

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
  await until(() => /\\d/.test(text("[data-value=cpu]")) && text("#page output") >= "1");
  report("live", text("#page output"));
  $("#everyone input").value = "to all"; $("#everyone button").click();
  await until(() => text("#said li").startsWith("to all"));
  report("said");
  $("[data-setting=operator] button:nth-child(3)").click();
  await until(() => text("[aria-pressed=true]") == "filter" && text("#pipeline mark").includes("n % 2 == 0"));
  report("filter");
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
  await until(() => $("#live-state").dataset.state != "open");
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
    await works(partial(visiting, chromium))


@pytest.mark.slow
@pytest.mark.browser
async def test_the_page_works_in_firefox(firefox: str) -> None:
    await works(partial(visiting_firefox, firefox))


async def works(visit: Callable[[str], AbstractAsyncContextManager[None]]) -> None:
    """A browser does what SCRIPT says."""
    page = Page(SCRIPT)
    app: web.Application = make_app(pause=0.0)
    page.add_to(app, "/test/page")
    async with serve(app) as url, visit(url + "/test/page"):
        assert await page.seen(30) == ["open"]
        assert (await page.seen())[0] == "live"
        assert await page.seen() == ["said"]
        assert await page.seen() == ["filter"]
        assert await page.seen() == ["job", True]
        assert await page.seen(30) == ["resumed", 1, 1], "once each, over the cut"
        assert await page.seen(30) == ["another token", 1, 1, 1], "once each, over two tokens"


SAY = """(() => {
  document.querySelector("#everyone input").value = "%s";
  document.querySelector("#everyone button").click();
})()"""
SAID = "[...document.querySelectorAll('#said li')].map(item => item.firstChild.textContent)"
STATE = "document.querySelector('#live-state').dataset.state"
TICKS = "Number(document.querySelector('#page output').textContent)"


def connections(app: web.Application) -> list[Stream]:
    """Those of browsers. The slow reader is a client of its own."""
    return [stream for stream in app[REGISTRY].streams if stream.principal is not None]


@pytest.mark.slow
@pytest.mark.browser
async def test_more_than_six_visible_windows_share_one_connection(chromium: str) -> None:
    """A browser opens six HTTP/1.1 connections to an origin, over all of its tabs."""
    app = make_app()
    async with serve(app) as url, browsing(chromium) as browser:
        tabs = [await browser.open(url) for _ in range(9)]  # each in a window of its own, all loading at once
        for number, tab in enumerate(tabs):
            await tab.until(f"{STATE} == 'open' && {TICKS} >= 0 && {SAID}.length == {number}")
            assert await tab.run("document.visibilityState") == "visible"
            await tab.run(SAY % f"tab {number}")
            await tab.until(f"{SAID}.includes('tab {number}')")
        (stream,) = connections(app)
        before = [await tab.run(TICKS) for tab in tabs]
        for tab, ticks in zip(tabs, before, strict=True):
            await tab.until(f"{TICKS} > {ticks} && {SAID}.includes('tab 8')")
            assert await tab.run(SAID) == [f"tab {n}" for n in reversed(range(9))], "once, in order"
        await tabs[0].run("document.querySelector('[data-setting=policy] button').click()")
        for tab in tabs:
            await tab.until("document.querySelector('#slow mark').textContent == 'disconnect'")
        await tabs[3].run("document.querySelector('[data-do=cut]').click()")
        for tab in tabs:
            await tab.until("document.querySelector('#break ol').textContent.includes('resumed')")
        assert len(connections(app)) == 1 and stream not in connections(app)


@pytest.mark.slow
@pytest.mark.browser
async def test_a_reload_shows_what_was_there_and_a_server_that_is_gone_makes_the_page_old(
    chromium: str, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"")
    async with browsing(chromium) as browser:
        async with serve(make_app(folder=tmp_path, pause=0.0)) as url:
            tab = await browser.open(url)
            await tab.until(f"{STATE} == 'open'")
            await tab.run("document.querySelector('#job button').click()")
            await tab.until("document.querySelector('#job-line').textContent.includes('1 files in')")
            await tab.run(SAY % "before")
            await tab.until(f"{SAID}.includes('before')")
            await tab.run("document.title = 'old'")
            await tab.call("Page.reload")
            await tab.until(f"document.title != 'old' && {SAID}.includes('before')")
            await tab.until("document.querySelector('#job progress').value == 1")
            assert not await tab.run("document.body.classList.contains('old')")
            await tab.run("document.querySelector('#job input').value = 'nowhere';"
                          "document.querySelector('#job button').click()")  # fmt: skip
            await tab.until("document.querySelector('#failed').textContent.includes('is no folder')")
        await tab.until("document.body.classList.contains('old')")
        assert "what you see is old" in await tab.run("document.querySelector('#stale').textContent")
        await tab.run(SAY % "into the void")
        await tab.until("document.querySelector('#failed').textContent.includes('nothing was sent')")
        assert await tab.run("document.querySelector('#everyone input').value") == "into the void"


JOB = "document.querySelector('#job-line').textContent"
LISTED = "document.querySelectorAll('#files li').length"
BAR = "document.querySelector('#job progress').value"
STOPPABLE = "!document.querySelector('[data-do=stop]').disabled"


@pytest.mark.slow
@pytest.mark.browser
async def test_the_bar_of_a_job_goes_on_over_a_reload_and_in_a_second_tab_which_stops_it(
    chromium: str, tmp_path: Path
) -> None:
    for number in range(500):
        (tmp_path / f"{number:03}").write_bytes(b"x")
    async with serve(make_app(folder=tmp_path, pause=0.05)) as url, browsing(chromium) as browser:
        tab = await browser.open(url)
        await tab.until(f"{STATE} == 'open' && !({STOPPABLE})")
        await tab.run("document.querySelector('#job button').click()")
        await tab.until(f"{BAR} > 0.01 && {STOPPABLE}")
        before = await tab.run(LISTED)
        await tab.run("document.title = 'old'")
        await tab.call("Page.reload")
        other = await browser.open(url)
        for each in tab, other:
            await each.until(f"document.title != 'old' && {LISTED} > {before} && {STOPPABLE}")
            bar = await each.run(BAR)
            await each.until(f"{BAR} > {bar}")
            files = "[...document.querySelectorAll('#files li')].map(li => li.firstChild.textContent)"
            seen = await each.run(files)
            assert seen == sorted(seen, reverse=True) and len(set(seen)) == len(seen) and seen[-1] == "000"
        await other.run("document.querySelector('[data-do=stop]').click()")
        for each in tab, other:
            await each.until(f"/ of 500 files,.*: stopped$/.test({JOB}) && !({STOPPABLE})")
        third = await browser.open(url)
        await third.until(f"{JOB} == {await tab.run(JOB)!r}")
        await third.run("document.querySelector('#job button').click()")
        for each in tab, other, third:
            await each.until(f"{STOPPABLE} && {LISTED} > 0 && {BAR} < 0.5 && {BAR} > 0")


WIDE = """[...document.querySelectorAll('body *')]
  .filter((element) => element.getBoundingClientRect().right > innerWidth + 1)
  .map((element) => element.outerHTML)"""


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
async def test_nothing_is_wider_than_the_window_and_the_page_can_be_photographed(
    width: int, chromium: str, tmp_path: Path
) -> None:
    async with serve(make_app()) as url, browsing(chromium) as browser:
        tab = await browser.open("about:blank")
        shots: set[bytes] = set()
        for theme in ("light", "dark"):
            await show(tab, url, width=width, theme=theme)
            await tab.until(f"{STATE} == 'open' && {TICKS} > 1")
            assert await tab.run(f"document.documentElement.scrollWidth <= innerWidth && {WIDE}") == []
            await photograph(tab, tmp_path / "page.png", width)
            shots.add((tmp_path / "page.png").read_bytes())
        assert len(shots) == 2 and all(shot.startswith(b"\x89PNG") for shot in shots)


def test_the_code_beside_each_effect_compiles_and_its_names_exist() -> None:
    page = (files("rx_sse.demo") / "static" / "index.html").read_text("utf-8")
    shown = re.findall("<pre><code>(.*?)</code>", page, re.DOTALL)
    fragments = [unescape(it.replace("<mark></mark>", "drop_oldest")) for it in shown]
    python = [text for text in fragments if not text.startswith("import {")]
    assert (len(fragments), len(python)) == (7, 6)
    for text in python:
        ast.parse(f"async def shown():\n{indent(text, '    ')}")
    for name in re.findall(r"rx_sse\.(\w+)", "".join(python)):
        assert hasattr(rx_sse, name)
    script = (files("rx_sse.demo") / "static" / "page.js").read_text("utf-8")
    operators = dict(re.findall(r'^  (\w+): "(.*)",$', script, re.MULTILINE))
    assert operators.keys() == OPERATORS.keys()
    for code in operators.values():
        assert callable(eval(code, {"rx_sse": rx_sse, "ops": ops}))
