"""The storage of the demo's history: a file of the user's, so that a restart resumes.

Standard: XDG Base Directory Specification 0.8 (`XDG_STATE_HOME`: state that is kept between restarts).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import rx_sse

HISTORY = 1_000
"""Entries that a topic keeps."""
TTL = 86_400.0
"""Seconds that they are kept."""


def default_file() -> Path:
    """The file without ``--db``."""
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Application Support"
    else:
        # A relative path is invalid, and to be ignored.
        given = Path(os.environ.get("XDG_STATE_HOME", ""))
        folder = given if given.is_absolute() else Path.home() / ".local" / "state"
    return folder / "rx_sse" / "demo.db"


def make_bus(*, redis: str | None = None, db: str | None = None) -> rx_sse.Bus:
    """The bus of the demo's topics.

    Args:
        redis: URL of a Redis.
        db: a file; "" for none, so that a restart loses the history; if None, the user's own file, or, where
            it cannot be created, none, with a message on standard error.
    """
    if redis:
        return rx_sse.RedisBus(redis)
    if db is None:
        db = str(file := default_file())
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o600)
        except OSError as error:
            print(f"rx_sse: no history is kept: {file}: {error.strerror}", file=sys.stderr)
            db = ""
    return rx_sse.SQLiteBus(db, history=HISTORY, ttl=TTL) if db else rx_sse.MemoryBus(history=HISTORY)
