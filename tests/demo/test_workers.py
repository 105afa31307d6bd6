"""A demo of its own process, or of several: it is stopped, or a process of it dies, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import psutil
import pytest

import rx_sse
from rx_sse.demo import SECRET, main
from rx_sse.demo.history import default_file, make_bus
from tests.conftest import ROOT
from tests.demo.viewer import Viewer, next_of
from tests.devtools import browsing
from tests.docs.blocks import Page
from tests.ports import free_port
from tests.redis_server import RedisServer

TEXT = "document.querySelector('.pair').textContent"
WAY = {"from": "ada", "to": "ben", "text": "hello"}


async def first_sign_in(url: str, name: str = "") -> Viewer:
    """A viewer, once the server is there: three processes begin, on a machine that may be busy."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await Viewer.sign_in(url, name)
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)


@asynccontextmanager
async def running(*arguments: str, port: int | None = None, home: Path | None = None) -> AsyncIterator[str]:
    """The demo as a command, until the block ends."""
    port = port or free_port()
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rx_sse", "demo", "--port", str(port), *arguments,
        env={**os.environ, **({"XDG_STATE_HOME": str(home)} if home else {})},
    )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        demo.terminate()
        async with asyncio.timeout(20):
            assert await demo.wait() == 0


async def post(viewer: Viewer, route: str, body: object) -> int:
    """Press a button; a process that has just died, or is about to begin, may be the one that is asked."""
    async with aiohttp.ClientSession(headers=viewer.headers) as session:
        try:
            async with session.post(f"{viewer.url}{viewer.path}/{route}", json=body) as answer:
                return answer.status
        except aiohttp.ClientError:
            return 0


async def sent(viewer: Viewer, text: str) -> None:
    """Send a message from Ada to Ben, until a process takes it."""
    async with asyncio.timeout(30):
        while await post(viewer, "send", {**WAY, "text": text}) != 200:
            await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.redis
async def test_two_workers_share_users_over_redis(redis_server: str) -> None:
    with RedisServer() as server:
        async with running("--redis", server.url, "--workers", "2") as url:
            ada, ben = await first_sign_in(url), await first_sign_in(url)
            async with ben.stream() as stream, asyncio.timeout(60):
                processes: set[int] = set()
                while len(processes) < 2:  # each connection goes to one of the two, as the kernel likes
                    await sent(ada, "hello")
                    processes.add((await next_of(stream, "ben"))["process"])


@pytest.mark.slow
async def test_a_process_that_dies_is_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    async with running("--db", str(tmp_path / "app.db"), "--workers", "2") as url, asyncio.timeout(90):
        viewer = await first_sign_in(url)
        seen: list[str] = []
        dead: set[int] = set()
        cursor = ""
        for number in range(4):
            more = {"Last-Event-ID": cursor} if cursor else {}
            async with viewer.stream(**more) as stream:
                process = (await next_of(stream, "clock"))["process"]
                assert process not in dead
                await sent(viewer, f"{number} before")
                while not seen or seen[-1] != f"{number} before":
                    seen.append((await next_of(stream, "ben"))["text"])
                cursor = stream.last_event_id
                assert await post(viewer, "kill", {"process": process}) in (0, 200)
                await stream.ended()
                dead.add(process)
            await sent(viewer, f"{number} after")
            await first_sign_in(url)
        async with viewer.stream(**{"Last-Event-ID": cursor}) as stream:
            seen.append((await next_of(stream, "ben"))["text"])
        assert seen == [f"{number} {when}" for number in range(4) for when in ("before", "after")]


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.parametrize("place", ["db", "redis"])
async def test_a_job_is_read_and_stopped_by_the_other_process_and_lost_with_its_own(
    tmp_path: Path, place: str
) -> None:
    (tmp_path / "files").mkdir()
    for number in range(2_000):  # at 30 ms each
        (tmp_path / "files" / f"{number:04}").write_bytes(b"")
    with contextlib.ExitStack() as stack:
        where = stack.enter_context(RedisServer()).url if place == "redis" else str(tmp_path / "app.db")
        options = (f"--{place}", where, "--folder", str(tmp_path / "files"), "--workers", "2")
        async with running(*options) as url, asyncio.timeout(90):
            viewer = await first_sign_in(url)
            elsewhere = False
            while not elsewhere:  # each connection goes to one of the two, as the kernel likes
                topic = json.loads(await viewer.post("job", {"folder": ""}))["topic"]
                async with contextlib.AsyncExitStack() as readers:
                    streams = [await readers.enter_async_context(viewer.job(topic)) for _ in range(8)]
                    processes = {(await next_of(stream, "total"))["process"] for stream in streams}
                    told = json.loads(await viewer.post("job/stop"))
                    assert told["state"] == "stopped" and len(processes) == 1
                    elsewhere = told["process"] not in processes
                    for stream in streams:
                        assert await stream.ended()
                        assert stream.rest(control=True)[-1].json() == {"reason": "stopped"}
            topic = json.loads(await viewer.post("job", {"folder": ""}))["topic"]
            async with contextlib.AsyncExitStack() as readers:
                streams = [await readers.enter_async_context(viewer.job(topic)) for _ in range(8)]
                process = (await next_of(streams[0], "total"))["process"]
                assert await post(viewer, "kill", {"process": process}) in (0, 200)
                ends = [stream.rest(control=True)[-1:] for stream in streams if await stream.ended()]
            lost = [end[0].json()["reason"] for end in ends if end and end[0].type == "stream-error"]
            assert lost and set(lost) == {"lost"}, "told by the process that lives"
            async with viewer.job(topic) as stream:
                assert await stream.ended()
                assert stream.rest(control=True)[-1].json()["reason"] == "lost", "told later as well"


