"""docs/wrappers.md: what each wrapper around EventSource does at the end of a stream, in Chromium."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.testing import serve

from ..browser import visiting
from ..conftest import ROOT
from ..node import node_packages
from ..web.apps import until

pytestmark = [pytest.mark.slow, pytest.mark.browser]

TEXT = (ROOT / "docs" / "wrappers.md").read_text("utf-8")
BLOCKS: dict[str, tuple[str, str]] = {
    name: (language, text)
    for language, name, text in re.findall(
        r"^```(html|js) ([\w.-]+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL
    )
}
PACKAGES = (
    "htmx-2@npm:htmx.org@2.0.11",
    "htmx-ext-sse@2.2.4",
    "htmx-4@npm:htmx.org@4.0.1",
    "@vueuse/core@15.0.0",
    "@vueuse/shared@15.0.0",
    "vue@3.5.45",
    "reconnecting-eventsource@1.6.5",
    "sse.js@2.8.0",
)
IMPORTS = {
    "vue": "/npm/vue/dist/vue.esm-browser.prod.js",
    "@vueuse/core": "/npm/@vueuse/core/dist/index.js",
    "@vueuse/shared": "/npm/@vueuse/shared/dist/index.js",
    "reconnecting-eventsource": "/npm/reconnecting-eventsource/build/esm/reconnecting-eventsource.js",
    "sse.js": "/npm/sse.js/lib/sse.js",
}
SCRIPTS = {
    "htmx-2": ("htmx-2/dist/htmx.min.js", "htmx-ext-sse/sse.js"),
    "htmx-4": ("htmx-4/dist/htmx.min.js", "htmx-4/dist/ext/hx-sse.min.js"),
}
LONGEST = 3.0
"""Seconds after which the most patient of the wrappers has asked again."""
MANY = 3


def page_of(name: str, closing: bool) -> str:
    """A page with one block of the documentation, or with the same block without its closing word."""
    language, text = BLOCKS[name]
    assert "stream-end" in text
    text = text if closing else text.replace("stream-end", "never")
    imports = f"<script type=importmap>{json.dumps({'imports': IMPORTS})}</script>"
    scripts = "".join(f'<script src="/npm/{path}"></script>' for path in SCRIPTS.get(name, ()))
    shown = "const show = (text) => document.body.append(text);\n"
    body = text if language == "html" else f"<script type=module>{shown}{text}</script>"
    return f"<!doctype html>{imports}{scripts}<body>{body}"


async def asked(chromium: str, packages: Path, *, closing: bool) -> tuple[Counter[str], dict[str, str]]:
    """How often each wrapper asked for the stream, and what its page showed."""
    counts: Counter[str] = Counter()
    shown: dict[str, str] = {}

    @rx_sse.sse(retry=100)
    def steps(request: web.Request) -> rx.Observable[str]:
        return rx.of("one ", "two ")

    async def count(request: web.Request) -> web.StreamResponse:
        counts[urlsplit(request.headers["Referer"]).path.strip("/")] += 1
        return await steps(request)

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=page_of(request.match_info["name"], closing), content_type="text/html")

    async def all_of_them(request: web.Request) -> web.Response:
        frames = "".join(f'<iframe src="/{name}"></iframe>' for name in BLOCKS)
        script = """setInterval(() => { for (const frame of document.querySelectorAll("iframe")) {
            const body = JSON.stringify([frame.src, frame.contentDocument?.body?.innerText]);
            fetch("/shown", {method: "POST", body});
        } }, 500)"""
        return web.Response(text=f"{frames}<script>{script}</script>", content_type="text/html")

    async def take(request: web.Request) -> web.Response:
        address, text = json.loads(await request.text())
        shown[urlsplit(address).path.strip("/")] = text or ""
        return web.Response()

    app = rx_sse.setup(web.Application())
    app.router.add_get("/", all_of_them)
    app.router.add_get("/steps", count)
    app.router.add_post("/shown", take)
    app.router.add_static("/npm", packages)
    app.router.add_get("/{name}", page)
    async with serve(app) as url, visiting(chromium, url):
        if closing:
            await until(lambda: all(shown.get(name) for name in BLOCKS), 30)
            await asyncio.sleep(LONGEST + 0.5)  # nothing happens, and nothing tells so
        else:
            await until(lambda: all(counts[name] >= MANY for name in BLOCKS), 30)
    return counts, shown


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the wrappers."""
    return node_packages(tmp_path_factory.mktemp("wrappers"), *PACKAGES)


async def test_with_their_own_word_for_it_they_let_go_at_the_end(chromium: str, packages: Path) -> None:
    counts, shown = await asked(chromium, packages, closing=True)
    assert counts == dict.fromkeys(BLOCKS, 1)
    assert {name: "two" in text for name, text in shown.items() if name in BLOCKS} == dict.fromkeys(
        BLOCKS, True
    )


async def test_without_it_they_ask_for_ever(chromium: str, packages: Path) -> None:
    counts, _ = await asked(chromium, packages, closing=False)
    assert min(counts.values()) >= MANY


def test_the_table_has_the_word_of_every_block() -> None:
    for name, (language, text) in BLOCKS.items():
        if language == "html":
            (word,) = re.findall(r"\S*close=\"stream-end\"", text)
            assert f"`{word}`" in TEXT, name
