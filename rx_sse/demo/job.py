"""A real job with progress: the SHA-256 of every file below a folder."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path

from rx_sse.errors import StreamError
from rx_sse.wire import ServerSentEvent

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


async def hashing(folder: Path) -> AsyncIterator[ServerSentEvent]:
    """One `progress` event a file, and `total` at the beginning; the stream ends with the job.

    Raises:
        StreamError: the folder is none.
    """
    if not await asyncio.to_thread(folder.is_dir):
        raise StreamError(f"{folder} is not a folder on this machine", title="No such folder", status=404)
    found = await asyncio.to_thread(lambda: list(islice(files_below(folder), MOST_FILES)))
    total = sum(size for _, size in found)
    yield ServerSentEvent({"files": len(found), "bytes": total}, event="total")
    done = 0
    for number, (path, size) in enumerate(found, 1):
        try:
            sha256 = await asyncio.to_thread(digest, path)
        except OSError as error:
            sha256 = error.strerror or "unreadable"
        done += size
        yield ServerSentEvent(
            {"file": str(path.relative_to(folder)), "sha256": sha256, "number": number, "bytes": done},
            event="progress",
        )
