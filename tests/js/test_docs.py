"""docs/browser.md: every block of it runs in a Chromium, with the packages of npm that it imports."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import reactivex as rx
from aiohttp import web
from reactivex import operators as ops

import rx_sse
from rx_sse.testing import serve
from rx_sse.web.registry import REGISTRY
from tests.browser import PAGE as FRAME
from tests.browser import Page as Shown
from tests.browser import visiting
from tests.conftest import ROOT
from tests.docs.blocks import Page
from tests.node import node_packages
from tests.web.apps import until

pytestmark = pytest.mark.browser

PAGE = Page(ROOT / "docs" / "browser.md")
IMPORT = 'import { stream } from "/rx_sse.js";\n'

# What a page that was pasted from the docs must have of its own.
GIVEN = """
const show = (value) => report("shown", value);
const reload = (gap) => report("gap", gap.reason, gap.missed);
const badge = (state) => report("state", state);
"""


def plain(text: str) -> str:
    return GIVEN + text


def react(text: str) -> str:
    return f"""
import {{ createElement, useEffect, useState }} from "react";
import {{ createRoot }} from "react-dom/client";
{IMPORT}{GIVEN}{text}
function Last({{ url }}) {{
  const last = useStream(url);
  useEffect(() => {{ if (last) show(last); }}, [last]);
  return createElement("p", null, last?.step);
}}
const root = createRoot(document.body);
root.render(createElement(Last, {{ url: "/prices" }}));
globalThis.leave = () => root.unmount();
"""


def vue(text: str) -> str:
    return f"""
