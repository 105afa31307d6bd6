"""What the commands with many clients share: their processes, their command line, their table."""

from __future__ import annotations

import argparse
import asyncio
import resource
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from typing import Any, Protocol, TypeVar

from .faults.files import DatabaseFile
from .faults.process import MEMORY, Process
from .reader import Readers
from .redis_server import RedisServer


class NoServer:
    """In the place of a server, for a bus that has none."""

    url = MEMORY

    def close(self) -> None:
        """There is nothing to close."""


SERVERS: dict[str, tuple[Callable[[], NoServer | RedisServer | DatabaseFile], int]] = {
    "memory": (NoServer, 1),
    "sqlite": (DatabaseFile, 2),
    "redis": (RedisServer, 2),
}
"""What keeps the log of each bus, and how many processes share it."""


@asynccontextmanager
async def playing(
    bus: str,
    topics: int,
    rate: float,
    options: dict[str, Any] | None = None,
    setup: dict[str, Any] | None = None,
) -> AsyncIterator[Readers]:
    """The processes of a bus, when they are ready, and what reads and publishes there.

    Args:
        bus: which of `SERVERS`.
        topics: how many.
        rate: events a second.
        options: of the bus.
        setup: options of `rx_sse.setup`.
    """
    make, count = SERVERS[bus]
    server = await asyncio.to_thread(make)
    async with AsyncExitStack() as stack:
        stack.enter_context(closing(server))
        readers = Readers(topics, rate)
        for _ in range(count):
            process = Process(server.url, options or {}, {}, readers.told, setup=setup)
            readers.processes.append(await stack.enter_async_context(process))
            await process.until(True)
        yield readers


class Result(Protocol):
    """What came of a run."""

    @property
    def wrong(self) -> list[str]:
        """What falls short."""
        ...


R = TypeVar("R", bound=Result)


def arguments(program: str, about: str | None, *, topics: int, rate: float) -> argparse.ArgumentParser:
    """A parser of what each command takes.

    Args:
        program: its module.
        about: what it does.
        topics, rate: their defaults.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=about)
    parser.add_argument("buses", nargs="*", help="memory, sqlite or redis; default: all that it knows")
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--topics", type=int, default=topics)
    parser.add_argument("--rate", type=float, default=rate, help="events a second (default: %(default)s)")
    return parser


def parse(parser: argparse.ArgumentParser, known: Iterable[str] = SERVERS) -> argparse.Namespace:
    """The arguments; no bus but the known ones."""
    given = parser.parse_args()
    if unknown := set(given.buses).difference(known):
        parser.error(f"no such bus: {', '.join(sorted(unknown))}")
    given.buses = given.buses or list(known)
    return given


def table(
    head: Sequence[str],
    buses: Iterable[str],
    play: Callable[[str], Coroutine[Any, Any, R]],
    line: Callable[[R], str],
) -> bool:
    """Play each bus, and print its row and what falls short; whether nothing does.

    Args:
        head: the lines above the rows.
        buses: which.
        play: plays one.
        line: the row of a result.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(*head, sep="\n", flush=True)
    whole = True
    for bus in buses:
        result = asyncio.run(play(bus))
        print(line(result), flush=True)
        for wrong in result.wrong:
            whole = False
            print(f"  {bus}: {wrong}", flush=True)
    return whole
