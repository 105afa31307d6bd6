"""The command line of a benchmark that is made of tasks, each of which prints a table.

Every task is called with the parsed arguments: `rounds`, and those that the benchmark has added.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

Task = Callable[[argparse.Namespace], Coroutine[Any, Any, None]]


def parser_of(module: str, description: str | None, tasks: Mapping[str, Task]) -> argparse.ArgumentParser:
    """The parser of ``python -m <module> [TASK ...]``."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(tasks)}; all")
    parser.add_argument("--rounds", type=int, default=3, help="%(default)s")
    return parser


def run(parser: argparse.ArgumentParser, arguments: Sequence[str], tasks: Mapping[str, Task]) -> int:
    """Run the tasks that the arguments name; the exit code."""
    given = parser.parse_args(arguments)
    if unknown := set(given.tasks) - set(tasks):
        parser.error(f"no such task: {', '.join(sorted(unknown))}")
    print(f"SQLite {sqlite3.sqlite_version}, Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    for name in given.tasks or tasks:
        print()
        begin = time.monotonic()
        asyncio.run(tasks[name](given))
        print(f"({time.monotonic() - begin:.0f} s)")
    return 0
