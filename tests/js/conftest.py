"""Endpoints whose answers a test writes, and a Node that runs a script against them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ..conformance.endpoint import Endpoint, Site, listening
from ..conftest import require

MODULE = Path(__file__).parent.parent.parent / "rx_sse" / "js" / "rx_sse.min.js"

START = """
const {{ stream, parser, delay, StreamEvent }} = await import({module});
const url = {url}, report = (...seen) => process.stdout.write(JSON.stringify(seen) + "\\n");
const watch = (source) => {{
    source.addEventListener("state", ({{ detail }}) => report("state", detail.state, detail.failure?.reason ?? null, detail.delay ?? null));
    source.addEventListener("message", (event) => report("message", event.data, event.lastEventId));
    return source;
}};
"""


class Script:
    """A script at work in Node."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def seen(self, timeout: float = 10.0) -> Any:
        """The arguments of the next `report(...)`; None at the end."""
        assert self._process.stdout is not None
        async with asyncio.timeout(timeout):
            line = await self._process.stdout.readline()
        return json.loads(line) if line else None

    async def until(self, kind: str, *more: Any) -> Any:
        """The next report that begins so."""
        while (found := await self.seen()) is not None:
            if found[: 1 + len(more)] == [kind, *more]:
                return found
        raise AssertionError(f"the script ended without {kind} {more}")

    async def end(self) -> list[Any]:
        """All that is still to come."""
        rest: list[Any] = []
        while (found := await self.seen()) is not None:
            rest.append(found)
        return rest


Run = Callable[..., AbstractAsyncContextManager[Script]]


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node itself: pip's `node` is a Python program that starts it."""
    asked = [require("node"), "-p", "process.execPath"]
    return subprocess.run(asked, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


@pytest.fixture
def run(node: str, tmp_path: Path) -> Run:
    """Run a script: it has `url`, `report`, `watch` and what the module exports."""

    @asynccontextmanager
    async def running(script: str, url: str = "", folder: Path = tmp_path) -> AsyncIterator[Script]:
        file = folder / "script.mjs"
        file.write_text(
            START.format(module=json.dumps(MODULE.as_uri()), url=json.dumps(url)) + script, "utf-8"
        )
        process = await asyncio.create_subprocess_exec(
            node, file, stdout=asyncio.subprocess.PIPE, limit=64 * 1024 * 1024, start_new_session=True
        )
        try:
            yield Script(process)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    return running


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with listening(Site()) as site:
        yield site


@pytest.fixture
def endpoint(site: Site) -> Endpoint:
    return site.endpoint()
