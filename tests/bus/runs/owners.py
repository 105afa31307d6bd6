"""The owner of a run in a process of its own: started, frozen."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import closing

from ...conftest import ROOT


async def owner(where: str, prefix: str, lease: float) -> Process:
    """A process that owns the run "job", which has an entry by now."""
    command = (sys.executable, "-m", "tests.bus.runs.owner_process", where, prefix, str(lease))
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE)
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"running\n"
    return process


async def freeze(process: Process, where: str) -> None:
    """Stop a process; not inside a transaction, where it would lock the file for all processes."""
    while True:
        process.send_signal(signal.SIGSTOP)
        if "://" in where:
            return
        try:
            with closing(sqlite3.connect(where, timeout=1.0, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                other.execute("ROLLBACK")
            return
        except sqlite3.OperationalError:
            process.send_signal(signal.SIGCONT)
            await asyncio.sleep(0.05)


async def thawed(process: Process) -> None:
    """Let it go on, until it has said that its source was closed, and has ended."""
    process.send_signal(signal.SIGCONT)
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 15) == b"closed\n"
    await asyncio.wait_for(process.wait(), 15)
