"""A real Chromium or Firefox for a test: it is started on a page, and the page posts what it sees.

No driver: the page's script calls `report(...)`, which the test awaits. Where a test needs several tabs, or
pages that are not its own, `browsing` drives Chromium over its debugging protocol.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)

PAGE = """<!doctype html><meta charset=utf-8><title>test</title><script type=module>
const origin = location.origin;
let sent = Promise.resolve();  // one at a time: what is seen first arrives first
const post = body => fetch(origin + "/seen", {method: "POST", body}).catch(() => {});
globalThis.report = (...seen) => { sent = sent.then(() => post(JSON.stringify(seen))); };
%s
</script>"""


class Page:
    """A page, and what it has reported."""

    def __init__(self, script: str) -> None:
        self._script = script
        self._seen: asyncio.Queue[Any] = asyncio.Queue()

    def add_to(self, app: web.Application, path: str = "/") -> None:
        """Serve the page at `path` and take its reports at `/seen`."""
        app.router.add_get(path, self._page)
        app.router.add_post("/seen", self._report)

    async def seen(self, timeout: float = 15.0) -> Any:
        """The next report: a list of the arguments of one call of `report`."""
        async with asyncio.timeout(timeout):
            return await self._seen.get()

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(text=PAGE % self._script, content_type="text/html")

    async def _report(self, request: web.Request) -> web.Response:
        self._seen.put_nowait(json.loads(await request.text()))
        return web.Response()


# A new profile of Firefox asks nothing, fetches nothing, and lets a test's page open windows.
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.auto": False,
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "dom.disable_open_during_load": False,
    "dom.popup_maximum": 100,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "termsofuse.bypassNotification": True,
    "toolkit.telemetry.enabled": False,
}


@asynccontextmanager
async def visiting_firefox(firefox: str, url: str) -> AsyncIterator[None]:
    """Have Firefox show a page for the length of the block."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        lines = [
            f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items()
        ]
        (Path(profile) / "user.js").write_text("".join(lines), "utf-8")
        process = await asyncio.create_subprocess_exec(
            firefox,
            "--headless",
            "--no-remote",
            "--profile",
            profile,
            url,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "HOME": profile, "MOZ_CRASHREPORTER_DISABLE": "1"},
        )
        async with ended(process):
            yield


@asynccontextmanager
async def ended(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """Have a browser gone after the block."""
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(20):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


@asynccontextmanager
async def visiting(chromium: str, url: str, *flags: str) -> AsyncIterator[None]:
    """Have Chromium show a page for the length of the block."""
    async with running(chromium, url, *flags):
        yield


TRIES = 3


class NotStarted(Exception):
    """A Chromium that did not say where its debugging protocol is."""


@asynccontextmanager
async def running(chromium: str, url: str, *flags: str) -> AsyncIterator[str]:
    """Run Chromium with a new profile, and give the address of its debugging protocol.

    Now and then, once in some thousand times on a busy machine, a Chromium hangs as it starts: then another
    one is started.
    """
    async with AsyncExitStack() as stack:
        for _ in range(TRIES - 1):
            with suppress(NotStarted):
                yield await stack.enter_async_context(_started(chromium, url, *flags))
                return
        yield await stack.enter_async_context(_started(chromium, url, *flags))


@asynccontextmanager
async def _started(chromium: str, url: str, *flags: str) -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            chromium,
            *FLAGS,
            *flags,
            f"--user-data-dir={profile}",
            "--remote-debugging-port=0",  # keeps a headless browser open on its page
            url,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with ended(process):
            told = Path(profile) / "DevToolsActivePort"
            deadline = asyncio.get_running_loop().time() + 20
            while not told.exists() or len(lines := told.read_text("utf-8").splitlines()) < 2:
                if process.returncode is not None:
                    raise NotStarted(f"{chromium} has ended with {process.returncode}")
                if asyncio.get_running_loop().time() > deadline:
                    process.kill()
                    raise NotStarted(f"{chromium} has not started within 20 s")
                await asyncio.sleep(0.02)
            yield f"ws://127.0.0.1:{lines[0]}{lines[1]}"


class Tab:
    """A tab of a browser that is driven over its debugging protocol."""

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session

    async def run(self, script: str) -> Any:
        """What an expression gives, awaited if it is a promise."""
        options = {"expression": script, "returnByValue": True, "awaitPromise": True}
        answer = await self._browser.call("Runtime.evaluate", options, self._session)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, condition: str, timeout: float = 15.0) -> None:
        """Wait until an expression is true. An exception in it counts as false: the page may be loading."""
        guarded = f"(() => {{ try {{ return !!({condition}) }} catch {{ return false }} }})()"
        async with asyncio.timeout(timeout):
            while not await self.run(guarded):
                await asyncio.sleep(0.05)

    async def show(self) -> None:
        """Bring the tab to the front; the one that was there is hidden."""
        await self._browser.call("Target.activateTarget", {"targetId": self._target})


class Browser:
    """A Chromium with tabs, over one socket of its debugging protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._calls = 0

    async def open(self, url: str) -> Tab:
        """A new tab, in front of the others."""
        target = (await self.call("Target.createTarget", {"url": url}))["targetId"]
        attached = await self.call("Target.attachToTarget", {"targetId": target, "flatten": True})
        tab = Tab(self, target, attached["sessionId"])
        await tab.show()
        return tab

    async def call(self, method: str, params: dict[str, Any], session: str | None = None) -> Any:
        """Call a method of the protocol. One call at a time: events in between are not looked at."""
        self._calls += 1
        call = {"id": self._calls, "method": method, "params": params}
        await self._socket.send_json(call if session is None else {**call, "sessionId": session})
        while True:
            answer = await self._socket.receive_json(timeout=20)
            if answer.get("id") == self._calls:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]


@asynccontextmanager
async def browsing(chromium: str, *flags: str) -> AsyncIterator[Browser]:
    """A Chromium whose tabs a test opens, for the length of the block."""
    async with running(chromium, "about:blank", *flags) as address, aiohttp.ClientSession() as session:
        async with session.ws_connect(address, max_msg_size=0) as socket:
            yield Browser(socket)
