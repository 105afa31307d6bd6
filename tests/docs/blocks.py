"""The code blocks of README.md and of the pages in docs/, and how each of them is executed.

How the text is read:

- a ``python`` block that calls ``web.run_app`` is a whole program and runs as it stands;
- one with a ``test_`` function in it is handed to pytest;
- any other is a fragment: it goes on from the first program of the README, whose imports
  and route table it may use;
- a ``console`` block belongs to the last program or fragment above it on its page. ``curl`` is really run
  against it, and what it prints must begin with the lines shown (``…`` stands for anything within a line);
- ``js`` runs in Chromium, ``nginx`` in nginx, in front of the program above it;
- a comment ``<!-- with … -->`` above a block holds the lines that its reader has already:
  a model, a database.

Every program is a process of its own, on a port of its own, and is stopped by SIGTERM, as in production.
"""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pytest

from ..conftest import ROOT
from ..ports import free_port
from ..warm import interpreter

# What a fragment finds: the imports of a module that has grown past the first program, and its route table.
PREAMBLE = """\
from __future__ import annotations
import asyncio
from collections.abc import AsyncIterator
from typing import Any
import reactivex as rx
from aiohttp import web
from reactivex import operators as ops
from reactivex.subject import Subject
import rx_sse
routes = web.RouteTableDef()
"""
# What a fragment leaves out.
ENDING = """
app = rx_sse.setup(web.Application())
app.add_routes(routes)
"""
# Runs a program of the README on a port of our choice, and says when it listens.
RUNNER = """\
import functools, runpy, sys
from aiohttp import web
web.run_app = functools.partial(web.run_app, host="127.0.0.1", port=int(sys.argv[2]))
runpy.run_path(sys.argv[1], run_name="__main__")
"""


# Behind a program with an application and a `page`: serves the page, and hands what it posts to the test.
SEEN = """

import asyncio

seen: asyncio.Queue[str] = asyncio.Queue()

async def post(request: web.Request) -> web.Response:
    seen.put_nowait(await request.text())
    return web.Response()

async def get(request: web.Request) -> web.Response:
    return web.Response(text=await seen.get())

app.router.add_get("/", page)
app.router.add_post("/seen", post)
app.router.add_get("/seen", get)
"""
RUN = "web.run_app(app)\n"


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, its language and the word behind that (a test of its own executes it),
    its text, the line that it begins on, and what its reader has already."""

    page: str
    language: str
    info: str
    text: str
    line: int
    given: str = ""

    @property
    def id(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def name(self) -> str:
        """The block's name as a module."""
        return re.sub(r"\W", "_", f"{self.page}_line_{self.line}")

    @property
    def kind(self) -> str:
        """``program``, ``test``, ``fragment``, or the language of what is not Python."""
        if self.language != "python":
            return self.language
        if "web.run_app(" in self.text:
            return "program"
        return "test" if re.search(r"def test_", self.text) else "fragment"

    @property
    def stopped_short(self) -> Block:
        """The block up to where it would run, for a test that adds to its application."""
        text = re.sub(r"^(if __name__ == .*\n +)?web\.run_app\(app\)\n", "", self.text, flags=re.MULTILINE)
        return replace(self, text=text, language="python")

    @property
    def module(self) -> str:
        """The block as a module that runs by itself."""
        if self.kind == "program":
            return self.text
        if self.kind == "test":
            return PREAMBLE + self.given + self.text
        ending = "" if re.search(r"^app = ", self.text, re.MULTILINE) else ENDING
        return f"{PREAMBLE}{self.given}\n{self.text}\n{ending}"


