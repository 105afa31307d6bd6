"""What is measured: one class for each kind of run, and the list of all runs.

Every run has a server to itself, freshly started. What it returns are plain numbers, named here and nowhere
else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.load import Client, Report, RunFailed
from benchmarks.process import Memory, Server

Values = dict[str, float]

DELIVERIES = 20_000
"""Deliveries a second at a fixed rate. It takes the floor a tenth of a core, and is too much for FastAPI."""
FASTEST = 1_000
"""Events a second at most, so that the feed itself is not what is measured when there is but one client."""
IN_FLIGHT = 64
"""Events under way at most when saturated, per client: too few to fill any client's queue."""


class Cell(Protocol):
    """One run: a column of a table."""

    @property
    def task(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def most_rounds(self) -> int: ...
    def run(self, server: Server, client: Client, path: str) -> Values: ...


@dataclass(frozen=True)
class Live:
    """Streams that receive events, at a fixed rate or as fast as the slowest confirms."""

    task: str
    clients: int
    rate: float = 0.0  # events a second; 0: saturated
    size: int = 128  # bytes of data
    stopped: float = 0.0  # the share of clients that stop reading
    users: bool = False  # each event goes to one client at random
    step: int = 1  # of how many events a client gets one
    loose: bool = False  # the server may leave events out
    seconds: float = 3.0
    warm: float = 1.0
    most_rounds: int = 100

    @property
    def label(self) -> str:
        per_second = self.rate * (1 if self.users else self.clients) / self.step
        pace = f"{per_second:,.0f}/s" if self.rate else "saturated"
        stopped = f", {self.stopped:.0%} stopped" if self.stopped else ""
        who = "user" if self.users else "client"
        return f"{self.clients:,} {who}{'s' * (self.clients > 1)}, {pace}{stopped}"

    def run(self, server: Server, client: Client, path: str) -> Values:
        before = server.memory()
        connected, report = client.run(
            server,
            "/users/%d" if self.users else path,
            mode="live",
            clients=self.clients,
            rate=self.rate,
            size=self.size,
            stopped=int(self.clients * self.stopped),
            users=self.clients if self.users else 0,
            step=self.step,
            loose=int(self.loose),
            window=1024 if self.users else IN_FLIGHT,
            seconds=self.seconds,
            warm=self.warm,
        )
        values = delivered(report, late=bool(self.rate))
        if not self.loose:  # where events may be left out, it is unknown when one is due
            values["stall"] = report["stall"]
        if self.stopped:
            values["growth"] = (server.memory().resident - before.resident) / 2**20
            values["dismissed"] = connected["files"] - report["files"]
        return values


@dataclass(frozen=True)
class Connect:
    """Streams opened as fast as the server answers, 64 at a time."""

    task: str
    clients: int
    most_rounds: int = 100

    @property
    def label(self) -> str:
        return f"{self.clients:,} streams"

    def run(self, server: Server, client: Client, path: str) -> Values:
        report, *_ = client.hold(server, path, 0.0, lambda: None, clients=self.clients)
        return {
            "stall": report["stall"],
            "per_second": report["ready"] / report["seconds"],
            "us": report["server_cpu"] / report["ready"] * 1e6,
            "server": report["server_cpu"] / report["seconds"],
            "client": report["client_cpu"] / report["seconds"],
        }


@dataclass(frozen=True)
class Arrive:
    """Users who open a stream each and get no event: what opening costs, and what a stream weighs."""

    task: str
    clients: int
    pause: float = 1.0  # seconds in which the server finishes what belongs to opening
    most_rounds: int = 100

    @property
    def label(self) -> str:
        return f"{self.clients:,} users arrive"

    def run(self, server: Server, client: Client, path: str) -> Values:
        client.hold(server, "/users/%d", 0.0, lambda: None, 0.0, clients=50)  # what the first stream loads
        server.settle()
        before, objects = server.memory(), server.objects()
        after: list[tuple[Memory, int | None]] = []
        connected, _ = client.hold(
            server,
            "/users/%d",
            0.0,
            lambda: after.append((server.memory(), server.objects())),
            self.pause,
            clients=self.clients,
        )
        memory, tracked = after[0]
        values = {
            "open_us": connected["server_cpu"] / connected["ready"] * 1e6,
            "resident": (memory.resident - before.resident) / self.clients / 1024,
            "stall": connected["stall"],
        }
        if objects is not None and tracked is not None:
            values["objects"] = (tracked - objects) / self.clients
        return values


@dataclass(frozen=True)
class Idle:
    """Streams on which nothing happens but heartbeats, every 15 s with every library."""

    task: str
    clients: int
    browser: bool = False
    seconds: float = 16.0
    most_rounds: int = 3

    @property
    def label(self) -> str:
        return f"{self.clients:,} streams, {'a browser’s headers' if self.browser else 'three headers'}"

    def run(self, server: Server, client: Client, path: str) -> Values:
        client.hold(
            server, path, 0.0, lambda: None, clients=50, browser=int(self.browser)
        )  # what the first stream loads
        server.settle()
        before = server.memory()
        after: list[Memory] = []
        connected, held = client.hold(
            server,
            path,
            self.seconds,
            lambda: after.append(server.memory()),
            clients=self.clients,
            browser=int(self.browser),
        )
        return {
            "resident": (after[0].resident - before.resident) / self.clients / 1024,
            "kernel": (after[0].kernel - before.kernel) / self.clients / 1024,
            "cpu": held["server_cpu"] / held["seconds"] * 100,
            "heartbeats": held["comments"] / self.clients,
            "closed": held["closed"],
            "stall": connected["stall"],
        }


@dataclass(frozen=True)
class StreamCursor:
    """Streams that went away, missed events, and all come back at once with their `Last-Event-ID`."""

    task: str
    clients: int
    count: int
    size: int = 128
    most_rounds: int = 100

    @property
    def label(self) -> str:
        return f"{self.clients:,} client{'s' * (self.clients > 1)} × {self.count:,} events"

    def run(self, server: Server, client: Client, path: str) -> Values:
        *_, report = client.run(
            server, path, mode="resume", clients=self.clients, count=self.count, size=self.size, seconds=20
        )
        return {**delivered(report), "stall": report["stall"]}


@dataclass(frozen=True)
class Hold:
    """The longest turn of the server's loop, in CPU time of its thread; the server itself measures it."""

    task: str
    clients: int
    rate: float = 2.0
    most_rounds: int = 100

    @property
    def label(self) -> str:
        return f"{self.clients:,} clients, {self.rate:.0f} broadcasts/s"

    def run(self, server: Server, client: Client, path: str) -> Values:
        *_, report = client.run(server, path, clients=self.clients, rate=self.rate, seconds=3.0, warm=1.0)
        server.settle(0.5)
        server.stop()
        return {
            **delivered(report),
            "stall": report["stall"],
            "longest": float(server.output().split()[-1]) * 1e3,
        }


def delivered(report: Report, late: bool = True) -> Values:
    """What every run with events tells. Times in µs, CPU as a share of a core.

    Args:
        late: whether what had not arrived a second after the end is lost. (Saturated, all are late.)
    """
    count = report["delivered"]
    if not count:
        raise RunFailed(f"nothing arrived in {report['seconds']:.0f} s")
    return {
        "us": report["server_cpu"] / count * 1e6,
        "per_second": report["delivered"] / report["seconds"],
        "p50": report["p50"],
        "p99": report["p99"],
        "server": report["server_cpu"] / report["seconds"],
        "client": report["client_cpu"] / report["seconds"],
        "bytes": report["bytes"] / count,
        "delivered": report["delivered"],
        "lost": report["missing"] + report["late"] * late,
        "repeated": report["repeated"],
        "closed": report["closed"],
        **{f"{name}_us": cpu / report["published"] * 1e6 for name, cpu in report["beside"].items()},
    }


def paced(clients: int) -> float:
    """Events a second that make `DELIVERIES`."""
    return min(FASTEST, DELIVERIES / clients)


def plan(clients: Sequence[int], users: Sequence[int], seconds: float) -> Iterable[Cell]:
    """Every run, the most telling first."""
    for count in clients:
        yield Live("broadcast", count, paced(count), seconds=seconds)
    for count in clients:
        yield Live("broadcast", count, 0.0, seconds=seconds)
    yield Live("pipeline", 1_000, 2 * paced(1_000), step=2, loose=True, seconds=seconds)
    for count in users:
        for rate in (0.0, 1_000.0, 5_000.0):
            yield Live("users", count, rate, users=True, seconds=seconds)
        yield Arrive("users", count)
    yield Connect("connect", 5_000)
    yield StreamCursor("resume", 1_000, 100)
    yield StreamCursor("resume", 1, 10_000)
    for stopped in (0.0, 0.1):
        yield Live("slow", 200, 25.0, size=8_192, stopped=stopped, seconds=seconds + 2)
    yield Live("redis", 1_000, paced(1_000), seconds=seconds)
    yield Live("redis", 20, paced(20), seconds=seconds)
    yield Live("redis", 1_000, 2_000.0, users=True, seconds=seconds)
    yield Live("workers", 1_000, 0.0, seconds=seconds)
    yield Hold("hold", 10_000)
    yield Idle("idle", 10_000)
    yield Idle("idle", 10_000, browser=True, seconds=0.0)
