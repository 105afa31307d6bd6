"""A command of the library in a process of its own, through pipes or in a terminal."""

from __future__ import annotations

import asyncio
import os
import pty
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ..conftest import ROOT
from ..warm import interpreter

LIMIT = 30.0


@dataclass(frozen=True)
class Result:
    """How it ended, and what it printed."""

    status: int | None
    out: str
    err: str


def environment(more: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RX_SSE_", "NO_COLOR"))}
    return kept | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "PYTHONUNBUFFERED": "1"} | dict(more)


@asynccontextmanager
async def running(
    *arguments: str, env: Mapping[str, str] | None = None, stdout: int = asyncio.subprocess.PIPE
) -> AsyncIterator[asyncio.subprocess.Process]:
    """``python -m rx_sse`` with these arguments, for the length of the block."""
    process = await asyncio.create_subprocess_exec(
        *(*interpreter(), "-m", "rx_sse", *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=stdout,
        stderr=stdout if stdout != asyncio.subprocess.PIPE else asyncio.subprocess.PIPE,
        env=environment(env or {}),
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def run(*arguments: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Result:
    """The same to its end."""
    async with running(*arguments, env=env) as process, asyncio.timeout(LIMIT):
        out, err = await process.communicate(stdin.encode())
        return Result(process.returncode, out.decode(), err.decode())


async def in_terminal(*arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Run it with a terminal for its output, errors too; what the terminal got."""
    ours, theirs = pty.openpty()
    got: list[bytes] = []
    try:
        async with running(*arguments, env=env, stdout=theirs) as process, asyncio.timeout(LIMIT):
            os.close(theirs)
            loop = asyncio.get_running_loop()
            while True:
                try:
                    data = await loop.run_in_executor(None, os.read, ours, 65536)
                except OSError:  # how Linux says that the other side is closed
                    break
                if not data:
                    break
                got.append(data)
            await process.wait()
    finally:
        os.close(ours)
    return b"".join(got).decode().replace("\r\n", "\n")
