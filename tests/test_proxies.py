"""docs/proxies.md only claims what is so: its recipes run in front of a real application.

Each recipe is taken from the page as it stands; only ports are replaced, and limits of a minute shortened
where a test waits for them.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import reactivex as rx
from aiohttp import web
from reactivex.subject import Subject

import rx_sse
from rx_sse.testing import open_stream, serve
from rx_sse.web.registry import REGISTRY

from .browser import visiting, visiting_firefox
from .conftest import ROOT, require
from .ports import free_port
from .web.apps import streaming, until

pytestmark = pytest.mark.slow

TEXT = (ROOT / "docs" / "proxies.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"^```(nginx|haproxy|caddy)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
DEPLOYING = (ROOT / "docs" / "deploying.md").read_text("utf-8")


def nginx(recipe: str, folder: Path) -> tuple[str, list[str]]:
    """What stands around the recipe, and the command line."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder / kind};\n" for kind in kinds)
    around = f"daemon off;\nmaster_process off;\npid {folder / 'pid'};\nerror_log stderr;\nevents {{}}\n"
    return f"{around}http {{\naccess_log off;\n{paths}{recipe}}}\n", ["-p", f"{folder}", "-c"]


def haproxy(recipe: str, folder: Path) -> tuple[str, list[str]]:
    return recipe, ["-db", "-f"]


def caddy(recipe: str, folder: Path) -> tuple[str, list[str]]:
    return f"{{\nadmin off\nauto_https off\n}}\n{recipe}", ["run", "--adapter", "caddyfile", "--config"]


PROXIES: dict[str, Callable[[str, Path], tuple[str, list[str]]]] = {
    "nginx": nginx,
    "haproxy": haproxy,
    "caddy": caddy,
}


