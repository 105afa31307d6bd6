"""Who runs: the floor, rx_sse in its ways of publishing, the peers as their own documentation writes them."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from benchmarks import load, peers
from benchmarks.process import Beside, Start

SERVERS = peers.SERVERS
EVERYBODY = frozenset({"broadcast", "users", "connect", "idle", "slow"})


@dataclass(frozen=True)
class Ready:
    """A contestant that can start."""

    version: str
    start: Start


Prepare = Callable[[Path], Ready]


@dataclass(frozen=True)
class Contestant:
    """One row of the tables.

    Args:
        name: as the tables call it.
        kind: whether it is ours.
        tasks: the names of the tasks it can do.
        prepare: installs what is missing, in the cache folder it is given. Raises `peers.Unavailable`.
        paths: where a task's stream is, if not at `/events`. (A user's is at `/users/%d`.)
    """

    name: str
    kind: Literal["floor", "ours", "peer"]
    tasks: frozenset[str]
    prepare: Prepare
    paths: Mapping[str, str] = field(default_factory=dict[str, str])

    def path(self, task: str) -> str:
        """Where the stream for `task` is."""
        return self.paths.get(task, "/events")


def _floor(cache: Path) -> Ready:
    program = load.compile_c([SERVERS / "floor.c"], [], "floor", cache)
    return Ready("C, one epoll loop", Start((str(program), "{port}", "{feed}"), cache))


def _installed(*names: str) -> str:
    try:
        return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    except importlib.metadata.PackageNotFoundError as missing:
        raise peers.Unavailable(f"{missing.name} is not installed here") from missing


def _aiohttp_write(cache: Path) -> Ready:
    # In our environment, not the peers': it must stand on the same aiohttp as we do.
    command = (sys.executable, str(SERVERS / "aiohttp_write_server.py"), "{port}", "{feed}")
    return Ready(_installed("aiohttp", "uvloop"), Start(command, cache, python=True))


def _ours(way: str, loop: str = "uvloop") -> Prepare:
    def prepare(cache: Path) -> Ready:
        text = _installed("rx-sse", "aiohttp", "reactivex", *(["uvloop"] if loop == "uvloop" else []))
        command = (sys.executable, str(SERVERS / "rx_sse_server.py"), "{port}", "{feed}", way, loop)
        return Ready(text, Start(command, cache, python=True))

    return prepare


def _python(script: str, *packages: str) -> Prepare:
    def prepare(cache: Path) -> Ready:
        interpreter = peers.python(cache)
        pins = dict(
            line.split("==")
            for line in (SERVERS / "requirements.txt").read_text("utf-8").split()
            if "==" in line
        )
        version = ", ".join(f"{name} {pins[name]}" for name in packages)
        command = (str(interpreter), str(SERVERS / script), "{port}", "{feed}")
        return Ready(version, Start(command, cache, python=True))

    return prepare


def _over_redis(contestant: Prepare, script: str, publish: str, workers: int = 1) -> Prepare:
    """Two processes, or more, with a Redis between them: `script` streams, and publishes as `publish`.

    Args:
        contestant: brings the interpreter and the versions.
    """

    def prepare(cache: Path) -> Ready:
        redis = peers.redis()
        ready = contestant(cache)
        interpreter, path = ready.start.command[0], str(SERVERS / script)
        url = "redis://127.0.0.1:{redis}"
        beside = (
            Beside("redis", "redis", (redis, "--port", "{redis}", *REDIS)),
            Beside("publisher", "feed", (interpreter, path, publish, url, "{feed}")),
        )
        command = (interpreter, path, "stream", url, "{port}")
        return Ready(
            f"{ready.version}, {peers.redis_version(redis)}",
            replace(ready.start, command=command, beside=beside, workers=workers, python=False),
        )

    return prepare


def _node(script: str, *packages: str, arguments: tuple[str, ...] = ()) -> Prepare:
    def prepare(cache: Path) -> Ready:
        folder = peers.node(cache)
        pins = json.loads((SERVERS / "package.json").read_text("utf-8"))["dependencies"]
        version = ", ".join(f"{name} {pins[name]}" for name in packages) or "node:http"
        return Ready(version, Start(("node", script, "{port}", "{feed}", *arguments), folder))

    return prepare


def _go(cache: Path) -> Ready:
    program, version = peers.go(cache)
    return Ready(f"Go {version}", Start((str(program), "{port}", "{feed}"), cache))


def _nchan(cache: Path) -> Ready:
    module = peers.nchan(cache)
    template = (SERVERS / "nchan_server.conf").read_text("utf-8").replace("MODULE", str(module))
    command = (peers.nginx(), "-c", "{folder}/nginx.conf", "-p", "{folder}")
    start = Start(command, cache, post="/pub?key=", files=(("nginx.conf", template),))
    return Ready(f"nchan {peers.nchan_version(module)}", start)


def _nchan_over_redis(cache: Path) -> Ready:
    module, redis = peers.nchan(cache), peers.redis()
    template = (SERVERS / "nchan_redis.conf").read_text("utf-8").replace("MODULE", str(module))

    def file(role: str, listen: str, master: str) -> tuple[str, str]:
        filled = template.replace("ROLE", role).replace("LISTEN", listen).replace("MASTER", master)
        return f"{role}.conf", filled

    def command(role: str) -> tuple[str, ...]:
        return peers.nginx(), "-c", f"{{folder}}/{role}.conf", "-p", "{folder}"

    start = Start(
        command("stream"),
        cache,
        post="/pub?key=",
        files=(file("stream", "PORT", "on"), file("publish", "FEED", "off")),
        beside=(
            Beside("redis", "redis", (redis, "--port", "{redis}", *REDIS)),
            Beside("publisher", "feed", command("publish")),
        ),
    )
    return Ready(f"nchan {peers.nchan_version(module)}, {peers.redis_version(redis)}", start)


REDIS = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", "{folder}")
_NEST = {"idle": "/idle", "pipeline": "/pipeline"}

ROSTER = (
    Contestant("C floor", "floor", frozenset({"broadcast", "users", "connect"}), _floor),
    Contestant("aiohttp, one write", "floor", frozenset({"broadcast", "users", "connect"}), _aiohttp_write),
    Contestant("rx_sse, Subject", "ours", frozenset({"broadcast", "users", "idle"}), _ours("subject")),
    Contestant("rx_sse, topic", "ours", frozenset({"broadcast", "users", "idle"}), _ours("topic")),
    Contestant("rx_sse, events", "ours", EVERYBODY | {"resume"}, _ours("events")),
    Contestant("rx_sse, events, asyncio", "ours", frozenset({"broadcast"}), _ours("events", "asyncio")),
    Contestant("rx_sse, events, probe", "ours", frozenset({"hold"}), _ours("events", "probe")),
    Contestant("rx_sse, pipeline", "ours", frozenset({"pipeline", "idle"}), _ours("pipeline")),
    Contestant("nchan (nginx)", "peer", EVERYBODY | {"resume"}, _nchan),
    Contestant("Go, net/http", "peer", EVERYBODY, _go),
    Contestant("Node, by hand", "peer", EVERYBODY - {"idle"}, _node("node_server.mjs")),
    Contestant("better-sse", "peer", EVERYBODY, _node("better_sse_server.mjs", "better-sse", "express")),
    Contestant(
        "NestJS, fastify",
        "peer",
        EVERYBODY | {"pipeline"},
        _node("nest_server.js", "@nestjs/core", "@nestjs/platform-fastify", "rxjs", arguments=("fastify",)),
        _NEST,
    ),
    Contestant(
        "NestJS, express",
        "peer",
        EVERYBODY | {"pipeline"},
        _node("nest_server.js", "@nestjs/core", "@nestjs/platform-express", "rxjs", arguments=("express",)),
        _NEST,
    ),
    Contestant(
        "aiohttp-sse", "peer", EVERYBODY, _python("aiohttp_sse_server.py", "aiohttp-sse", "aiohttp", "uvloop")
    ),
    Contestant(
        "sse-starlette",
        "peer",
        EVERYBODY,
        _python("sse_starlette_server.py", "sse-starlette", "uvicorn", "uvloop"),
    ),
    Contestant("FastAPI", "peer", EVERYBODY, _python("fastapi_server.py", "fastapi", "uvicorn", "uvloop")),
    Contestant(
        "rx_sse, RedisBus",
        "ours",
        frozenset({"redis", "workers"}),
        _over_redis(_ours("events"), "rx_sse_redis.py", "bus"),
        {"workers": "/altered"},
    ),
    Contestant(
        "rx_sse, RedisBus, 2 workers",
        "ours",
        frozenset({"workers"}),
        _over_redis(_ours("events"), "rx_sse_redis.py", "bus", workers=2),
        {"workers": "/altered"},
    ),
    Contestant(
        "rx_sse, RedisPublisher",
        "ours",
        frozenset({"redis"}),
        _over_redis(_ours("events"), "rx_sse_redis.py", "publisher"),
    ),
    Contestant("nchan (nginx), Redis", "peer", frozenset({"redis"}), _nchan_over_redis),
    Contestant(
        "aiohttp-sse, redis.asyncio",
        "peer",
        frozenset({"redis"}),
        _over_redis(
            _python("aiohttp_sse_redis.py", "aiohttp-sse", "aiohttp", "redis", "uvloop"),
            "aiohttp_sse_redis.py",
            "publish",
        ),
    ),
)
