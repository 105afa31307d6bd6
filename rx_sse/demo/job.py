"""A real job with progress: the SHA-256 of every file below a folder.

It is a run, so it continues independently of any request: a page that is reloaded, opened a second time, or
served by another process reads it from its beginning, and may stop it. A topic of the viewer names the newest
run.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path

import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.demo.body import fields, new_key
from rx_sse.demo.history import TTL

MOST_FILES = 2_000
LEASE = 3.0
"""Seconds after which the job of a dead process is lost."""


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_below(folder: Path) -> Iterator[tuple[Path, int]]:
    """Regular files and their sizes; links are not followed."""
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(root, name)
            if path.is_file() and not path.is_symlink():
                yield path, path.stat().st_size


async def hashing(folder: Path, pause: float = 0.0) -> AsyncIterator[rx_sse.ServerSentEvent]:
    """The events of a job: `total` first, then a `progress` for each file, then `done`. Each holds all that a
    bar needs, so that a page which begins in the middle can draw it.
    """
    begun = time.monotonic()
    found = await asyncio.to_thread(lambda: list(islice(files_below(folder), MOST_FILES)))
    files, total, process = len(found), sum(size for _, size in found), os.getpid()
    yield rx_sse.ServerSentEvent({"files": files, "bytes": total, "process": process}, event="total")
    done = 0
    for number, (path, size) in enumerate(found, 1):
        await asyncio.sleep(pause)
        try:
            sha256 = await asyncio.to_thread(digest, path)
        except OSError as error:
            sha256 = error.strerror or "unreadable"
        done += size
        at = {"number": number, "files": files, "bytes": done, "of": total, "process": process}
        progress = {"file": str(path.relative_to(folder)), "sha256": sha256, **at}
        yield rx_sse.ServerSentEvent(progress, event="progress")
    took = {"files": files, "seconds": round(time.monotonic() - begun, 3)}
    yield rx_sse.ServerSentEvent(took, event="done")


def topic_of(viewer: str) -> str:
    """The topic that announces a viewer's new jobs."""
    return rx_sse.topic_name("job", viewer)


def run_of(viewer: str) -> str:
    """The name of a viewer's job as a run."""
    return f"job:{viewer}"


class Jobs:
    """The job of each viewer: one at a time, in the process that got the request.

    Args:
        bus: stores the runs and the topics.
        auth: reads a viewer's token.
        root: the folder that may be read, with what is below it.
        pause: seconds between two files, so that there is something to watch.
    """

    def __init__(self, bus: rx_sse.Bus, auth: rx_sse.JWTAuth, root: Path, pause: float = 0.0) -> None:
        self._bus = bus
        self._auth = auth
        self._root = root.resolve()
        self._pause = pause

    def add_to(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_post("/viewers/{viewer}/job", self.start)
        app.router.add_post("/viewers/{viewer}/job/stop", self.stop)
        app.router.add_get("/viewers/{viewer}/job/{topic}", rx_sse.sse(auth=self._auth)(self.stream))

    async def start(self, request: web.Request) -> web.Response:
        """Hash the files of a folder; the job that this viewer had is stopped."""
        viewer = (await self._auth(request)).user
        (wanted,) = await fields(request, "folder")
        folder = await asyncio.to_thread(_folder, self._root, str(wanted))
        name = run_of(viewer)
        before = await self._bus.find_run(name)
        if before is not None and before.state == "running":
            await self._bus.stop(name, "another job")
        run = await self._bus.run(
            name, lambda: hashing(folder, self._pause), restart=True, ttl=TTL, lease=LEASE
        )
        told = {"topic": run.topic, "folder": str(folder)}
        await self._bus.publish(topic_of(viewer), {**told, "key": new_key()}, event="job")
        return web.json_response(told)

    async def stream(self, request: web.Request) -> rx.Observable[rx_sse.ServerSentEvent]:
        """A job from its beginning, or from the reader's last event, to its end."""
        topic = request.match_info["topic"]
        found = await self._bus.find_run(run_of(rx_sse.principal(request).user))
        if found is None or found.topic != topic:
            raise web.HTTPNotFound(text=f"{topic[:200]!r} is not the newest job of this viewer")
        return self._bus.events(topic, after=rx_sse.last_event_id(request))

    async def stop(self, request: web.Request) -> web.Response:
        """Stop a viewer's job, in any process."""
        viewer = (await self._auth(request)).user
        if await self._bus.find_run(run_of(viewer)) is None:
            raise web.HTTPNotFound(text="this viewer has no job")
        found = await self._bus.stop(run_of(viewer))
        return web.json_response({"state": found.state, "process": os.getpid()})


def _folder(root: Path, text: str) -> Path:
    """The requested folder, if it is the root or below it; links lead nowhere else."""
    try:
        folder = (root / text).resolve()
        if folder.is_relative_to(root) and folder.is_dir():
            return folder
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, or a NUL character
        pass
    raise web.HTTPNotFound(text=f"{text[:200]!r} is no folder in {root}, the one that --folder lets be read")
