"""The operators page: what it draws is what the operators do, and a reader can change it."""

from __future__ import annotations

import json
import re
import runpy
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web

import rx_sse
from rx_sse.testing import serve

from ..conftest import ROOT
from ..devtools import browsing
from ..pictures import show

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def build() -> dict[str, Any]:
    """The hook that makes the recordings."""
    return runpy.run_path(str(DOCS / "operators.py"))


@pytest.fixture(scope="module")
def data(build: dict[str, Any]) -> Any:
    """What the page's script gets."""
    return json.loads(json.dumps(build["page_data"]()))


def values(marks: list[list[Any]]) -> list[str]:
    return [label for _, kind, label, _ in marks if kind == "next"]


def test_every_operator_is_recorded_over_every_source_for_every_time(data: Any) -> None:
    for source in data["sources"]:
        assert source["own"] and set(source["shows"]) <= set(source["lanes"]) == set(data["operators"])
        for lanes in source["lanes"].values():
            assert len(lanes) == len(data["steps"])
            assert all(0 <= at <= source["seconds"] for lane in lanes for at, *_ in lane)
    for operator in data["operators"]:
        sizes = [{json.dumps(lane) for lane in source["lanes"][operator]} for source in data["sources"]]
        assert max(map(len, sizes)) == len(data["steps"]), f"{operator}: the time has no effect"


def test_the_recordings_are_what_the_operators_promise(data: Any) -> None:
    bursts, *_ = data["sources"]
    own = values(bursts["own"])
    for step, seconds in enumerate(data["steps"]):
        latest = bursts["lanes"]["throttle_latest"][step]
        assert values(latest)[-1] == own[-1], "the last value was lost"
        times = [at for at, kind, *_ in latest if kind == "next"][:-1]  # a completion lets the last value go
        assert all(after - before > seconds - 0.002 for before, after in pairwise(times))
        assert set(values(bursts["lanes"]["debounce"][step])) <= set(own)
        parts = [label.split("…") for label in values(bursts["lanes"]["buffer_with_time"][step])]
        buffered = [n for first, last in parts for n in range(int(first), int(last) + 1)]
        assert [str(n) for n in buffered] == own


def test_a_retry_waits_longer_each_time(data: Any) -> None:
    failing = next(source for source in data["sources"] if source["name"] == "failing")
    first = [at for at, _, label, _ in failing["lanes"]["retry_backoff"][1] if label == "0"]
    pauses = [after - before for before, after in pairwise(first)]
    assert len(pauses) > 2 and pauses == sorted(pauses) and pauses[-1] > 2 * pauses[0]


def test_the_code_on_the_page_is_the_code_that_was_run(build: dict[str, Any], data: Any) -> None:
    assert build["OPERATORS"] == data["operators"]
    (throttled,) = build["operators_of"](data["operators"]["throttle_latest"], 0.3)
    source = build["source_of"](data["sources"][0]["code"])
    recording = build["recorded"](source.pipe(throttled), 4.2)
    assert build["marks"](recording) == data["sources"][0]["lanes"]["throttle_latest"][2]


def test_the_notebooks_operators_are_on_the_page(data: Any) -> None:
    text = (ROOT / "notebooks" / "2_which_operator.ipynb").read_text("utf-8")
    used = set(re.findall(r"(?:ops|rx_sse)\.(\w+)\(\d\.\d", text))
    shown = set(re.findall(r"(?:ops|rx_sse)\.(\w+)\(SECONDS", " ".join(data["operators"].values())))
    assert used and used <= shown
    assert all(hasattr(rx_sse, name) for name in re.findall(r"rx_sse\.(\w+)", str(data["operators"])))


def application(data: Any) -> web.Application:
    """The page's own part, without the site around it."""
    text = (DOCS / "operators.md").read_text("utf-8")
    part = text[text.index("<div id=") : text.index("\n## ")]
    script = f"globalThis.rxOperators = {json.dumps(data)};"

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=f"<!doctype html><body>{part}", content_type="text/html")

    async def recordings(request: web.Request) -> web.Response:
        return web.Response(text=script, content_type="text/javascript")

    async def file(request: web.Request) -> web.FileResponse:
        return web.FileResponse(DOCS / f"operators.{request.match_info['kind']}")

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_get("/operators-recordings.js", recordings)
    app.router.add_get("/operators.{kind:css|js}", file)
    return app


READ = """(() => {
  const texts = (selector) => [...document.querySelectorAll(selector)].map((it) => it.textContent);
  return {
    names: texts("svg .name"),
    marks: document.querySelectorAll("svg .marble, svg .dot").length,
    code: document.querySelector("pre code").textContent,
    rows: texts("tbody td:last-child"),
    wide: document.documentElement.scrollWidth <= innerWidth,
  };
})()"""


@pytest.mark.slow
@pytest.mark.browser
async def test_a_reader_chooses_source_time_and_operators(data: Any, chromium: str) -> None:
    async with serve(application(data)) as url, browsing(chromium) as browser:
        tab = await browser.open("about:blank")
        for width in (1280, 390):
            await show(tab, url, width=width)
            await tab.until("document.querySelectorAll('svg .name').length > 1")
            seen = await tab.run(READ)
            bursts = data["sources"][0]
            lanes = [bursts["lanes"][name][2] for name in bursts["shows"]]
            assert seen["names"] == ["source", *bursts["shows"]] and seen["wide"], width
            assert seen["marks"] == sum(len(values(lane)) for lane in [bursts["own"], *lanes])
            assert bursts["code"] in seen["code"]
            assert "source.pipe(rx_sse.throttle_latest(0.3))" in seen["code"]
            assert seen["rows"][0].startswith("0 at 0.08 s, 1 at 0.16 s")

            await tab.run("""(() => {
              const change = (it, name) => it.dispatchEvent(new Event(name, {bubbles: true}));
              const range = document.querySelector("input[type=range]");
              range.value = 4; change(range, "input");
              const box = document.querySelector("input[value=debounce]");
              box.checked = false; change(box, "change");
            })()""")
            seen = await tab.run(READ)
            assert "debounce" not in seen["names"] and "debounce" not in seen["code"]
            assert "throttle_latest(0.8)" in seen["code"]
            lanes = [bursts["lanes"][name][4] for name in bursts["shows"] if name != "debounce"]
            assert seen["marks"] == sum(len(values(lane)) for lane in [bursts["own"], *lanes])

            await tab.run("""(() => {
              const select = document.querySelector("select");
              select.selectedIndex = 4; select.dispatchEvent(new Event("change"));
            })()""")
            seen = await tab.run(READ)
            assert seen["names"] == ["source", *sorted(data["sources"][4]["shows"])]
            assert "error at 0.45 s" in seen["rows"][0] and seen["wide"]
