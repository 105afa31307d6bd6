"""A server while it is measured: started on its core, watched from outside, ended with all that it started.

Never: it ends a process that it did not start, or looks for one by name.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.machine import pinned

PAGE = os.sysconf("SC_PAGE_SIZE")


class ServerFailed(Exception):
    """The server did not come up, or went away."""


@dataclass(frozen=True)
class Start:
    """How to start a server.

    Args:
        command: with `{port}` and `{feed}` where the ports go, and `{folder}` for an empty folder of its own.
        post: the path that takes events by POST on the same port; empty if lines go to the feed's port.
        files: templates to write into the folder, by name; `{port}` and `{folder}` as `PORT` and `FOLDER`.
    """

    command: tuple[str, ...]
    cwd: Path
    post: str = ""
    files: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Memory:
    """Bytes. The kernel's are the whole machine's: both ends of all connections, and what else there is."""

    resident: int
    kernel: int


class Server:
    """A running server. Use it as a context manager."""

    def __init__(self, start: Start, core: int, folder: Path) -> None:
        self.port, feed = _free_ports(2)
        self.feed = self.port if start.post else feed
        self.post = start.post
        self._log = folder / "output.txt"
        values = {"port": str(self.port), "feed": str(feed), "folder": str(folder)}
        for name, template in start.files:
            text = template.replace("PORT", str(self.port)).replace("FOLDER", str(folder))
            (folder / name).write_text(text, "utf-8")
        command = [part.format_map(values) for part in start.command]
        with self._log.open("wb") as log, pinned(core):
            self._process = subprocess.Popen(
                command,
                cwd=start.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        try:
            for port in {self.port, self.feed}:
                self._await_port(port)
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
        """The server and everything in its process group."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text("utf-8").rpartition(")")[2].split()
                except OSError:  # gone meanwhile
                    continue
                if int(fields[2]) == self._process.pid and fields[0] != "Z":
                    found.append(int(entry.name))
        return sorted(found)

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
        """Whether it still runs."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End it: politely, then not."""
        for number, patience in ((signal.SIGTERM, 4.0), (signal.SIGKILL, 4.0)):
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                break
            try:
                self._process.wait(patience)
                if not self.pids():
                    break
            except subprocess.TimeoutExpired:
                continue

    def _cpu(self) -> float:
        # The clock of another process, in the kernel's encoding: Python does not wrap clock_getcpuclockid(3).
        total = 0.0
        for pid in self.pids():
            try:
                total += time.clock_gettime((~pid << 3) | 2)
            except OSError:
                continue
        return total

    def _await_port(self, port: int) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if not self.alive():
                break
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        tail = "\n".join(self.output().splitlines()[-6:])
        raise ServerFailed(f"did not come up: {tail or 'it printed nothing'}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
