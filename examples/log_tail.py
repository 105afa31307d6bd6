"""`tail -f` in the browser: it resumes at the byte where it broke, and follows a file that is rotated.

An event is a line, its id the file's inode and the offset behind the line. Who comes back with it goes on
right there; when the file was replaced meanwhile, the new one is read from its beginning. No history is kept
anywhere: the file is the history. Without a file it follows its own log, so that reloading the page shows a
line.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import loopback
from aiohttp import web

import rx_sse

PAGE = """<!doctype html><meta charset=utf-8><title>A log</title><link rel=icon href="data:,">
<p>Lines written to the file appear here. Stop the server, write, start it again: no line is missing.</p>
<pre></pre>
<script type=module>
import { stream } from "/rx_sse.js";

const shown = document.querySelector("pre"), source = stream("/tail");  // one for all tabs; a reload resumes
const show = text => { shown.append(text + "\\n"); scrollTo(0, document.body.scrollHeight); };
source.addEventListener("message", event => show(event.data));
source.addEventListener("rotated", event => show(`-- ${event.data} --`));
</script>"""

POLL = 0.25
LONGEST = 64 * 1024
"""Bytes of a line; a longer one comes in pieces."""
PLACE = re.compile(r"(\d{1,20})-(\d{1,20})")


async def lines(path: Path, last: str | None) -> AsyncIterator[rx_sse.ServerSentEvent]:
    """The lines of a file from where `last` points, else from its end, for ever."""
    place = PLACE.fullmatch(last or "")
    inode, offset = (int(place[1]), int(place[2])) if place else (-1, -1)
    while True:
        status = await asyncio.to_thread(os.stat, path)
        if inode == -1:
            inode, offset = status.st_ino, status.st_size
        elif status.st_ino != inode or status.st_size < offset:  # rotated, or cut
            inode, offset = status.st_ino, 0
            yield rx_sse.ServerSentEvent("the file begins again", event="rotated", id=f"{inode}-0")
        for line in await asyncio.to_thread(read, path, offset):
            offset += len(line)
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            yield rx_sse.ServerSentEvent(text, id=f"{inode}-{offset}")
        await asyncio.sleep(POLL)


def read(path: Path, offset: int) -> list[bytes]:
    """Whole lines from an offset on, at most 1 MB of them."""
    with path.open("rb") as file:
        file.seek(offset)
        block = file.read(1024 * 1024)
    whole = block[: block.rfind(b"\n") + 1] or (block if len(block) >= LONGEST else b"")
    return re.findall(rb"[^\n]*\n|[^\n]+\Z", whole)


def make_app(path: Path) -> web.Application:
    """An application that shows one file."""

    @rx_sse.sse
    def tail(request: web.Request) -> AsyncIterator[rx_sse.ServerSentEvent]:
        return lines(path, rx_sse.last_event_id(request).value)

    app = rx_sse.setup(web.Application(middlewares=[loopback.guard]), retry=1000)
    app.router.add_get("/tail", tail)
    app.router.add_get("/", loopback.page(PAGE))
    return app


def own_log() -> Path:
    """A new file that this program's own log goes to."""
    descriptor, name = tempfile.mkstemp(prefix="log_tail-", suffix=".log")
    os.close(descriptor)
    logging.basicConfig(filename=name, level=logging.INFO, format="%(asctime)s %(message)s")
    return Path(name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Show a file in the browser, as tail -f does.")
    parser.add_argument("file", type=Path, nargs="?", help="a log; without it, this program's own")
    given: Path | None = parser.parse_args().file
    if given is not None and not given.is_file():
        parser.error(f"{given} is not a file")
    loopback.run(make_app(given or own_log()))