@asynccontextmanager
async def in_front(name: str, upstream: int, folder: Path, **changes: str) -> AsyncIterator[str]:
    """Run a recipe in front of a port of this machine; gives the proxy's address.

    Args:
        name: the proxy.
        upstream: the application's port.
        folder: for the proxy's files.
        **changes: what stands in the recipe, and what stands there instead.
    """
    port, recipe = free_port(), BLOCKS[name]
    replaced = {"8000": f"{port}", "127.0.0.1:8080": f"127.0.0.1:{upstream}", **changes}
    for shown, real in replaced.items():
        assert shown in recipe, f"the recipe for {name} has no {shown}"
        recipe = recipe.replace(shown, real)
    text, arguments = PROXIES[name](recipe, folder)
    configuration = folder / name
    configuration.write_text(text, "utf-8")
    process = await asyncio.create_subprocess_exec(
        require(name), *arguments, str(configuration), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(10):
            while True:
                assert process.returncode is None, f"{name} refused the recipe"
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                except OSError:
                    await asyncio.sleep(0.02)
            writer.close()
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


@pytest.mark.parametrize("name", PROXIES)
async def test_events_pass_on_time(name: str, tmp_path: Path) -> None:
    """Each is pushed when the one before it has arrived, so none pushes another out of a buffer."""
    app, moments = rx_sse.setup(web.Application()), Subject[float]()
    app.router.add_get("/", streaming(lambda: moments, hold_headers=0))
    late: list[float] = []
    async with serve(app) as address, in_front(name, port_of(address), tmp_path) as url:
        async with open_stream(url, "/", headers={"Accept": "text/event-stream"}) as stream:
            for _ in range(30):
                moments.on_next(time.monotonic())
                late.append(time.monotonic() - (await stream.next_event(20)).json())
    assert min(late) < 0.03, f"{name} holds events back: {sorted(late)}"


@pytest.mark.parametrize("name", PROXIES)
async def test_a_client_that_leaves_is_noticed_without_an_event_or_a_heartbeat(
    name: str, tmp_path: Path
) -> None:
    app = rx_sse.setup(web.Application(), heartbeat=None)
    app.router.add_get("/", rx_sse.sse(lambda request: rx.never().start_with("first")))
    async with serve(app) as address, in_front(name, port_of(address), tmp_path) as url:
        async with open_stream(url, "/") as stream:
            await stream.next_event()
            assert len(app[REGISTRY].streams) == 1
        await until(lambda: not app[REGISTRY].streams, timeout=20)


@pytest.mark.parametrize(("name", "limit"), [("nginx", "60s"), ("haproxy", "60s")])
async def test_the_heartbeat_keeps_an_idle_stream_alive(name: str, limit: str, tmp_path: Path) -> None:
    app = rx_sse.setup(web.Application())
    for path, heartbeat in (("/kept", 0.5), ("/cut", None)):
        idle = rx_sse.sse(heartbeat=heartbeat)(lambda request: rx.never().start_with("first"))
        app.router.add_get(path, idle)
    async with serve(app) as address, in_front(name, port_of(address), tmp_path, **{limit: "2s"}) as url:
        async with open_stream(url, "/kept") as kept, open_stream(url, "/cut") as cut:
            assert not await cut.ended(6), "cut, not ended"
            with pytest.raises(TimeoutError):  # it is still open
                await kept.ended(2)


async def test_caddy_cuts_no_idle_stream(tmp_path: Path) -> None:
    app = rx_sse.setup(web.Application(), heartbeat=None)
    app.router.add_get("/", rx_sse.sse(lambda request: rx.never().start_with("first")))
    async with serve(app) as address, in_front("caddy", port_of(address), tmp_path) as url:
        async with open_stream(url, "/") as stream:
            await stream.next_event()
            with pytest.raises(TimeoutError):  # it is still open
                await stream.ended(5)


@pytest.mark.parametrize("name", PROXIES)
async def test_while_the_application_is_away_only_an_event_source_gets_an_answer(
    name: str, tmp_path: Path
) -> None:
    wanted = {"Accept": "text/event-stream"}
    async with in_front(name, free_port(), tmp_path) as url, aiohttp.ClientSession() as session:
        async with session.get(url, headers=wanted) as answer:
            assert (answer.status, answer.content_type) == (200, "text/event-stream")
            assert re.fullmatch(rb"retry: [0-9]+\n\n", await answer.read())
        async with session.get(url, headers={"Accept": "application/json"}) as answer:
            assert answer.status in (502, 503)
        async with session.post(url, headers=wanted) as answer:
            assert answer.status in (502, 503), "a POST must not look as if it had been carried out"


@pytest.mark.parametrize("name", PROXIES)
async def test_an_error_of_the_application_passes_as_it_is(name: str, tmp_path: Path) -> None:
    async def busy(request: web.Request) -> web.Response:
        return web.json_response({"busy": True}, status=503)

    app = web.Application()
    app.router.add_get("/", busy)
    async with serve(app) as address, in_front(name, port_of(address), tmp_path) as url:
        async with aiohttp.ClientSession(headers={"Accept": "text/event-stream"}) as session:
            async with session.get(url) as answer:
                assert answer.status == 503 and await answer.json() == {"busy": True}


# -- a restart, in browsers ----------------------------------------------------------------------------------

PAGE = """<!doctype html><meta charset=utf-8><script>
let sent = Promise.resolve();
const report = (...seen) => {
  const options = {method: "POST", mode: "no-cors", body: JSON.stringify(seen)};
  sent = sent.then(() => fetch("%s", options)).catch(() => {});
};
const source = new EventSource("/life");
source.onopen = () => report("open");
source.onmessage = event => report("message", event.data, event.lastEventId);
source.onerror = () => report("error", source.readyState);
</script>"""


class Witness:
    """Takes what a page reports, beside the proxy: a report must arrive while the application is away."""

    def __init__(self) -> None:
        self.seen: asyncio.Queue[list[Any]] = asyncio.Queue()
        self.app = web.Application()
        self.app.router.add_post("/", self._report)

    async def _report(self, request: web.Request) -> web.Response:
        self.seen.put_nowait(json.loads(await request.text()))
        return web.Response()

    async def until(self, *expected: Any, timeout: float = 30.0) -> None:
        """Wait for a report that begins so. None may say that the EventSource is closed for good."""
        async with asyncio.timeout(timeout):
            while (seen := await self.seen.get())[: len(expected)] != list(expected):
                assert seen != ["error", 2], "the browser has given up"


@asynccontextmanager
async def application(port: int, name: str, witness: str) -> AsyncIterator[None]:
    """An application that has restarted under another name, with the page."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=PAGE % witness, content_type="text/html")

    def life(request: web.Request) -> rx.Observable[Any]:
        return rx.never().start_with(rx_sse.ServerSentEvent(name, id=name))

    app = rx_sse.setup(web.Application())
    app.router.add_get("/", page)
    app.router.add_get("/life", rx_sse.sse(life))
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        yield
    finally:
        await runner.cleanup()


Visiting = Callable[[str, str], AbstractAsyncContextManager[None]]
BROWSERS: dict[str, Visiting] = {"chromium": visiting, "firefox": visiting_firefox}


@pytest.mark.browser
@pytest.mark.parametrize("browser", BROWSERS)
@pytest.mark.parametrize("name", PROXIES)
async def test_a_browser_survives_a_restart_that_takes_longer_than_a_reconnect(
    name: str, browser: str, tmp_path: Path
) -> None:
    port, witness = free_port(), Witness()
    async with serve(witness.app) as reports, in_front(name, port, tmp_path) as url:
        async with AsyncExitStack() as stack:
            async with application(port, "first", reports):
                await stack.enter_async_context(BROWSERS[browser](require(browser), url))
                await witness.until("message", "first", "first", timeout=60)
            await witness.until("error", 0)
            await witness.until("open")  # what the proxy answers meanwhile
            await witness.until("error", 0)
            async with application(port, "second", reports):
                await witness.until("message", "second", "second")


def test_the_page_on_deploying_has_the_same_answer_for_nginx() -> None:
    (shown,) = re.findall(r"^```nginx\n(.*?)^```$", DEPLOYING, re.MULTILINE | re.DOTALL)
    (here,) = re.findall(r"^    location @later.*?^    }$", BLOCKS["nginx"], re.MULTILINE | re.DOTALL)
    (there,) = re.findall(r"^    location @later.*?^    }$", shown, re.MULTILINE | re.DOTALL)
    assert there.replace("2000", "$later") == here
