"""The long run: `python -m tests.soak --minutes 10`.

Clients that connect, stall, vanish, connect again and leave at random, over each bus, in processes of their
own; and a census of the processes after a warm-up and at the end. The warm-up is the same in short: all
clients, the same disturbances, histories that are full. What a process has from it, it keeps: the histories,
caches, and what the allocator does not give back of the memory that all clients took at once. So what it has
more at the end has grown with time. Its short form is `tests/test_soak.py`.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from .faults.process import Process
from .long_run import arguments, parse, playing, table
from .reader import Account, Readers, until

LINGER = 35.0
"""Seconds in which a process forgets topics that nobody reads."""
HISTORY = 200
"""Entries of a topic: full before the first census, so that it takes no more memory later."""
FILLING = 400.0
"""Events a second with which they are filled."""
WARMING = 120.0
"""Seconds for which clients are disturbed before the first census, at most; a quarter of those that follow,
in a short run."""
SAME = ("streams", "subscriptions", "replays", "topics", "stored topics", "tasks", "sockets")
"""What must be as it was."""
OBJECTS = 500
"""Objects by which a process may have grown: timers of streams that have just ended, most of all."""
GROWN = 4 * 2**20
"""Bytes by which it may have grown: pieces of memory that the allocator cannot give back."""

Census: TypeAlias = "dict[str, int]"


@dataclass
class Result:
    """What came of a run.

    Attributes:
        bus: its name.
        clients: how many.
        seconds: how long the clients were disturbed, the warm-up not counted.
        account: what the clients saw.
        compared: what must be in the census afterwards as it was before.
        published: events that were accepted.
        disturbances: how often something happened to a client.
        before, after: a census of each process, after the warm-up and at the end.
    """

    bus: str
    clients: int
    seconds: float
    account: Account
    compared: list[str]
    published: int = 0
    disturbances: int = 0
    before: list[Census] = field(default_factory=list["Census"])
    after: list[Census] = field(default_factory=list["Census"])

    @property
    def wrong(self) -> list[str]:
        """What falls short."""
        found = self.account.wrong
        for number, (before, after) in enumerate(zip(self.before, self.after, strict=True)):
            found += [
                f"process {number} has {after[name]} {name}, and had {before[name]}"
                for name in self.compared
                if after[name] != before[name]
            ]
            if (more := after["objects"] - before["objects"]) > OBJECTS:
                found.append(f"process {number} has {more:,} more objects")
            if (more := after["resident"] - before["resident"]) > GROWN:
                found.append(f"process {number} has grown by {more / 2**20:.1f} MiB")
        return found


async def soak(
    bus: str,
    clients: int,
    topics: int,
    seconds: float,
    rate: float,
    cuts: float,
    *,
    linger: float = LINGER,
) -> Result:
    """Play one bus.

    Args:
        bus: which of `long_run.SERVERS`.
        clients: how many.
        topics: how many they read.
        seconds: for how long.
        rate: events a second.
        cuts: clients to which something happens in a second.
        linger: seconds for topics to be forgotten; 0 leaves them out of the comparison.
    """
    async with playing(bus, topics, rate, {"history": HISTORY}) as readers:
        processes = readers.processes
        compared = [name for name in SAME if linger or name != "topics"]
        await _filled(readers)
        await _round(readers, clients, min(WARMING, seconds / 4), rate, cuts)
        await asyncio.sleep(linger)
        result = Result(bus, clients, seconds, readers.account, compared)
        result.before = [await _census(process) for process in processes]
        result.disturbances = await _round(readers, clients, seconds, rate, cuts)
        result.published = readers.sent - readers.not_accepted
        for process, before in zip(processes, result.before, strict=True):
            result.after.append(await _emptied(process, before, compared))
    return result


async def _filled(readers: Readers) -> None:
    """Fill the histories with events like those that follow."""
    topics = len(readers.topics)
    await readers.connect(topics * len(readers.processes))
    first = readers.sent
    readers.publish(FILLING)
    await until(lambda: readers.sent - first > topics * HISTORY)
    await readers.settled()
    await readers.leave()


async def _round(readers: Readers, clients: int, seconds: float, rate: float, cuts: float) -> int:
    """All clients connect, are disturbed for so long, and leave for good; the number of disturbances."""
    await readers.connect(clients)
    readers.publish(rate)
    begin, done = time.monotonic(), 0
    while (now := time.monotonic() - begin) < seconds:
        while done < now * cuts:
            reader = random.choice(readers.readers)
            reader.home += random.randrange(2)
            reader.disturb()
            done += 1
        await asyncio.sleep(0.02)
    await readers.settled()
    await readers.leave()
    return done


async def _census(process: Process) -> Census:
    (found,) = await process.ask("census")
    return found


async def _emptied(process: Process, before: Census, compared: list[str]) -> Census:
    """The census, once it is as it was, or after a while."""
    end = time.monotonic() + 2 * LINGER
    while True:
        found = await _census(process)
        if all(found[name] == before[name] for name in compared) or time.monotonic() > end:
            return found
        await asyncio.sleep(1)


HEAD = (
    "| bus | clients | connections | events received | lost | repeated | gaps "
    "| streams, tasks, sockets, topics after | objects | memory |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: | ---: |",
)


def line(result: Result) -> str:
    """A row of the table; what the processes hold more than before, together."""
    account = result.account
    same = all(
        after[name] == before[name]
        for before, after in zip(result.before, result.after, strict=True)
        for name in result.compared
    )

    def more(name: str) -> int:
        return sum(it[name] for it in result.after) - sum(it[name] for it in result.before)

    cells = [
        f"`{result.bus}`, {len(result.after)} process{'es' * (len(result.after) > 1)}",
        f"{result.clients:,}",
        f"{account.connections:,}",
        f"{account.received:,}",
        f"{account.lost}",
        f"{account.repeated + account.different}",
        f"{account.gaps}",
        "as before" if same else "**not as before**",
        f"{more('objects'):+,}",
        f"{more('resident') / 2**20:+.1f} MiB",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Run the soak and print what was counted; the exit status is 1 if anything falls short."""
    parser = arguments("tests.soak", main.__doc__, topics=20, rate=40.0)
    parser.add_argument("--minutes", type=float, default=10.0, help="for each bus (default: %(default)s)")
    parser.add_argument(
        "--cuts", type=float, default=50.0, help="clients disturbed a second (default: %(default)s)"
    )
    given = parse(parser)
    play = partial(
        soak,
        clients=given.clients,
        topics=given.topics,
        seconds=given.minutes * 60,
        rate=given.rate,
        cuts=given.cuts,
    )
    whole = table(HEAD, given.buses, play, line)
    print(
        f"\n{given.minutes:g} minutes for each bus, {given.rate:g} events a second, "
        f"{given.cuts:g} disturbances a second"
    )
    return 0 if whole else 1


if __name__ == "__main__":
    raise SystemExit(main())
