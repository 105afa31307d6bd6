"""The load client: compiled on the spot, run on its core, its one line of JSON read back.

Why in C: it must not be the bottleneck. An event that comes alone costs it a `recv`, what the floor pays to
send it; when events come in numbers, as they do under load, it reads one in 0.2 µs.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.machine import pinned

FOLDER = Path(__file__).resolve().parent
FLAGS = ("-O2", "-std=gnu11", "-Wall", "-Wextra")
Report = dict[str, Any]


class Target(Protocol):
    """What the client is pointed at."""

    port: int
    feed: int
    post: str

    @property
    def beside(self) -> Mapping[str, int]:
        """Processes between the feed and the server, by name: their CPU time is counted for itself."""
        ...

    def pids(self) -> list[int]:
        """The processes whose CPU time is counted."""
        ...


class RunFailed(Exception):
    """The client could not do what it was asked for: no connection, no ids, out of time."""


def compile_c(sources: list[Path], headers: list[Path], name: str, cache: Path) -> Path:
    """A program from C sources, made anew only when they change."""
    compiler = next((found for each in ("cc", "gcc", "clang") if (found := shutil.which(each))), None)
    if compiler is None:
        raise RunFailed(
            "no C compiler: the load client needs cc, gcc or clang (Debian: apt-get install gcc libc6-dev)"
        )
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources + headers))).hexdigest()[
        :12
    ]
    program = cache / f"{name}-{digest}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        part = program.with_suffix(".part")
        done = subprocess.run(
            [compiler, *FLAGS, "-o", str(part), *map(str, sources)], capture_output=True, text=True
        )
        if done.returncode:
            raise RunFailed(f"the load client does not compile:\n{done.stderr}")
        part.rename(program)
    return program


def compile_client(cache: Path) -> Path:
    """The load client."""
    folder = FOLDER / "load"
    return compile_c(sorted(folder.glob("*.c")), sorted(folder.glob("*.h")), "client", cache)


@dataclass(frozen=True)
class Client:
    """How to run the load client."""

    program: Path
    core: int

    def run(self, server: Target, path: str, **options: object) -> list[Report]:
        """One run, from connecting to leaving; the client's reports in order."""
        with self.start(server, path, **options) as process:
            output, errors = process.communicate(timeout=float(str(options.get("limit", 60))) + 15)
        return _reports(output, errors)

    def hold(
        self, server: Target, path: str, seconds: float, connected: Any, pause: float = 1.0, **options: object
    ) -> list[Report]:
        """Connect, call `connected()` after a `pause` in seconds, hold the streams for `seconds`, leave."""
        with self.start(server, path, mode="open", **options) as process:
            assert process.stdin is not None and process.stdout is not None
            first = process.stdout.readline()
            if '"connected"' in first:
                time.sleep(pause)
                connected()
                time.sleep(seconds)
            output, errors = process.communicate(timeout=30)
        return _reports(first + output, errors)

    @contextmanager
    def start(self, server: Target, path: str, **options: object) -> Iterator[subprocess.Popen[str]]:
        """The client, running; ended when the block ends."""
        pids = ",".join(map(str, server.pids()))
        given = {
            "port": server.port,
            "feed": server.feed,
            "post": server.post,
            "path": path,
            "pids": pids,
            "beside": ",".join(f"{name}:{pid}" for name, pid in server.beside.items()),
            **options,
        }
        command = [str(self.program), *(f"{name}={value}" for name, value in given.items())]
        pipe = subprocess.PIPE
        with pinned(self.core):
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


def _reports(output: str, errors: str) -> list[Report]:
    reports: list[Report] = [json.loads(line) for line in output.splitlines()]
    if not reports:
        raise RunFailed(f"the load client said nothing: {errors.strip() or 'it was ended'}")
    if "error" in (last := reports[-1]):
        raise RunFailed(
            f"{last['error']} ({last['ready']} connected, {last['failed']} refused, {last['closed']} closed)"
        )
    return reports