import {{ createApp, h, onScopeDispose, shallowRef, watch }} from "vue";
{IMPORT}{GIVEN}{text}
const app = createApp({{
  setup() {{
    const last = useStream("/prices");
    watch(last, show, {{ flush: "sync" }});
    return () => h("p", last.value?.step);
  }},
}});
app.mount(document.body);
globalThis.leave = () => app.unmount();
"""


def rxjs(text: str) -> str:
    return IMPORT + GIVEN + text


ESBUILD = "esbuild@0.28.2"
CASES: dict[str, tuple[Callable[[str], str], tuple[str, ...]]] = {
    "Streams in a page": (plain, ()),
    "A plain EventSource": (plain, ()),
    "RxJS": (rxjs, ("rxjs@7.8.2",)),
    "React": (react, ("react@19.3.1", "react-dom@19.3.1")),
    "Vue": (vue, ("vue@3.5.45",)),
}
HTMX = {
    "htmx": (("htmx.org@2.0.8", "htmx-ext-sse@2.2.4"), ("htmx.org/dist/htmx.js", "htmx-ext-sse/sse.js")),
    "htmx 4": (("htmx.org@4.0.1",), ("htmx.org/dist/htmx.js", "htmx.org/dist/ext/hx-sse.js")),
}
STEPS = [{"step": step} for step in (1, 2, 3)]


def section(heading: str) -> str:
    """The first block below a heading."""
    (found,) = re.findall(
        rf"^#+ {heading}\n.*?^```\w+[^\n]*\n(.*?)^```$", PAGE.text, re.MULTILINE | re.DOTALL
    )[:1]
    return found


def test_every_block_of_the_page_is_executed_here() -> None:
    sections = re.split(r"^#+ ", PAGE.text, flags=re.MULTILINE)
    headings = [part.partition("\n")[0] for part in sections if "\n```" in part]
    assert headings == [*CASES, *HTMX] or sorted(headings) == sorted([*CASES, *HTMX])
    assert len(PAGE.blocks) == len(headings), "one block in a section"


class Site:
    """The server that the page has in mind, and a page that reports what a block does."""

    def __init__(self, script: str) -> None:
        self.app = rx_sse.setup(web.Application())
        self.page = Shown(script)
        self.page.add_to(self.app)
        self.asked: list[str] = []
        for path, source in (
            ("/notifications/me", self._steps),
            ("/steps", self._steps),
            ("/prices", self._prices),
        ):
            self.app.router.add_get(path, rx_sse.sse(source))

    @property
    def open(self) -> int:
        return len(self.app[REGISTRY].streams)

    def _steps(self, request: web.Request) -> rx.Observable[dict[str, int]]:
        self.asked.append(request.path)
        return rx.interval(0.1).pipe(ops.take(3)).map(lambda n: STEPS[n])

    def _prices(self, request: web.Request) -> rx.Observable[dict[str, int]]:
        """Two at once, the third later, and no end."""
        self.asked.append(request.path)
        return rx.concat(rx.from_iterable(STEPS[:2]), rx.timer(1.5).map(lambda _: STEPS[2]), rx.never())


async def shown(site: Site, last: object = STEPS[-1]) -> list[object]:
    """What a page shows, up to the last step."""
    found: list[object] = []
    while not found or found[-1] != last:
        kind, *values = await site.page.seen()
        assert kind == "shown", (kind, *values)
        found.append(values[0])
    return found


def bundled(heading: str, folder: Path) -> str:
    """A block as a browser runs it, its packages with it."""
    around, packages = CASES[heading]
    script = around(section(heading))
    if not packages:
        return script
    modules = node_packages(folder, ESBUILD, *packages)
    (folder / "entry.jsx").write_text(script, "utf-8")
    command = [modules / ".bin" / "esbuild", "entry.jsx", "--bundle", "--format=esm", "--log-level=warning"]
    done = subprocess.run(
        [*command, "--external:/rx_sse.js"], cwd=folder, check=True, capture_output=True, timeout=60
    )
    return done.stdout.decode().replace("</script", "<\\/script")


@pytest.mark.slow
async def test_the_module_shows_each_event_twice_and_ends_with_the_stream(chromium: str) -> None:
    site = Site(bundled("Streams in a page", Path()))
    async with serve(site.app) as url, visiting(chromium, url):
        seen = [await site.page.seen() for _ in range(8)]
    assert seen[0] == ["state", "open"] and ["state", "closed"] in seen
    values = [value for kind, value in seen if kind == "shown"]
    assert sorted(values, key=str) == sorted(STEPS * 2, key=str), "by the listener and by the loop"
    assert site.asked == ["/notifications/me"]


@pytest.mark.slow
@pytest.mark.parametrize("heading", ["Streams in a page", "A plain EventSource"])
async def test_a_gap_is_told_with_its_reason(heading: str, chromium: str) -> None:
    bus = rx_sse.MemoryBus(history=2)
    app = rx_sse.setup(web.Application(), bus=bus, retry=100)
    page = Shown(bundled(heading, Path()))
    page.add_to(app)

    @rx_sse.sse(max_duration=0.3)
    async def steps(request: web.Request) -> rx.Observable[rx_sse.ServerSentEvent]:
        """One event, and while the client is away more than the history holds."""
        after = rx_sse.last_event_id(request)
        for number in range(5 if after else 1):
            await bus.publish("steps", {"step": number})
        return bus.events("steps", after=after, last=1)

    app.router.add_get("/notifications/me", steps)
    app.router.add_get("/steps", steps)
    async with serve(app) as url, visiting(chromium, url):
        while (seen := await page.seen())[0] != "gap":
            assert seen[0] in ("shown", "state"), seen
        assert seen == ["gap", "trimmed", None], "the number of trimmed entries is unknown"


@pytest.mark.slow
async def test_a_plain_event_source_closes_at_the_end(chromium: str) -> None:
    site = Site(bundled("A plain EventSource", Path()))
    async with serve(site.app) as url, visiting(chromium, url):
        assert await shown(site) == STEPS
        await until(lambda: not site.open)
        await asyncio.sleep(0.5)
    assert site.asked == ["/steps"], "it was closed before it came back"


@pytest.mark.slow
async def test_rxjs_reads_a_stream_as_an_observable(chromium: str, tmp_path: Path) -> None:
    site = Site(bundled("RxJS", tmp_path))
    async with serve(site.app) as url, visiting(chromium, url):
        assert await shown(site) == [STEPS[0], STEPS[2]], "the second was throttled"


@pytest.mark.slow
@pytest.mark.parametrize("heading", ["React", "Vue"])
async def test_a_component_shows_a_stream_and_closes_it_when_it_goes(
    heading: str, chromium: str, tmp_path: Path
) -> None:
    leaving = "\nconst told = report; globalThis.report = (...seen) => { told(...seen); if (seen[1]?.step === 3) setTimeout(leave); };"
    site = Site(bundled(heading, tmp_path) + leaving)
    async with serve(site.app) as url, visiting(chromium, url):
        values = await shown(site)
        assert values == [value for value in STEPS if value in values], (
            "in order; two at once are one picture"
        )
        await until(lambda: not site.open)
    assert site.asked == ["/prices"]


@pytest.mark.slow
@pytest.mark.parametrize("heading", HTMX)
async def test_htmx_swaps_each_message_and_lets_go_at_the_end(
    heading: str, chromium: str, tmp_path: Path
) -> None:
    packages, scripts = HTMX[heading]
    look = """new MutationObserver(() => report("shown", JSON.parse(document.querySelector("div").textContent)))
        .observe(document.body, {childList: true, subtree: true});"""
    site = Site(look)
    site.app.router.add_static("/modules", node_packages(tmp_path, *packages))
    around = "".join(f'<script src="/modules/{script}"></script>' for script in scripts) + section(heading)

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=FRAME % look + around, content_type="text/html")

    site.app.router.add_get("/htmx", page)
    async with serve(site.app) as url, visiting(chromium, f"{url}/htmx"):
        assert await shown(site) == STEPS
        await asyncio.sleep(1.0)  # htmx opens a stream again after half a second
    assert site.asked == ["/steps"]
