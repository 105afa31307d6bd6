"""Attacks that cost a server something: each with its weakness (CWE), and what the attacker does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from rx_sse.testing.raw import OpenStream, StreamClosed, send

from ..web.tokens import bearer
from .target import EVE, bearer_line, events, get, post

JSON = b"Content-Type: application/json"
AT_A_TIME = 50
"""Connections that are being made at a time: fewer than a listening socket has room for."""


class Attacker:
    """Sends what an attack needs.

    Args:
        url: of the application.

    Attributes:
        seen: how often each status was answered; 0 stands for a connection that was closed.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.seen: Counter[int] = Counter()
        self._turn = asyncio.Semaphore(AT_A_TIME)
        self._streams: list[OpenStream] = []
        self._begun: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, request: bytes) -> None:
        """Send bytes on a connection of their own, and count the status."""
        parts = urlsplit(self.url)
        async with self._turn:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            line = b""
            with contextlib.suppress(OSError):
                writer.write(request)
                line = await reader.readline()
            writer.transport.abort()
        self.seen[int(line.split(b" ", 2)[1]) if line.startswith(b"HTTP/") else 0] += 1

    async def all(self, requests: list[bytes]) -> None:
        """The same of many."""
        await asyncio.gather(*map(self.ask, requests))

    async def open(self, path: str, *, stalled: bool = False, **headers: str) -> OpenStream | None:
        """A stream that stays open; None if it was refused."""
        async with self._turn:
            stream = await send(self.url + path, headers=headers, receive_buffer=4_096 if stalled else None)
            self._streams.append(stream)
            with contextlib.suppress(StreamClosed):
                await stream.read_head()
        self.seen[stream.status] += 1
        return stream if stream.status == 200 else None

    async def begin(self, beginning: bytes) -> None:
        """A request that never goes on."""
        parts = urlsplit(self.url)
        async with self._turn:
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            self._begun.append((reader, writer))
            writer.write(beginning)

    async def answers(self) -> None:
        """Wait for the answers to what was begun, and count their statuses."""
        for reader, _ in self._begun:
            line = await reader.readline()
            self.seen[int(line.split(b" ", 2)[1]) if line.startswith(b"HTTP/") else 0] += 1

    async def leave(self) -> None:
        """Close all connections."""
        for _, writer in self._begun:
            writer.close()
        await asyncio.gather(*(stream.aclose() for stream in self._streams))


Doing = Callable[[Attacker, int], Awaitable[str]]


@dataclass(frozen=True)
class Attack:
    """One of them.

    Attributes:
        cwe: the weakness.
        what: what the attacker does; `{n}` stands for how often.
        times: how often.
        do: does it, and says how it ended.
    """

    cwe: int
    what: str
    times: int
    do: Doing


def answered(attacker: Attacker) -> str:
    """The statuses that were seen."""
    return ", ".join(f"{status or 'closed'}" for status, _ in attacker.seen.most_common())


async def bad_tokens(attacker: Attacker, times: int) -> str:
    await attacker.all(
        [
            events("/private", f"Authorization: Bearer {secrets.token_hex(300)}.a.b".encode())
            for _ in range(times)
        ]
    )
    return answered(attacker)


async def wrong_signatures(attacker: Attacker, times: int) -> str:
    good = bearer_line()
    requests = [events("/private", good[:-20] + secrets.token_hex(10).encode()) for _ in range(times)]
    await attacker.all(requests)
    return answered(attacker)


async def forged_cursors(attacker: Attacker, times: int) -> str:
    def cursor() -> bytes:
        parts = (f"{secrets.token_hex(3)}.{n}.{secrets.randbits(48)}" for n in range(1, 33))
        return b"Last-Event-ID: 1_" + "_".join(parts).encode()

    await attacker.all([events("/news", cursor()) for _ in range(times)])
    return answered(attacker)


async def long_headers(attacker: Attacker, times: int) -> str:
    await attacker.all([events("/news", b"Last-Event-ID: " + b"1" * 8_000)] * times)
    return answered(attacker)


async def comings_and_goings(attacker: Attacker, times: int) -> str:
    await attacker.all([events("/news")] * times)
    return answered(attacker)


async def half_requests(attacker: Attacker, times: int) -> str:
    await asyncio.gather(
        *(attacker.begin(b"GET /news HTTP/1.1\r\nHost: localhost\r\nX: ") for _ in range(times))
    )
    await asyncio.sleep(2.0)
    return "they stay open: aiohttp has no limit for them"


async def half_bodies(attacker: Attacker, times: int) -> str:
    half = post("/events/topics/news", b"1" * 60_000, bearer_line(), JSON)[:-50_000]
    await asyncio.gather(*(attacker.begin(half) for _ in range(times)))
    await attacker.answers()
    return f"{answered(attacker)} after 30 s, and the end of the connection"


async def readers_that_do_not_read(attacker: Attacker, times: int) -> str:
    streams = await asyncio.gather(*(attacker.open("/news", stalled=True) for _ in range(times)))
    for stream in filter(None, streams):
        stream.stall()
    event = post("/events/topics/news", json.dumps("x" * 50_000).encode(), bearer_line(), JSON)
    for _ in range(200):
        await attacker.ask(event)
    return "their queues are bounded by `overflow`, and `write_timeout` ends them"


