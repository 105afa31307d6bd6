"""Ports for programs that a test starts, and that cannot tell which one they got."""

from __future__ import annotations

import os
import random
import socket

FIRST, EACH, WORKERS = 12_000, 600, 17
"""Each worker of a run has ports of its own. All are below those that Linux gives to a program that asks for
any (32,768 and up), so nobody gets one by chance before it is used; and so is the port 10,000 above, which a
node of a Redis cluster needs."""

_begin = FIRST + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % WORKERS * EACH
_last = random.randrange(EACH)  # of two runs at once, each begins elsewhere


def free_port() -> int:
    """A port at which nothing listens."""
    global _last
    for _ in range(EACH):
        _last = (_last + 1) % EACH
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", _begin + _last))
            except OSError:
                continue
            return _begin + _last
    raise RuntimeError(f"none of the ports {_begin} to {_begin + EACH - 1} is free")