@dataclass(frozen=True)
class Page:
    """README.md, or a page of docs/."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @cached_property
    def blocks(self) -> list[Block]:
        shape = r"(?:^<!-- with\n(.*?)-->\n+)?^```(\w+) ?([^\n]*)\n(.*?)^```$"
        found = re.finditer(shape, self.text, re.MULTILINE | re.DOTALL)
        return [
            Block(self.name, it[2], it[3], it[4], self.text[: it.start(2)].count("\n") + 2, it[1] or "")
            for it in found
        ]

    @property
    def servers(self) -> list[Block]:
        return [block for block in self.blocks if block.kind in ("program", "fragment")]

    def server_above(self, block: Block) -> Block:
        return [server for server in self.servers if server.line < block.line][-1]

    def sessions(self) -> Iterator[tuple[Block, str, list[str], str]]:
        """The commands of the console blocks: the block, the command, the lines shown under it, a test id."""
        for block in self.blocks:
            if block.language == "console":
                for number, part in enumerate(re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]):
                    command, *shown = part.rstrip("\n").split("\n")
                    yield block, command, shown, f"{block.id}+{number}"

    def table(self, heading: str) -> dict[str, list[str]]:
        """The first table below a heading: first cell → the others, code marks taken off."""
        (section,) = re.findall(rf"^#+ {heading}\n(.*?)(?=^#|\Z)", self.text, re.MULTILINE | re.DOTALL)
        lines = re.findall(r"^\|.*\|$", section, re.MULTILINE)[2:]
        rows = [re.split(r"(?<!\\)\|", row)[1:-1] for row in lines]
        return {row[0].strip().strip("`"): [cell.strip().strip("`") for cell in row[1:]] for row in rows}


README = Page(ROOT / "README.md")
PAGES = [README, Page(ROOT / "CONTRIBUTING.md"), *map(Page, sorted((ROOT / "docs").rglob("*.md")))]

ELSEWHERE = {
    "docs/ai-clients.md": "tests/clients/test_ai_clients.py",
    "docs/browser.md": "tests/js/test_docs.py",
    "docs/demo.md": "tests/demo/test_workers.py",
    "docs/proxies.md": "tests/test_proxies.py",
    "docs/wrappers.md": "tests/clients/test_wrappers.py",
}
"""Pages whose blocks a test of their own executes."""

HERE = [page for page in PAGES if page.name not in ELSEWHERE]
BLOCKS = [(page, block) for page in HERE for block in page.blocks]
OTHERS = {"aiohttp-sse", "sse-starlette", "fastapi"}
"""Words behind ``python``: the block is another library's code."""

PYTHON = [block for _, block in BLOCKS if block.language == "python" and block.info not in OTHERS]


def of(kind: str) -> list[object]:
    """The blocks of a kind or language that no test of their own executes, as parameters: page and block."""
    return [
        pytest.param(page, block, id=block.id)
        for page, block in BLOCKS
        if block.kind == kind and not block.info
    ]


def cases(*programs: str) -> list[object]:
    """The commands of the console blocks that run one of `programs`: page, block, command, lines shown."""
    found = [(page, *case) for page in HERE for case in page.sessions() if case[1].split()[0] in programs]
    return [pytest.param(*case[:4], id=case[4]) for case in found]


@asynccontextmanager
async def running(
    block: Block, folder: Path, *, more: str = "", python: Sequence[str] = ()
) -> AsyncIterator[str]:
    """Run a program or a fragment as a process of its own, and give its address. It must stop within 2 s.

    Args:
        block: which.
        folder: where its file is written.
        more: what is added to it.
        python: another Python than that of the tests.
    """
    source = block.module + more
    if "web.run_app(" not in source:
        source += "\nweb.run_app(app)\n"
    program, runner = folder / "program.py", folder / "runner.py"
    program.write_text(source, "utf-8")
    runner.write_text(RUNNER, "utf-8")
    port = free_port()
    command = [*(python or interpreter()), "-u", "-W", "error", str(runner), str(program), str(port)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=folder
    )
    assert process.stdout is not None
    output = b""
    try:
        async with asyncio.timeout(20):
            while b"Running on" not in output:
                line = await process.stdout.readline()
                assert line, f"the program of {block.id} did not start:\n{output.decode()}"
                output += line
        yield f"http://localhost:{port}"
        process.terminate()
        async with asyncio.timeout(20):
            output += await process.stdout.read()
            status = await process.wait()
        assert status == 0, f"{block.id} ended with {status}:\n{output.decode()}"
        assert b"Traceback" not in output, output.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def first_lines(command: list[str], count: int) -> list[str]:
    """The first `count` lines that a command prints; fewer if it ends before."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(15):
            while len(lines) < count and (line := await process.stdout.readline()):
                lines.append(line.decode().rstrip("\n").rstrip("\r"))
    except TimeoutError:
        pytest.fail(f"{shlex.join(command)} printed {lines} and then nothing")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
    return lines


def same(shown: str, printed: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, shown.split("…"))), printed) is not None