@pytest.mark.slow
async def test_a_restart_resumes_with_what_was_written_meanwhile(tmp_path: Path) -> None:
    """By the command of docs/demo.md, on the file that the demo has by default."""
    ((_, command, _, _),) = Page(ROOT / "docs" / "demo.md").sessions()
    program, *arguments = shlex.split(command.replace("~/.local/state", str(tmp_path)))
    assert program == "python"
    port = free_port()
    async with running(port=port, home=tmp_path) as url:
        viewer = await first_sign_in(url)
        async with viewer.stream() as stream:
            process = psutil.Process((await next_of(stream, "clock"))["process"])
            sockets = process.net_connections("inet")
            listening = {it.laddr.ip for it in sockets if it.status == psutil.CONN_LISTEN}
            assert listening == {"127.0.0.1"}, "unless it is told otherwise"
            await sent(viewer, "before")
            assert (await next_of(stream, "ada"))["text"] == "before"
            cursor = stream.last_event_id
    publishing = await asyncio.create_subprocess_exec(sys.executable, *arguments)
    assert await publishing.wait() == 0
    async with running(port=port, home=tmp_path) as url:
        viewer = await first_sign_in(url, viewer.name)
        async with viewer.stream(**{"Last-Event-ID": cursor}) as stream:
            while (event := await stream.next_event(control=True)).type != "stream-cursor":
                pass
            assert event.json()["resumed"] is True
            assert await next_of(stream, "ada") == {"from": "ben", "to": "ada", "text": "while you were away"}
        assert await post(viewer, "kill", {"process": 1}) == 404, "nothing would take its place"


@pytest.mark.slow
@pytest.mark.browser
async def test_the_page_survives_the_death_of_its_process(chromium: str, tmp_path: Path) -> None:
    async with running("--db", str(tmp_path / "app.db"), "--workers", "2") as url:
        await first_sign_in(url)
        async with browsing(chromium) as browser:
            tabs = [await browser.open(url) for _ in range(2)]
            for tab in tabs:
                await tab.until("!document.querySelector('[data-do=kill]').hidden")
            before = await tabs[0].until("document.querySelector('#process').textContent")
            await tabs[0].run("document.querySelector('[data-do=kill]').click()")
            await tabs[0].until("document.querySelector('#live-state').dataset.state !== 'open'")
            await tabs[1].run(
                "document.querySelector('article input').value = 'still there?';"
                "document.querySelector('article button').click()"
            )
            for tab in tabs:
                await tab.until(
                    "document.querySelector('.pair').textContent.includes('resumed where it broke')"
                )
                await tab.until(f"document.querySelector('#process').textContent != {before!r}")
            # What failed said so, and can be sent again.
            if await tabs[1].run("document.querySelector('article input').value"):
                await tabs[1].run("document.querySelector('article button').click()")
            for tab in tabs:
                await tab.until("document.querySelector('.pair').textContent.includes('Ada: still there?')")
                assert (
                    await tab.run(
                        "document.querySelector('.pair').textContent.split('Ada: still there?').length"
                    )
                    == 2
                )


@pytest.mark.slow
async def test_a_second_demo_does_not_join_the_workers_of_the_first(tmp_path: Path) -> None:
    port = free_port()
    async with running("--db", str(tmp_path / "a.db"), "--workers", "2", port=port) as url:
        await first_sign_in(url)
        arguments = ["-m", "rx_sse", "demo", "--port", str(port), "--db", str(tmp_path / "b.db")]
        for more in ((), ("--workers", "2")):
            second = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, *more,
                stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            _, said = await second.communicate()
            assert second.returncode == 1 and b"--port 0 takes a free one" in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--workers", "2", "--port", "0"], "several workers share one port"),
        (["--workers", "2", "--memory"], "several workers share their history"),
        (["--workers", "2", "--db", ""], "several workers share their history"),
        (["--redis", "redis://localhost", "--db", "a.db"], "give one of them"),
        (["--port", "http"], "'http' is no port: give a number from 0 to 65535"),
        (["--port", "80800"], "is no port"),
    ],
)
def test_options_that_contradict_each_other_or_are_wrong_are_refused(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECRET, "of this test, and taken back after it")
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert told in capsys.readouterr().err


def test_the_file_is_below_the_users_state_and_none_is_made_where_that_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "relative/and/so/invalid")
    assert default_file() == tmp_path / ".local" / "state" / "rx_sse" / "demo.db"
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert isinstance(make_bus(), rx_sse.MemoryBus)
    assert "no history is kept" in capsys.readouterr().err
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert isinstance(make_bus(), rx_sse.SQLiteBus)
    assert default_file().stat().st_mode & 0o077 == 0, "it is the user's own"
