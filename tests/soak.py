"""The long runs: `python -m tests.soak`. Their short forms are among the tests."""

from __future__ import annotations

import argparse
import asyncio
import random
from dataclasses import dataclass

import reactivex as rx
from aiohttp import web

import rx_sse
from rx_sse.testing import OpenStream, serve
from rx_sse.testing.raw import StreamClosed, send


@dataclass
class Result:
    """What an oracle counted at the clients.

    Attributes:
        published: events that were published.
        due: events that the clients should hold together.
        received: events that they hold.
        lost: events that a client does not hold, and no gap accounts for.
        repeated: events that a client got twice, or out of order.
        gaps: `stream-gap`s that were received.
        cuts: connections that were cut.
    """

    published: int = 0
    due: int = 0
    received: int = 0
    lost: int = 0
    repeated: int = 0
    gaps: int = 0
    cuts: int = 0


class Client:
    """Comes back with its cursor, and keeps what it got."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.got: list[int] = []
        self.gaps = 0
        self.last = ""
        self.stream: OpenStream | None = None

    async def run(self) -> None:
        """Read until cancelled, whatever happens to the connection."""
        while True:
            stream = await send(self.url, headers={"Last-Event-ID": self.last} if self.last else {})
            try:
                await stream.read_head()
                self.stream = stream
                while True:
                    event = await stream.next_event(60, control=True)
                    if event.type == "stream-gap":
                        self.gaps += 1
                    elif not event.is_control:
                        self.got.append(int(event.data))
                    self.last = stream.last_event_id
            except (StreamClosed, OSError, asyncio.IncompleteReadError):
                pass
            finally:
                self.stream = None
                await stream.aclose()


async def cut_at_random(clients: int, topics: int, seconds: float, rate: float) -> Result:
    """Publish to topics while their clients are cut at random, and count what each holds at the end."""
    bus = rx_sse.MemoryBus(history=int(rate * 60))
    app = rx_sse.setup(web.Application(), bus=bus)

    @rx_sse.sse
    def stream(request: web.Request) -> rx.Observable[rx_sse.ServerSentEvent]:
        return bus.events(request.match_info["name"], after=rx_sse.last_event_id(request))

    app.router.add_get("/{name}", stream)
    result = Result()
    published: list[list[int]] = [[] for _ in range(topics)]
    async with serve(app) as url:
        readers = [Client(f"{url}/t{n % topics}") for n in range(clients)]
        tasks = [asyncio.create_task(reader.run()) for reader in readers]
        try:
            while not all(reader.last for reader in readers):  # every one has its first cursor
                await asyncio.sleep(0.01)
            loop = asyncio.get_running_loop()
            begin = loop.time()
            while (now := loop.time() - begin) < seconds:
                while result.published < now * rate:
                    topic = result.published % topics
                    bus.topic(f"t{topic}").on_next(result.published)
                    published[topic].append(result.published)
                    result.published += 1
                for reader in random.sample(readers, max(1, clients // 50)):
                    if reader.stream is not None and random.random() < 0.2:
                        result.cuts += 1
                        random.choice([OpenStream.leave, OpenStream.reset])(reader.stream)
                await asyncio.sleep(0.005)
            deadline = loop.time() + 30
            while loop.time() < deadline and any(
                reader.got[-1:] != published[n % topics][-1:] for n, reader in enumerate(readers)
            ):
                await asyncio.sleep(0.02)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    for n, reader in enumerate(readers):
        due = published[n % topics]
        result.due += len(due)
        result.received += len(reader.got)
        result.gaps += reader.gaps
        result.repeated += len(reader.got) - len(set(reader.got)) + (reader.got != sorted(reader.got))
        result.lost += len(set(due) - set(reader.got)) if not reader.gaps else 0
    return result


def main() -> int:
    """Run the soak and print what was counted; the exit status is 1 if anything was lost or repeated."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=main.__doc__)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--topics", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=200.0, help="events a second")
    options = parser.parse_args()
    result = asyncio.run(cut_at_random(options.clients, options.topics, options.seconds, options.rate))
    print(result)
    return 1 if result.lost or result.repeated else 0


if __name__ == "__main__":
    raise SystemExit(main())
