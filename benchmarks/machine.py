"""What the numbers were taken on, and how a run gets its share of it.

Never: it changes anything beyond this process and the children it starts.
"""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WANTED_FILES = 65_536
"""Open files that 10,000 streams, an event loop and its surroundings are sure to fit into."""


def cores() -> tuple[int, int]:
    """The server's core and the client's: the first and the last that we may use, perhaps the same."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


@contextmanager
def pinned(*cores: int) -> Iterator[None]:
    """Children started inside run on these cores alone, with all their threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def raise_files() -> int:
    """Raise the limit of open files as far as we may, for us and our children; returns what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limits in ((WANTED_FILES, max(hard, WANTED_FILES)), (min(hard, WANTED_FILES), hard)):
        if limits[0] <= soft:
            continue
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            return limits[0]
        except (ValueError, OSError):  # the hard limit is not ours to raise
            continue
    return soft


def describe() -> dict[str, str]:
    """The machine, in words for the report."""
    model, memory = platform.processor() or platform.machine(), ""
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    for line in Path("/proc/meminfo").read_text("utf-8").splitlines():
        if line.startswith("MemTotal"):
            memory = f"{int(line.split()[1]) / 2**20:.0f} GiB"
    return {
        "processor": f"{model}, {len(os.sched_getaffinity(0))} cores",
        "memory": memory,
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }
