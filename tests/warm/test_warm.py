"""A program that is forked is as one that `python` starts: its words, its streams, its signals, its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from . import interpreter

PROGRAM = """\
import json, os, sys
found = [sys.argv[1:], os.getcwd(), sys.path[0], os.environ["MINE"], os.getpid(), sys.stdin.readline()]
print(json.dumps(found), flush=True)
print("an error", file=sys.stderr)
sys.stdin.read()
sys.exit(3)
"""


async def started(folder: Path, python: tuple[str, ...]) -> asyncio.subprocess.Process:
    (folder / "program.py").write_text(PROGRAM)
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        *python, "-W", "error", "program.py", "a b", "--c", cwd=folder, env={**os.environ, "MINE": "é"},
        stdin=pipe, stdout=pipe, stderr=pipe,
    )  # fmt: skip


async def said(process: asyncio.subprocess.Process) -> list[object]:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b"hello\n")
    async with asyncio.timeout(20):
        found: list[object] = json.loads(await process.stdout.readline())
    return found


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
async def test_it_has_its_arguments_its_folder_its_environment_and_its_streams(
    warm: bool, tmp_path: Path
) -> None:
    process = await started(tmp_path, interpreter() if warm else (sys.executable,))
    arguments, folder, path, mine, _, line = await said(process)
    assert [arguments, folder, path, mine, line] == [["a b", "--c"], *[str(tmp_path)] * 2, "é", "hello\n"]
    _, err = await process.communicate(b"")
    assert (process.returncode, err) == (3, b"an error\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_signal_ends_it_and_its_end_is_told(number: signal.Signals, tmp_path: Path) -> None:
    process = await started(tmp_path, interpreter())
    *_, pid, _ = await said(process)
    assert isinstance(pid, int) and pid != process.pid
    process.send_signal(number)
    assert await process.wait() == -number
    async with asyncio.timeout(20):
        await process.communicate()  # until nothing holds its streams
        with pytest.raises(ProcessLookupError):
            while True:  # until its parent has taken note of its end
                os.kill(pid, 0)
                await asyncio.sleep(0.01)
