"""docs/redis.md and docs/buses.md, several processes on one port: the program and the command, over a real
Redis and over a file."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest
from reactivex.abc import DisposableBase
from reactivex.disposable import CompositeDisposable

import rx_sse

from ..conftest import ROOT
from ..ports import free_port
from ..redis_server import RedisServer
from .blocks import Page


@asynccontextmanager
async def workers(page: Page, folder: Path, redis: str) -> AsyncIterator[tuple[str, set[int]]]:
    """What the page's line starts, on a port of our choice: its address, and the processes."""
    (block,) = [block for block in page.servers if "reuse_port" in block.text]
    (command,) = [command for _, command, _, _ in page.sessions() if "orders.py" in command]
    port = free_port()
    (folder / "orders.py").write_text(block.text.replace("8080", str(port)), "utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = await asyncio.create_subprocess_exec(
        "bash", "-c", f"{command}\nwait", cwd=folder, env={**os.environ, "PATH": path, "REDIS_URL": redis},
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}/orders"
    try:
        processes: set[int] = set()
        async with asyncio.timeout(30):
            while len(processes) < 3:
                try:
                    processes.add(await taken(address, 0))
                except aiohttp.ClientError:  # none of them listens yet
                    await asyncio.sleep(0.05)
        yield address, processes
    finally:
        for process in psutil.Process(shell.pid).children():
            process.terminate()
        await shell.wait()


async def taken(address: str, order: int) -> int:
    """Place an order, over a connection of its own; which process took it."""
    async with aiohttp.ClientSession() as session, session.post(address, data=str(order)) as answer:
        assert answer.status == 200, await answer.text()
        return int((await answer.json())["taken_by"])


def connections(process: int, address: str) -> int:
    """How many of its clients a process serves."""
    port = urlsplit(address).port
    found = psutil.Process(process).net_connections("tcp")
    return sum(each.laddr.port == port and each.status == psutil.CONN_ESTABLISHED for each in found)


async def until(true: Callable[[], bool]) -> None:
    while not true():
        await asyncio.sleep(0.02)


@pytest.mark.slow  # tests/demo/test_workers.py has two processes over a Redis, and one file has three below
@pytest.mark.redis
async def test_what_one_process_takes_reaches_the_clients_of_all_also_when_theirs_is_gone(
    tmp_path: Path, redis_server: str
) -> None:
    with RedisServer() as redis:
        await processes_share(Page(ROOT / "docs" / "redis.md"), tmp_path, redis.url)


async def test_processes_on_one_file_do_the_same(tmp_path: Path) -> None:
    await processes_share(Page(ROOT / "docs" / "buses.md"), tmp_path, "")


async def processes_share(page: Page, folder: Path, redis: str) -> None:
    """Each event reaches the clients of all processes, once, also of those that are killed or stopped."""
    reading = CompositeDisposable()
    readers: list[list[int]] = []
    placed: list[int] = []

    async def place_one_with_each() -> None:
        missing = set(processes)
        while missing:
            placed.append(len(placed) + 1)
            missing.discard(await taken(address, placed[-1]))

    def read() -> DisposableBase:
        readers.append(seen := [])
        orders = rx_sse.EventSource(address).filter(lambda event: not event.is_control)
        numbers = orders.map(lambda event: int(event.json()["order"])).filter(bool)
        return numbers.subscribe(seen.append, scheduler=rx_sse.LoopScheduler())

    async with workers(page, folder, redis) as (address, processes), asyncio.timeout(40):
        with reading:
            # The kernel deals connections out as it likes: until every process has a client.
            while not all(connections(each, address) for each in processes):
                reading.add(read())
                await until(lambda: sum(connections(it, address) for it in processes) == len(readers))
            await place_one_with_each()
            for number in (signal.SIGKILL, signal.SIGTERM):
                os.kill(leaving := processes.pop(), number)
                await until(lambda it=leaving: not psutil.pid_exists(it))
                await place_one_with_each()
            await until(lambda: all(len(seen) >= len(placed) for seen in readers))
            assert all(seen == placed for seen in readers), (placed, readers)


@pytest.mark.slow
async def test_workers_of_gunicorn_share_a_file_and_may_be_killed(tmp_path: Path) -> None:
    page = Page(ROOT / "docs" / "buses.md")
    (block,) = [block for block in page.servers if "reuse_port" in block.text]
    (tmp_path / "orders.py").write_text(block.text, "utf-8")
    shown = re.search(r"`gunicorn (orders:app [^`]+)`", page.text)
    assert shown is not None
    port = free_port()
    address = f"http://127.0.0.1:{port}/orders"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gunicorn", *shown[1].split(), "--bind", f"127.0.0.1:{port}"),
        "--no-control-socket",
        cwd=tmp_path,
        stderr=asyncio.subprocess.DEVNULL,
    )
    readers: list[list[int]] = []
    placed: list[int] = []

    async def place(enough: Callable[[set[int]], bool]) -> set[int]:
        """Place orders until those who took them are enough."""
        takers: set[int] = set()
        while not enough(takers):
            try:
                takers.add(await taken(address, len(placed) + 1))
            except aiohttp.ClientError:  # nobody listens yet, or the worker was killed
                await asyncio.sleep(0.05)
            else:
                placed.append(len(placed) + 1)
        return takers

    def read() -> DisposableBase:
        readers.append(seen := [])
        orders = rx_sse.EventSource(address).filter(lambda event: not event.is_control)
        numbers = orders.map(lambda event: int(event.json()["order"]))
        return numbers.subscribe(seen.append, scheduler=rx_sse.LoopScheduler())

    try:
        async with asyncio.timeout(60):
            await place(lambda takers: len(takers) == 1)
            with CompositeDisposable([read() for _ in range(9)]):
                await until(lambda: all(seen == placed for seen in readers))
                takers = await place(lambda takers: len(takers) == 3)
                for killed in takers:
                    os.kill(killed, signal.SIGKILL)
                    await until(lambda it=killed: not psutil.pid_exists(it))
                    await place(lambda takers, before=takers: bool(takers - before))
                await until(lambda: all(seen and seen[-1] == placed[-1] for seen in readers))
        assert all(seen == placed for seen in readers), (placed, readers)
    finally:
        process.terminate()
        await process.wait()
