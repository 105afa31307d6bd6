"""A real job with progress: the SHA-256 of every file below a folder.

It runs apart from any request and publishes into its viewer's topic, so a page that was hidden, or lost its
connection, finds its place again.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from aiohttp import web

import rx_sse
from rx_sse.demo.body import fields, new_key

MOST_FILES = 2_000
BLOCK = 1024 * 1024


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


async def hashing(folder: Path, pause: float = 0.0) -> AsyncIterator[tuple[str, dict[str, object]]]:
    """The name and the data of each event: `total` first, then a `progress` for each file, then `done`. Each
    holds all that a bar needs, so that a page which begins in the middle can draw it.
    """
    begun = time.monotonic()
    found = await asyncio.to_thread(lambda: list(islice(files_below(folder), MOST_FILES)))
    total = sum(size for _, size in found)
    yield "total", {"files": len(found), "bytes": total}
    done = 0
    for number, (path, size) in enumerate(found, 1):
        await asyncio.sleep(pause)
        try:
            sha256 = await asyncio.to_thread(digest, path)
        except OSError as error:
            sha256 = error.strerror or "unreadable"
        done += size
        name = str(path.relative_to(folder))
        yield (
            "progress",
            {
                "file": name,
                "sha256": sha256,
                "number": number,
                "files": len(found),
                "bytes": done,
                "of": total,
            },
        )
    yield "done", {"files": len(found), "seconds": round(time.monotonic() - begun, 3)}


def topic_of(viewer: str) -> str:
    """Where a viewer's job publishes."""
    return rx_sse.topic_name("job", viewer)


class Jobs:
    """The job of each viewer: one at a time.

    Args:
        bus: has the topics.
        auth: reads a viewer's token.
        root: the folder that may be read, with what is below it.
        pause: seconds between two files, so that there is something to watch.
    """

    def __init__(self, bus: rx_sse.Bus, auth: rx_sse.JWTAuth, root: Path, pause: float = 0.0) -> None:
        self._bus = bus
        self._auth = auth
        self._root = root.resolve()
        self._pause = pause
        self._running: dict[str, asyncio.Task[None]] = {}

    def add_to(self, app: web.Application) -> None:
        """Add the route; what still runs is cancelled at the shutdown, while the bus is there."""
        app.router.add_post("/viewers/{viewer}/job", self.start)
        app.on_shutdown.append(self._stop)

    async def start(self, request: web.Request) -> web.Response:
        """Hash the files of a folder; the job that this viewer had is given up."""
        viewer = (await self._auth(request)).user
        (wanted,) = await fields(request, "folder")
        folder = await asyncio.to_thread(_folder, self._root, str(wanted))
        if (before := self._running.get(viewer)) is not None:
            before.cancel()
        task = asyncio.create_task(self._run(topic_of(viewer), folder))
        self._running[viewer] = task
        task.add_done_callback(partial(self._ended, viewer))
        return web.json_response({"folder": str(folder)})

    async def _run(self, topic: str, folder: Path) -> None:
        async for event, data in hashing(folder, self._pause):
            await self._bus.publish(topic, {**data, "key": new_key()}, event=event)

    def _ended(self, viewer: str, task: asyncio.Task[None]) -> None:
        if self._running.get(viewer) is task:
            del self._running[viewer]
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "a job of the demo failed", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)

    async def _stop(self, _: web.Application) -> None:
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _folder(root: Path, text: str) -> Path:
    """The folder that was asked for, if it is the root or below it; links lead nowhere else."""
    try:
        folder = (root / text).resolve()
        if folder.is_relative_to(root) and folder.is_dir():
            return folder
    except (OSError, RuntimeError, ValueError):  # too long, a loop of links, or a NUL in it
        pass
    raise web.HTTPNotFound(text=f"{text[:200]!r} is no folder in {root}, the one that --folder lets be read")
