"""The blocks of README.md and docs/: programs run, curl prints what is shown, type checkers accept them."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from ..conftest import ROOT
from .blocks import BLOCKS, ELSEWHERE, PAGES, PYTHON, Block, Page, cases, first_lines, of, running, same

EXECUTED = {"python", "console", "js", "json", "html", "nginx"}
"""Languages of which every block is executed here, or in a test of its own."""

CONFIGURATION = {"dockerfile", "ini", "yaml", "sh"}
"""Languages of configuration, which test_deploying.py executes as far as this machine can."""

SHOWN = {"ts"}
"""Languages of which nothing is executed: NestJS's version of an endpoint."""


def test_every_block_is_of_a_language_that_is_executed() -> None:
    """And a block without a language is a figure."""
    assert {block.language for _, block in BLOCKS} <= EXECUTED | CONFIGURATION | SHOWN
    assert {page.name for page in PAGES} >= ELSEWHERE.keys()
    assert all((ROOT / test).exists() for test in ELSEWHERE.values())


@pytest.mark.parametrize(("page", "block", "command", "shown"), cases("curl"))
async def test_curl_prints_what_is_shown(
    page: Page, block: Block, command: str, shown: list[str], tmp_path: Path, curl: str
) -> None:
    async with running(page.server_above(block), tmp_path) as address:
        words = shlex.split(command.replace("http://localhost:8080", address))
        assert address in command.replace("http://localhost:8080", address), "curl must ask the program above"
        printed = await first_lines([curl, "--silent", "--show-error", *words[1:]], len(shown))
    assert len(printed) == len(shown) and all(map(same, shown, printed)), "\n" + "\n".join(printed)


@pytest.mark.parametrize(("page", "block"), of("fragment"))
async def test_every_stream_of_a_fragment_opens(page: Page, block: Block, tmp_path: Path) -> None:
    paths = re.findall(r"@routes\.get\(\"([^\"{]+)\"", block.text)
    async with running(block, tmp_path) as address, aiohttp.ClientSession() as session:
        for path in paths:
            async with session.get(address + path, headers={"Accept": "text/event-stream"}) as response:
                assert response.status == 200, await response.text()
                async with asyncio.timeout(20):
                    assert await response.content.readline()


def test_the_tests_shown_pass(tmp_path: Path) -> None:
    """All in one run of pytest, each block as a file of its own."""
    shown = {f"test_{block.name}.py": block for _, block in BLOCKS if block.kind == "test" and not block.info}
    for name, block in shown.items():
        (tmp_path / name).write_text(block.module, "utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-rp", "-p", "no:cacheprovider"]
    command += ["-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function"]
    command += ["-W", "error", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    passed = set(re.findall(r"^PASSED (\S+\.py)::", done.stdout, re.MULTILINE))
    assert done.returncode == 0 and passed == shown.keys(), done.stdout + done.stderr


@pytest.fixture(scope="module")
def written_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every python block as a module, named after its page and line."""
    folder = tmp_path_factory.mktemp("docs")
    for block in PYTHON:
        (folder / f"{block.name}.py").write_text(block.module, "utf-8")
    (folder / "nonsense.py").write_text("import rx_sse\nrx_sse.nonsense\n", "utf-8")
    return folder


@pytest.mark.parametrize(
    "checker",
    [
        pytest.param(["mypy", "--strict", "--no-incremental", "--config-file="], marks=pytest.mark.slow),
        ["pyright", "--pythonpath", sys.executable],
    ],
    ids=lambda checker: checker[0],
)
def test_strict_type_checkers_accept_every_block_and_refuse_a_name_that_does_not_exist(
    checker: list[str], written_out: Path
) -> None:
    """In one run: what they complain of is in the one file that is wrong, and nowhere else."""
    blocks = sorted(map(str, written_out.glob("*_line_*.py")))
    command = [sys.executable, "-m", *checker, *blocks, str(written_out / "nonsense.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=written_out)
    errors = [line for line in done.stdout.splitlines() if re.search(r": error:| - error:", line)]
    assert done.returncode == 1 and errors, done.stdout + done.stderr
    assert all("nonsense.py:2" in line and '"nonsense"' in line for line in errors), done.stdout
