"""docs/coming-from.md: each library's version of an endpoint and ours run, and send the same events."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from rx_sse import EventSource

from ..conftest import ROOT
from ..ports import free_port
from .blocks import Block, Page, running

PAGE = Page(ROOT / "docs" / "coming-from.md")
BLOCKS = {block.info: block for block in PAGE.blocks if block.info}


@asynccontextmanager
async def under_uvicorn(block: Block, folder: Path) -> AsyncIterator[str]:
    """An ASGI application of a block as a process of its own; gives its address."""
    (folder / "program.py").write_text(block.text, "utf-8")
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "program:app", "--port", str(port), "--log-level", "error"]
    process = await asyncio.create_subprocess_exec(*command, cwd=folder)
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(20):
            while True:
                try:
                    async with session.get(f"http://127.0.0.1:{port}/"):
                        break
                except aiohttp.ClientConnectorError:
                    assert process.returncode is None, "uvicorn did not start"
                    await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def sent(address: str) -> list[tuple[str, str]]:
    """The events of the endpoint, control events left out: name and data."""
    stream = EventSource(f"{address}/numbers")
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(20):
        async for event in stream:
            if not event.is_control:
                found.append((event.type, event.data))
            if len(found) == 3:
                break
    return found


@pytest.mark.parametrize("name", list(BLOCKS))
async def test_every_version_sends_the_same(name: str, tmp_path: Path) -> None:
    block = BLOCKS[name]
    serving = running if "web.run_app(" in block.text else under_uvicorn
    async with serving(block, tmp_path) as address:
        assert await sent(address) == [("number", "0"), ("number", "1"), ("number", "2")]


def test_each_library_has_both_versions() -> None:
    libraries = {name for name in BLOCKS if not name.endswith("-after")}
    assert libraries == {"aiohttp-sse", "sse-starlette", "fastapi"}
    assert {f"{name}-after" for name in libraries} | {"nestjs-after"} == BLOCKS.keys() - libraries
