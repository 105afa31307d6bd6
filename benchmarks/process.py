"""A server while it is measured: started on its core, watched from outside, ended with all that it started.

It may have others beside it: the Redis that it listens to, and the process that publishes there.

Never: it ends a process that it did not start, or looks for one by name.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.machine import pinned

PAGE = os.sysconf("SC_PAGE_SIZE")
LISTEN = "0A"
"""The state of a listening socket in /proc/net/tcp."""


class ServerFailed(Exception):
    """The server did not come up, or went away."""


@dataclass(frozen=True)
class Beside:
    """A process that the server does not start itself.

    Args:
        name: what it is called in the results.
        port: which of the ports it listens on: `feed` or `redis`.
        command: as in `Start`.
    """

    name: str
    port: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Start:
    """How to start a server.

    Args:
        command: with `{port}`, `{feed}` and `{redis}` where the ports go, and `{folder}` for an empty folder
            of its own.
        post: the path that takes events by POST; empty if the feed is lines. It is on the port of the server,
            unless another process publishes.
        files: templates to write into the folder, by name; `{port}` is `PORT` there, and so on.
        beside: what is started before it, in this order, on the client's core.
        workers: processes of `command` on the one port; several have the client's core as well.
        python: its feed answers the line `objects` (servers/lines.py).
    """

    command: tuple[str, ...]
    cwd: Path
    post: str = ""
    files: tuple[tuple[str, str], ...] = ()
    beside: tuple[Beside, ...] = ()
    workers: int = 1
    python: bool = False


@dataclass(frozen=True)
class Memory:
    """Bytes. The kernel's are the whole machine's: both ends of all connections, and what else there is."""

    resident: int
    kernel: int


class Server:
    """A running server. Use it as a context manager.

    Args:
        start: how.
        core: the server's.
        other: the core of the client, and of what stands beside the server.
        folder: an empty one, for its output and its files.
    """

    def __init__(self, start: Start, core: int, other: int, folder: Path) -> None:
        self.port, feed, redis = _free_ports(3)
        self.feed = self.port if start.post and not start.beside else feed
        self.post = start.post
        self.beside: dict[str, int] = {}
        self._start = start
        self._cores = ({core} if start.workers == 1 else {core, other}, {other})
        self._log = folder / "output.txt"
        self._values = {"port": self.port, "feed": feed, "redis": redis, "folder": folder}
        self._servers: list[subprocess.Popen[bytes]] = []
        self._besides: list[subprocess.Popen[bytes]] = []
        for name, template in start.files:
            for placeholder, value in self._values.items():
                template = template.replace(placeholder.upper(), str(value))
            (folder / name).write_text(template, "utf-8")

    def __enter__(self) -> Self:
        start, (own, other) = self._start, self._cores
        try:
            for each in start.beside:
                self._besides.append(self._run(each.command, other))
                self.beside[each.name] = self._besides[-1].pid
                self._await_port(int(str(self._values[each.port])))
            for _ in range(start.workers):
                self._servers.append(self._run(start.command, own))
            self._await_port(self.port, start.workers)
            self._await_port(self.feed)
            self.settle(5)  # nginx listens before it has its worker; the others compile
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def pids(self) -> list[int]:
        """The server's processes and everything in their process groups."""
        return _members(self._servers)

    def memory(self) -> Memory:
        """What the server holds now, shared pages divided among those who share them."""
        resident = 0
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8").splitlines():
                if line.startswith("Pss:"):
                    resident += int(line.split()[1]) * 1024
        kernel = 0
        for line in Path("/proc/meminfo").read_text("utf-8").splitlines():
            if line.startswith("Slab:"):
                kernel += int(line.split()[1]) * 1024
        for line in Path("/proc/net/sockstat").read_text("utf-8").splitlines():
            if line.startswith("TCP:"):
                kernel += int(line.split()[-1]) * PAGE
        return Memory(resident, kernel)

    def objects(self) -> int | None:
        """How many objects Python's collector tracks in it, after a collection; None if it is no Python."""
        if not self._start.python:
            return None
        with (
            socket.create_connection(("127.0.0.1", self.feed), timeout=30) as feed,
            feed.makefile("rb") as answer,
        ):
            feed.sendall(b"objects\n")
            return int(answer.readline())

    def settle(self, limit: float = 15.0) -> None:
        """Wait until the server has nothing left to do: what it clears up is not the next run's."""
        until = time.monotonic() + limit
        before = self._cpu()
        while time.monotonic() < until:
            time.sleep(0.1)
            now = self._cpu()
            if now - before < 0.01:
                return
            before = now

    def output(self) -> str:
        """What it printed."""
        return self._log.read_text("utf-8", "replace")

    def alive(self) -> bool:
        """Whether all of it still runs."""
        return all(each.poll() is None for each in (*self._servers, *self._besides))

    def stop(self) -> None:
        """End it, and then what stands beside it: politely, then not."""
        for process in (*self._servers, *reversed(self._besides)):
            _end(process)

    def _run(self, command: Sequence[str], cores: set[int]) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log, pinned(*cores):
            return subprocess.Popen(
                [part.format_map(self._values) for part in command],
                cwd=self._start.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _cpu(self) -> float:
        # The clock of another process, in the kernel's encoding: Python does not wrap clock_getcpuclockid(3).
        total = 0.0
        for pid in self.pids():
            try:
                total += time.clock_gettime((~pid << 3) | 2)
            except OSError:
                continue
        return total

    def _await_port(self, port: int, listeners: int = 1) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until and self.alive():
            if _listeners(port) >= listeners:
                return
            time.sleep(0.05)
        tail = "\n".join(self.output().splitlines()[-6:])
        raise ServerFailed(f"did not come up: {tail or 'it printed nothing'}")


def _members(processes: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """All that is in the process groups of these, their leaders."""
    leaders = {process.pid for process in processes}
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text("utf-8").rpartition(")")[2].split()
            except OSError:  # gone meanwhile
                continue
            if int(fields[2]) in leaders and fields[0] != "Z":
                found.append(int(entry.name))
    return sorted(found)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its group."""
    for number, patience in ((signal.SIGTERM, 4.0), (signal.SIGKILL, 4.0)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(patience)
            if not _members([process]):
                break
        except subprocess.TimeoutExpired:
            continue


def _listeners(port: int) -> int:
    """How many sockets listen on a port."""
    count = 0
    for table in Path("/proc/net").glob("tcp*"):  # tcp6 is not there where IPv6 is off
        for line in table.read_text("utf-8").splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            count += state == LISTEN and local.endswith(f":{port:04X}")
    return count


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
