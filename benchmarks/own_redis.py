"""A Redis server of a benchmark's own, behind a unix socket."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import peers

PATIENCE = 10.0
"""Seconds that it has to start, and to end."""


@contextmanager
def own_redis() -> Iterator[str]:
    """Its URL.

    Raises:
        peers.Unavailable: there is none, or it does not start.
    """
    program = peers.redis()
    with tempfile.TemporaryDirectory(prefix="rx_sse_bench_") as folder:
        socket = Path(folder) / "redis.sock"
        command = [program, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until = time.monotonic() + PATIENCE
            while not socket.exists():
                if server.poll() is not None or time.monotonic() > until:
                    raise peers.Unavailable(f"{program} does not start")
                time.sleep(0.02)
            yield f"unix://{socket}"
        finally:
            server.terminate()
            server.wait(PATIENCE)