async def streams_of_one_user(attacker: Attacker, times: int) -> str:
    headers: dict[str, Any] = dict(bearer("eve", **EVE))
    streams = await asyncio.gather(*(attacker.open("/private", **headers) for _ in range(times)))
    kept = 0
    for stream in filter(None, streams):
        kept += (await stream.next_event(30, control=True)).type == "stream-cursor"
    return f"{kept} are open, the others were shed"


async def topics_of_one_grant(attacker: Attacker, times: int) -> str:
    headers: dict[str, Any] = dict(bearer("eve", **EVE))
    paths = ["/events/?" + "&".join(f"topic=team:{n}-{m}" for m in range(32)) for n in range(times)]
    streams = await asyncio.gather(*(attacker.open(path, **headers) for path in paths))
    kept = 0
    for stream in filter(None, streams):
        kept += (await stream.next_event(30, control=True)).type == "stream-cursor"
    return f"{kept} are open, the others were shed"


async def published_topics(attacker: Attacker, times: int) -> str:
    await attacker.all([post(f"/events/topics/team:{n}", b"1", bearer_line(), JSON) for n in range(times)])
    return answered(attacker)


async def idempotency_keys(attacker: Attacker, times: int) -> str:
    line = bearer_line()
    await attacker.all(
        [
            post("/events/topics/news", b"1", line, JSON, f"Idempotency-Key: {n}".encode())
            for n in range(times)
        ]
    )
    return answered(attacker)


async def nested_json(attacker: Attacker, times: int) -> str:
    await attacker.all(
        [post("/events/topics/news", b"[" * 500_000 + b"]" * 500_000, bearer_line(), JSON)] * times
    )
    return answered(attacker)


async def long_integers(attacker: Attacker, times: int) -> str:
    await attacker.all([post("/events/topics/news", b"9" * 1_000_000, bearer_line(), JSON)] * times)
    return answered(attacker)


async def numbers_that_grow(attacker: Attacker, times: int) -> str:
    await attacker.all(
        [post("/events/topics/news", b"[" + b"1e9," * 250_000 + b"0]", bearer_line(), JSON)] * times
    )
    return answered(attacker)


async def bombs(attacker: Attacker, times: int) -> str:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join([*(packer.compress(bytes(2**20)) for _ in range(500)), packer.flush()])
    await attacker.all(
        [post("/events/topics/news", bomb, bearer_line(), JSON, b"Content-Encoding: gzip")] * times
    )
    return answered(attacker)


async def histories(attacker: Attacker, times: int) -> str:
    for n in range(500):
        await attacker.ask(
            post("/events/topics/news", json.dumps(f"{n} " + "x" * 500).encode(), bearer_line(), JSON)
        )
    attacker.seen.clear()
    await attacker.all([get("/events/topics/news/history?last=500&limit=500", bearer_line())] * times)
    return answered(attacker)


async def replays(attacker: Attacker, times: int) -> str:
    for n in range(500):
        await attacker.ask(
            post("/events/topics/news", json.dumps(f"{n} " + "x" * 500).encode(), bearer_line(), JSON)
        )
    attacker.seen.clear()
    await attacker.all([events("/events/?topic=news&last=1000", bearer_line())] * times)
    return answered(attacker)


ATTACKS: dict[str, Attack] = {
    "tokens": Attack(347, "{n} requests with random tokens", 2_000, bad_tokens),
    "signatures": Attack(347, "{n} tokens with another signature each", 2_000, wrong_signatures),
    "cursors": Attack(345, "{n} forged cursors of 32 topics", 2_000, forged_cursors),
    "headers": Attack(770, "{n} `Last-Event-ID`s of 8,000 bytes", 2_000, long_headers),
    "churn": Attack(400, "{n} streams that are left at once", 2_000, comings_and_goings),
    "slowloris": Attack(400, "{n} requests that stop in a header", 500, half_requests),
    "bodies": Attack(400, "{n} bodies that stop after 10,000 of 60,000 bytes", 500, half_bodies),
    "stalled": Attack(400, "{n} readers that read nothing of 10 MB", 100, readers_that_do_not_read),
    "streams": Attack(770, "{n} streams of one user", 500, streams_of_one_user),
    "topics": Attack(770, "{n} streams of 32 new topics each, of one user", 500, topics_of_one_grant),
    "published": Attack(770, "{n} new topics with an event each, of one user", 2_000, published_topics),
    "keys": Attack(770, "{n} idempotency keys of one user", 2_000, idempotency_keys),
    "nested": Attack(674, "{n} bodies of 1 MB, nested 500,000 deep", 50, nested_json),
    "integers": Attack(1284, "{n} integers of 1,000,000 digits", 50, long_integers),
    "numbers": Attack(1284, "{n} bodies of 1 MB that are 3 MB as an event", 20, numbers_that_grow),
    "gzip": Attack(409, "{n} gzip bombs of 500 KB for 500 MB", 50, bombs),
    "history": Attack(770, "{n} pages of history of 500 entries", 500, histories),
    "replays": Attack(770, "{n} streams that begin with 500 entries and are left at once", 500, replays),
}
