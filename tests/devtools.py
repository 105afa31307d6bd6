"""A Chromium with many tabs, driven over its DevTools protocol.

Standard: the Chrome DevTools Protocol, over one WebSocket for the browser and all its tabs ("flat" sessions).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp

from .browser import running

# Many tabs in one window: those behind must not be treated as such, unless a test says so.
FOREGROUND = (
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
)


class Refused(Exception):
    """The browser answered a command with an error."""


class Browser:
    """The browser's end of the protocol."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reading = asyncio.create_task(self._read())
        self.workers: dict[str, str] = {}  # shared workers: target id → session

    async def _read(self) -> None:
        async for message in self._socket:
            told = message.json()
            future = self._waiting.pop(told.get("id"), None)
            if future is not None and not future.done():
                future.set_result(told)
        for future in self._waiting.values():
            future.cancel()

    async def call(
        self, method: str, session: str | None = None, timeout: float = 20.0, **params: Any
    ) -> Any:
        """Send a command and await its result."""
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        command = {"id": number, "method": method, "params": params}
        await self._socket.send_json(command | ({"sessionId": session} if session else {}))
        async with asyncio.timeout(timeout):
            told = await future
        if "error" in told:
            raise Refused(f"{method}: {told['error']}")
        return told["result"]

    async def send(self, method: str, session: str | None = None, **params: Any) -> None:
        """Send a command whose answer may never come: it ends the process that would answer."""
        with suppress(TimeoutError, Refused, asyncio.CancelledError):
            await self.call(method, session, timeout=0.5, **params)

    async def open(self, url: str, *, window: bool = True) -> Tab:
        """A new tab, in a window of its own: visible. Or in front of the last one in its window."""
        target = (await self.call("Target.createTarget", url=url, newWindow=window))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        return Tab(self, target, session)

    async def targets(self, kind: str) -> list[str]:
        """The ids of all targets of a type, like `shared_worker`."""
        found = await self.call("Target.getTargets")
        return [info["targetId"] for info in found["targetInfos"] if info["type"] == kind]

    async def attach(self, target: str) -> str:
        """A session with a target."""
        return (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]

    async def close(self) -> None:
        await self._socket.close()
        await self._reading


class Tab:
    """One tab."""

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self._browser = browser
        self.target = target
        self._session = session

    async def call(self, method: str, **params: Any) -> Any:
        return await self._browser.call(method, self._session, **params)

    async def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is awaited."""
        result = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in result:
            raise Refused(str(result["exceptionDetails"]))
        return result["result"].get("value")

    async def until(self, script: str, timeout: float = 15.0) -> Any:
        """The value of an expression, once it is true."""
        async with asyncio.timeout(timeout):
            while True:
                with suppress(Refused):  # between two documents
                    if found := await self.run(script):
                        return found
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        await self._browser.call("Target.closeTarget", targetId=self.target)

    async def crash(self) -> None:
        """End its renderer as a fault would."""
        await self._browser.send("Page.crash", self._session)

    async def navigate(self, url: str) -> None:
        await self.call("Page.navigate", url=url)

    async def freeze(self) -> None:
        await self.call("Page.setWebLifecycleState", state="frozen")

    async def resume(self) -> None:
        await self.call("Page.setWebLifecycleState", state="active")

    async def offline(self, offline: bool) -> None:
        """The browser's own switch."""
        await self.call("Network.enable")
        await self.call(
            "Network.emulateNetworkConditions",
            offline=offline,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )


@asynccontextmanager
async def browsing(chromium: str, *flags: str) -> AsyncIterator[Browser]:
    """A browser for the length of the block."""
    async with running(chromium, "about:blank", *FOREGROUND, *flags) as address:
        async with aiohttp.ClientSession() as session:
            browser = Browser(await session.ws_connect(address, max_msg_size=0))
            try:
                yield browser
            finally:
                await browser.close()
