"""Several processes on one port: when one dies, another replaces it.

Never: a worker that cannot start is restarted for ever; its last error is the demo's.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Sequence

PAUSE = 0.3
"""Seconds until a dead worker is replaced."""
DONE = (0, 1, 2)
"""Exit statuses of a worker that ended by itself, after reporting why."""


def probe(host: str, port: int) -> None:
    """Check that the port is free: processes that share a port would join those of another demo.

    Raises:
        OSError: it is in use, or there is no such address.
    """
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)


async def supervise(command: Sequence[str], count: int) -> int:
    """Run `count` workers until SIGINT or SIGTERM; returns the exit status.

    Args:
        command: the command of a worker.
        count: the number of workers.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return max(await asyncio.gather(*(_kept(command, stop) for _ in range(count))))


async def _kept(command: Sequence[str], stop: asyncio.Event) -> int:
    """Run one worker after another."""
    stopping = asyncio.create_task(stop.wait())
    while not stop.is_set():
        worker = await asyncio.create_subprocess_exec(*command)
        waiting = asyncio.create_task(worker.wait())
        await asyncio.wait([waiting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if worker.returncode is None:
            worker.terminate()
        status = await waiting
        if status in DONE:
            stop.set()
            return status
        if not stop.is_set():
            cause = signal.Signals(-status).name if status < 0 else f"status {status}"
            print(f"rx_sse: process {worker.pid} died ({cause}); another one starts", file=sys.stderr)
            await asyncio.wait([stopping], timeout=PAUSE)
    return 0
