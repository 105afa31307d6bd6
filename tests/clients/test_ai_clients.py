"""docs/ai-clients.md: strict clients against handlers of ten lines, each client as its registry has it.

The page's blocks are one program, with a model that does what its prompt says, run as a process of its own.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from ..conftest import ROOT
from ..node import node_packages
from ..ports import free_port
from ..warm import interpreter
from .clients import DRIVERS, OnPiece, Seen, anthropic_messages, node, openai_chat, python

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TEXT = (ROOT / "docs" / "ai-clients.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
MODEL = """
import asyncio

left = asyncio.Event()


async def model(prompt: str) -> AsyncIterator[str]:
    left.clear()
    try:
        for word in "one ", "two ":
            yield word
            await asyncio.sleep(0.05)  # as a model does; React shows at once what comes at once
        if prompt == "fail":
            raise RuntimeError("the secret reason")
        if prompt == "hang":
            await asyncio.Event().wait()
        yield "three"
    finally:
        left.set()


async def wait_until_left(request: web.Request) -> web.Response:
    await asyncio.wait_for(left.wait(), 5)
    return web.Response()


app = rx_sse.setup(web.Application())
app.add_routes(routes)
app.router.add_get("/left", wait_until_left)
web.run_app(app, host="127.0.0.1", port=%d, access_log=None)
"""
PACKAGES = (
    "@ag-ui/client@1.0.0",
    "@ai-sdk/react@4.0.177",
    "ai@7.0.173",
    "graphql-sse@2.6.1",
    "graphql@17.1.0",
    "jsdom@26.1.0",
    "openai@7.59.0",
    "react@19.3.1",
    "react-dom@19.3.1",
)
PIECES = ["one ", "two ", "three"]


@dataclass
class Server:
    """The program, while it runs."""

    url: str
    process: asyncio.subprocess.Process
    ending: bool = False

    def terminate(self) -> None:
        """Send SIGTERM, once."""
        if not self.ending:
            self.ending = True
            self.process.terminate()

    async def noticed(self) -> None:
        """Wait until the model knows that its reader has left."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/left") as answer:
            assert answer.status == 200, "the client has left, and the model goes on"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """The handlers of the page."""
    async with serving(tmp_path) as server:
        yield server


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Server]:
    port, program = free_port(), folder / "program.py"
    program.write_text("\n".join([*BLOCKS, MODEL % port]), "utf-8")
    process = await asyncio.create_subprocess_exec(
        *interpreter(), "-u", str(program), cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            assert b"Running on" in await process.stdout.readline()
        server = Server(f"http://127.0.0.1:{port}", process)
        yield server
        server.terminate()
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the packages of npm, and the drivers beside them."""
    folder = tmp_path_factory.mktemp("ai")
    node_packages(folder, *PACKAGES)
    for driver in DRIVERS.glob("*.mjs"):
        shutil.copy(driver, folder)
    return folder


Client = Callable[[str, str, int, OnPiece | None], Awaitable[Seen]]
IN_PYTHON = {"openai (PyPI)": openai_chat, "anthropic (PyPI)": anthropic_messages}
IN_NODE = {
    "openai (npm)": "openai-chat",
    "openai (npm), finalResponse()": "openai-responses",
    "ai with @ai-sdk/react": "ai-sdk",
    "@ag-ui/client": "ag-ui",
    "graphql-sse": "graphql-sse",
}


@pytest.fixture(params=[*IN_PYTHON, *IN_NODE])
def client(request: pytest.FixtureRequest) -> Client:
    """One of the clients."""
    name: str = request.param
    if name in IN_NODE:
        return partial(node, request.getfixturevalue("packages"), IN_NODE[name])
    pytest.importorskip(name.split()[0])

    async def read(url: str, prompt: str, leave_after: int = 0, on_piece: OnPiece | None = None) -> Seen:
        return await python(IN_PYTHON[name](url, prompt), leave_after, on_piece)

    return read


async def test_a_whole_answer(client: Client, server: Server) -> None:
    seen = await client(server.url, "answer", 0, None)
    assert (seen.error, seen.whole) == (None, "".join(PIECES))
    assert seen.pieces == PIECES[: len(seen.pieces)] and len(seen.pieces) >= 2, "as they come"


async def test_a_failure_in_the_middle_is_told_and_its_text_is_not(client: Client, server: Server) -> None:
    seen = await client(server.url, "fail", 0, None)
    assert seen.whole is None, "half an answer was taken for the whole"
    assert seen.error is not None and "The model failed" in seen.error, seen
    assert "secret" not in seen.error


async def test_half_an_answer_is_not_taken_for_the_whole_when_the_server_is_ended(
    client: Client, server: Server
) -> None:
    def terminate(seen: Seen) -> None:
        if len(seen.pieces) == 2:
            server.terminate()

    seen = await client(server.url, "hang", 0, terminate)
    assert seen.whole is None and seen.error is not None, seen
    assert seen.pieces == PIECES[:2]


async def test_a_client_that_leaves_is_noticed_by_the_model(client: Client, server: Server) -> None:
    seen = await client(server.url, "hang", 2, None)
    assert seen.left and seen.pieces == PIECES[:2], seen
    await server.noticed()


def test_each_handler_has_at_most_ten_lines() -> None:
    handlers = [block[block.index("@routes") :] for block in BLOCKS if "@routes" in block]
    assert len(handlers) == 6
    for handler in handlers:
        assert len(handler.splitlines()) - 2 <= 10, handler  # its decorators aside
