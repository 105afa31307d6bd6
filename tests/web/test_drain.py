"""A drain, where applications are deployed: in sub-applications, under `web.run_app` and `AppRunner`, behind
nginx, and under gunicorn. No event is lost or repeated, sources close first, and processes exit with 0."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.testing import open_stream, serve
from rx_sse.web.end_reason import End
from rx_sse.web.registry import REGISTRY

from ..conftest import ROOT
from ..ports import free_port
from ..test_proxies import in_front
from .apps import app_of, until
from .drain_app import DRAIN, FOLDER, HELD, LAYOUT, LAYOUTS, application, prefix
from .drain_client import Crowd

CLIENTS = 24
GRACE = DRAIN + HELD + 20.0  # a busy machine needs some of it; one that does not end at the signal, all
"""Seconds for a process to end, on a busy machine."""


async def test_a_client_whose_queue_is_full_leaves_with_the_position_of_its_last_event() -> None:
    """Mapped events have no id of their own: the position follows once the queue is empty, or at the end."""
    bus = rx_sse.MemoryBus()

    @rx_sse.sse
    def mapped(request: web.Request) -> rx.Observable[rx_sse.ServerSentEvent]:
        events = bus.events("news", after=rx_sse.last_event_id(request))
        return events.map(lambda event: event.replace(data=event.data))

    app = app_of(mapped, bus=bus, drain=0.2)
    async with serve(app) as url, open_stream(url, receive_buffer=4096) as stream:
        await stream.next_event(control=True)
        stream.stall()
        for number in range(40):
            await bus.publish("news", f"{number:03} {'x' * 3000}")
        (waiting,) = app[REGISTRY].streams
        assert waiting.outbox, "the socket took everything"
        waiting.close_for_reconnect(End.SHUTDOWN)
        stream.resume()
        assert await stream.ended()
        events = stream.rest(control=True)
        assert [event.data[:3] for event in events if not event.is_control][-1] == "039"
        assert [event.type for event in events[-2:]] == ["stream-cursor", "stream-reconnect"]
        cursor = stream.last_event_id
        async with open_stream(url, headers={"Last-Event-ID": cursor}) as again:
            assert (await again.next_event(control=True)).json()["resumed"]
            await bus.publish("news", "next")
            assert (await again.next_event()).data == "next", "what it had was sent again"


class Server:
    """A process, on a port of its own.

    Args:
        command: what starts it.
        layout: of the application.
        folder: of the application, and for its output.
    """

    def __init__(self, command: list[str], layout: str, folder: Path) -> None:
        self._command = command
        self._environment = {**os.environ, LAYOUT: layout, FOLDER: str(folder)}
        self.output = folder / "output"
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, url: str) -> None:
        """Start it, and wait until it serves."""
        with self.output.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *self._command, cwd=ROOT, env=self._environment, stdout=output, stderr=output
            )
        async with asyncio.timeout(30):
            while True:
                assert self.process.returncode is None, self.output.read_text()
                try:
                    async with open_stream(url, "/plain"):
                        return
                except OSError:
                    await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """SIGTERM: it exits with 0, in time."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(GRACE):
            assert await self.process.wait() == 0, self.output.read_text()

    async def kill(self) -> None:
        """The end of a test that failed."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


@asynccontextmanager
async def serving(command: list[str], layout: str, folder: Path, url: str) -> AsyncIterator[Server]:
    """A server that is up; it is gone at the end."""
    server = Server(command, layout, folder)
    try:
        await server.start(url)
        yield server
    finally:
        await server.kill()


def closed(folder: Path) -> list[str]:
    """What the sources of the application wrote when they were closed."""
    path = folder / "closed"
    return path.read_text().splitlines() if path.exists() else []


def spread(crowd: Crowd, round: int = 0) -> float:
    """Seconds between the first client whose stream was ended and the last."""
    ends = [client.endings[round].at for client in crowd.clients]
    return max(ends) - min(ends)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
async def test_run_app_drains_and_the_next_process_goes_on(layout: str, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}{prefix(layout)}"
    command = [sys.executable, "-W", "error", "-m", "tests.web.drain_app", str(port)]
    async with serving(command, layout, tmp_path, url) as server:
        async with Crowd([f"{url}/plain", f"{url}/mapped"], CLIENTS, tmp_path) as crowd:
            async with open_stream(url, "/held") as held:
                await held.next_event()
                await server.stop()
            assert [line.partition(" ")[2] for line in closed(tmp_path)] == ["with an open database: True"]
            assert spread(crowd) > DRAIN / 4, "in waves, not at once"
            await server.start(url)
            await crowd.until(lambda client: client.opened == 2)
        crowd.check(drained=1)
        await server.stop()
        assert not server.output.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
async def test_a_runner_drains_and_the_next_one_goes_on(layout: str, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}{prefix(layout)}"

    async def started() -> web.AppRunner:
        runner = web.AppRunner(application(layout, tmp_path))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        return runner

    runner = await started()
    try:
        async with Crowd([f"{url}/plain", f"{url}/mapped"], CLIENTS, tmp_path) as crowd:
            async with open_stream(url, "/held") as held:
                await held.next_event()
                async with asyncio.timeout(GRACE):
                    await runner.cleanup()
            assert [line.partition(" ")[2] for line in closed(tmp_path)] == ["with an open database: True"]
            assert spread(crowd) > DRAIN / 4
            runner = await started()
            await crowd.until(lambda client: client.opened == 2)
        crowd.check(drained=1)
    finally:
        await runner.cleanup()


@pytest.mark.slow
async def test_behind_nginx_a_drained_client_waits_out_the_restart(tmp_path: Path) -> None:
    port = free_port()
    direct = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-W", "error", "-m", "tests.web.drain_app", str(port)]
    async with (
        serving(command, LAYOUTS[0], tmp_path, direct) as server,
        in_front("nginx", port, tmp_path) as url,
    ):
        async with Crowd([f"{url}/plain", f"{url}/mapped"], CLIENTS, tmp_path) as crowd:
            async with open_stream(url, "/held") as held:
                await held.next_event()
                await server.stop()
            assert len(closed(tmp_path)) == 1
            assert spread(crowd) > DRAIN / 4
            await server.start(direct)
            await crowd.until(lambda client: client.opened == 2)
        crowd.check(drained=1)
        await server.stop()


def workers(server: Server) -> set[int]:
    """The processes that gunicorn has now."""
    assert server.process is not None
    return {child.pid for child in psutil.Process(server.process.pid).children()}


@pytest.mark.slow
@pytest.mark.parametrize("worker", ["GunicornWebWorker", "GunicornUVLoopWebWorker"])
async def test_workers_of_gunicorn_drain_at_a_signal_of_their_own_and_at_a_reload(
    worker: str, tmp_path: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "gunicorn", "tests.web.drain_app:factory", "--bind", f"127.0.0.1:{port}"),
        *("--workers", "2", "--worker-class", f"aiohttp.{worker}", "--graceful-timeout", "30"),
        "--no-control-socket",
    ]
    async with serving(command, LAYOUTS[0], tmp_path, url) as server:
        await until(lambda: len(workers(server)) == 2, 30)
        first = workers(server)
        async with Crowd([f"{url}/plain", f"{url}/mapped"], CLIENTS, tmp_path) as crowd:
            for old in first:  # one after the other
                os.kill(old, signal.SIGTERM)
                await until(lambda old=old: old not in workers(server), GRACE)
                await until(lambda: len(workers(server)) == 2, 30)
            await crowd.until(lambda client: client.opened == len(client.endings) + 1 >= 2)
            second = workers(server)
            assert not first & second
            ends = {client: len(client.endings) for client in crowd.clients}
            assert server.process is not None
            server.process.send_signal(signal.SIGHUP)
            await until(lambda: len(workers(server)) == 2 and not second & workers(server), 30)
            await crowd.until(lambda client: client.opened == len(client.endings) + 1 > ends[client] + 1)
        for client in crowd.clients:
            assert client.numbers == list(range(1, crowd.published + 1)), "lost or repeated"
            assert (client.gaps, client.refused) == (0, [])
            for ending in client.endings:
                assert ending.said == ("stream-reconnect", "shutdown") and ending.clean
                assert ending.cursor == ending.number
        await server.stop()
        output = server.output.read_text()
        assert not any(word in output for word in ("Traceback", "ERROR", "CRITICAL", "SIGKILL", "warning"))
