"""What README.md and docs/ show runs where it is meant to: JavaScript in Chromium, nginx in front of a
program, claims in a token."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import textwrap
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import jwt
import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.testing import serve

from .. import browser
from ..certificate import self_signed
from ..ports import free_port
from .blocks import README, RUN, SEEN, Block, Page, first_lines, of, running

PAGE = """

async def page(request: web.Request) -> web.Response:
    return web.Response(content_type="text/html", text='''<!doctype html><script>
const tell = (text) => fetch("/seen", {{method: "POST", body: text}});
window.onerror = (message) => tell("error " + message);
const show = (value) => tell("shown " + JSON.stringify(value));
{script}
const close = source.close;
source.close = function () {{ tell("closed"); return close.call(this); }};
</script>''')
"""


@pytest.mark.browser
@pytest.mark.parametrize(("page", "block"), of("js"))
async def test_the_page_does_in_chromium_what_is_said(
    page: Page, block: Block, tmp_path: Path, chromium: str
) -> None:
    """It shows what the stream above it sends, and closes when that ends."""
    script = textwrap.indent(block.text, "    ")
    async with running(page.server_above(block), tmp_path, more=PAGE.format(script=script) + SEEN) as address:
        told: list[str] = []
        async with (
            browser.visiting(chromium, f"{address}/"),
            aiohttp.ClientSession() as session,
            asyncio.timeout(30),
        ):
            while not told or told[-1] != "closed":
                async with session.get(f"{address}/seen") as response:
                    told.append(await response.text())
                assert not told[-1].startswith("error"), told
        assert any(line.startswith("shown ") for line in told), told


# Hands its title to the test, whatever sets it.
TITLE = """

async def page(request: web.Request) -> web.Response:
    return web.Response(content_type="text/html", text='''<!doctype html><title></title><script>
const tell = () => fetch("/seen", {{method: "POST", body: document.title}});
new MutationObserver(tell).observe(document.querySelector("title"), {{childList: true}});
</script>{html}''')
"""


@pytest.mark.browser
@pytest.mark.parametrize(("page", "block"), of("html"))
async def test_the_page_shows_events_in_its_title(
    page: Page, block: Block, tmp_path: Path, chromium: str
) -> None:
    program, more = page.server_above(block).stopped_short, TITLE.format(html=block.text) + SEEN + RUN
    async with running(program, tmp_path, more=more) as address, browser.visiting(chromium, address):
        async with aiohttp.ClientSession() as session, session.get(f"{address}/seen") as response:
            assert await response.text() == "0"


@pytest.mark.parametrize(("page", "block"), of("json"))
async def test_a_token_with_the_claims_shown_reads_and_publishes_what_it_grants(
    page: Page, block: Block, tmp_path: Path
) -> None:
    claims = {**json.loads(block.text), "iat": int(time.time()), "exp": int(time.time()) + 600}
    secret = "32 random bytes, or more of them"

    def headers(**changed: object) -> dict[str, str]:
        payload = {name: value for name, value in {**claims, **changed}.items() if value is not None}
        return {"Authorization": f"Bearer {jwt.encode(payload, secret)}", "Accept": "text/event-stream"}

    async with running(page.server_above(block), tmp_path) as address, aiohttp.ClientSession() as session:
        mount = f"{address}/events"
        async with session.get(f"{mount}?topic=news&topic=team:9&topic=team:7", headers=headers()) as stream:
            assert stream.status == 200
            async with session.post(f"{mount}/topics/team:7", headers=headers(), json=["hello"]) as answer:
                assert answer.status == 201
            async with asyncio.timeout(10):
                while await stream.content.readline() != b'data: ["hello"]\n':
                    pass
        for query in ("?topic=other", "?topic=teams"):
            async with session.get(mount + query, headers=headers()) as answer:
                assert answer.status == 403
        async with session.post(f"{mount}/topics/news", headers=headers(), json=1) as answer:
            assert answer.status == 403
        async with session.post(f"{mount}/topics/team:7", headers=headers(scope=None), json=1) as answer:
            assert (
                answer.status == 403
                and "the scope 'publish'" in (await answer.json(content_type=None))["detail"]
            )


@asynccontextmanager
async def in_front(nginx: str, block: Block, address: str, folder: Path) -> AsyncIterator[str]:
    """Run nginx as the block says, in front of `address`, with TLS; gives its own address."""
    certificate, key = self_signed(folder)
    port = free_port()
    text = block.text
    for shown, real in {
        r"listen 443 ": f"listen 127.0.0.1:{port} ",
        r"http://127\.0\.0\.1:8080": address.replace("localhost", "127.0.0.1"),
        r"ssl_certificate +[^;]+;": f"ssl_certificate {certificate};",
        r"ssl_certificate_key +[^;]+;": f"ssl_certificate_key {key};",
    }.items():
        text, changes = re.subn(shown, real, text)
        assert changes, f"the nginx block has no {shown}"
    paths = "".join(
        f"{kind}_temp_path {folder / kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = folder / "nginx.conf"
    configuration.write_text(
        f"daemon off;\nmaster_process off;\npid {folder / 'pid'};\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{text}}}\n",
        "utf-8",
    )
    server = await asyncio.create_subprocess_exec(nginx, "-p", str(folder), "-c", str(configuration))
    try:
        async with asyncio.timeout(10):
            while not listens(port):
                assert server.returncode is None, "nginx refused the configuration"
                await asyncio.sleep(0.02)
        yield f"https://127.0.0.1:{port}"
    finally:
        server.terminate()
        await server.wait()


@pytest.mark.parametrize(("page", "block"), of("nginx"))
async def test_events_pass_nginx_at_once(
    page: Page, block: Block, tmp_path: Path, nginx: str, curl: str
) -> None:
    """As the text says it, over HTTP/2 and TLS: events arrive one by one, not when the stream has ended."""
    async with (
        running(README.servers[0], tmp_path) as address,
        in_front(nginx, block, address, tmp_path) as url,
    ):
        start = asyncio.get_running_loop().time()
        command = [curl, "--silent", "--no-buffer", "--insecure", "--http2", "--include"]
        printed = await first_lines([*command, f"{url}/ticks"], 14)
        took = asyncio.get_running_loop().time() - start
    assert printed[0].startswith("HTTP/2 200"), printed
    assert [line for line in printed if line.startswith("data:")][:1] == ['data: {"count":0}'], printed
    assert took < 12, f"{printed} took {took:.1f} s: something on the way holds events back"


@pytest.mark.browser
@pytest.mark.parametrize(("page", "block"), of("nginx"))
async def test_a_browser_holds_twenty_streams_to_one_origin(
    page: Page, block: Block, tmp_path: Path, nginx: str, chromium: str
) -> None:
    """HTTP/1.1 would stop at six, over all tabs."""
    shown = browser.Page(
        """const alive = new Set();
        for (let n = 0; n < 20; n++) {
            const source = new EventSource(`/ticks?n=${n}`);
            source.onmessage = () => { alive.add(n); if (alive.size == 20) report(alive.size); };
        }"""
    )
    app = rx_sse.setup(web.Application())
    app.router.add_get("/ticks", rx_sse.sse(lambda request: rx.interval(0.2)))
    shown.add_to(app)
    async with serve(app) as address, in_front(nginx, block, address, tmp_path) as url:
        async with browser.visiting(chromium, url, "--ignore-certificate-errors"):
            assert await shown.seen(30) == [20]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
