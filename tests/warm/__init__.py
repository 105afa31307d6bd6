"""Python programs that start at once, because the library is imported already.

Half a second of every `python -m rx_sse …` is imports. Tests that start many of such programs put the words
of `interpreter` where `sys.executable` would stand: a small program (`start`) that hands its arguments,
environment, folder and standard streams to a process that has imported everything (`parent`), which forks.
The fork is an ordinary process: it receives the signals of the small program, and that one ends as it does.

Not for: a test of imports or of start-up, and not for `-c`, `-X` and the other options of Python. Only where
the system has `pidfd_open`; elsewhere the words are those of an ordinary Python.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


@cache
def interpreter() -> tuple[str, ...]:
    """The words that stand for Python; behind them `-W error`, `-m module` or a script, and arguments."""
    if not hasattr(os, "pidfd_open"):
        return (sys.executable,)
    folder = tempfile.TemporaryDirectory(prefix="rx_sse_warm_")
    address = str(Path(folder.name) / "socket")
    command = [sys.executable, "-u", "-m", "tests.warm.parent", address]
    parent = subprocess.Popen(command, cwd=HERE.parent.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdin is not None and parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    atexit.register(folder.cleanup)
    atexit.register(parent.wait)
    atexit.register(parent.stdin.close)  # it ends with its input
    return (sys.executable, "-I", "-S", str(HERE / "start.py"), address)
