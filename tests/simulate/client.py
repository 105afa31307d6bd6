"""A client: what an EventSource does, over a connection that may be slow, be cut, or be noticed late as
cut."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Any

from rx_sse import EventParser, ServerSentEvent
from rx_sse.bus.log.position import Place, nonce_of, parse, ref_of, seq_of

from .chain import Chain, name_of
from .loop import Loop
from .oracle import Account, Began, Event, GapTold, Start
from .process import Process
from .trace import Trace
from .transport import Wire


class Client:
    """One client of one URL.

    Args:
        name: for the trace.
        path: what it asks for.
        topics: the topics of that stream.
        wanted: which events it is for.
        chains: the truth, by topic.
        processes: those that it may be connected to.
        window: bytes that its connection holds.
        user: whose token it has; None for a client without one.
        start: where its first stream begins.

    Attributes:
        process: the one that it asked last.
        issued_at: when its token was issued: it gets a new one for each connection.
    """

    def __init__(
        self,
        name: str,
        path: str,
        topics: tuple[str, ...],
        wanted: Callable[[str], bool],
        *,
        loop: Loop,
        chance: random.Random,
        trace: Trace,
        chains: Mapping[str, Chain],
        processes: list[Process],
        window: int,
        user: str | None,
        start: Start,
    ) -> None:
        self.name = name
        self.path = path
        self.loop = loop
        self.chance = chance
        self.trace = trace
        self.processes = processes
        self.window = window
        self.user = user
        self.accounts = {
            topic: Account(chains[topic], wanted, f"{name} in {topic}", start) for topic in topics
        }
        self._topics = {ref_of(topic): topic for topic in topics}
        self.cursor = ""
        self.done = False
        self.calm = False
        """From now on it reconnects soon."""
        self.connections = 0
        self.process: Process | None = None
        self.issued_at = 0.0
        self._wire: Wire | None = None
        self._answer = b""
        self._status = 0
        self._chunks = Chunks()
        self._parser = EventParser()
        self._asked = 0.0
        self._came_with: dict[str, Place] = {}
        self._coming = False
        self.open = False

    # -- what happens to it ----------------------------------------------------------------------------------

    def connect(self) -> None:
        """Ask some process for the stream, with the last id."""
        self._coming = False
        if self._wire is not None or self.done:
            return
        up = [process for process in self.processes if process.accepts]
        if not up:
            self._come_back(0.2)
            return
        self.process = process = self.chance.choice(up)
        self.connections += 1
        self.trace.note(self.name, "connects to {} with {}", process.name, self.cursor or "no id")
        self._wire = wire = Wire(
            self.loop, process.protocol(), self, self.chance.uniform(0.0005, 0.02), self.window
        )
        process.wires.append(wire)
        self._answer, self._status, self._chunks = b"", 0, Chunks()
        self._parser = EventParser(last_event_id=self.cursor)
        self._asked = self.loop.time()
        self._came_with = dict(parse(self.cursor) or {})
        lines = [f"GET {self.path} HTTP/1.1", "Host: simulated", "Accept: text/event-stream"]
        if self.cursor:
            lines.append(f"Last-Event-ID: {self.cursor}")
        if self.user is not None:
            self.issued_at = self.loop.wall_time()
            lines.append(f"Authorization: {self.user} {self.issued_at!r}")
        wire.send("\r\n".join([*lines, "", ""]).encode())

    @property
    def was_further(self) -> bool:
        """Whether its cursor holds a place in another branch of a topic's log."""
        return any(place.past is not None for place in (parse(self.cursor) or {}).values())

    def cut(self) -> None:
        """The connection is gone; the server may notice late."""
        if self._wire is not None:
            self.trace.note(self.name, "is cut")
            wire, self._wire = self._wire, None
            self.open = False
            wire.cut(self.chance.choice((0.0, 0.001, 0.5, 5.0)))
            self._come_back()

    def read(self, on: bool) -> None:
        """It reads, or does not for a while."""
        if self._wire is not None and self._wire.client_reads is not on:
            self.trace.note(self.name, "reads" if on else "stops reading")
            self._wire.read(on)

    def _come_back(self, seconds: float | None = None) -> None:
        if not self._coming and not self.done:
            self._coming = True
            longest = 0.3 if self.calm else self.chance.choice((0.05, 1.0, 5.0))
            self.loop.call_later(seconds or self.chance.uniform(0.001, longest), self.connect)

    # -- from the server -------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        if not self._status:
            self._answer += data
            head, found, data = self._answer.partition(b"\r\n\r\n")
            if not found:
                return
            self._status = int(head.split(b" ", 2)[1])
            self._answered(head)
        if self._status == 200:
            for event in self._parser.feed(self._chunks.feed(data)):
                self._event(event)
            if self._chunks.ended and self._wire is not None:
                wire, self._wire = self._wire, None
                wire.cut(0.0)
                self.ended()

    def _answered(self, head: bytes) -> None:
        if self._status == 200:
            assert b"text/event-stream" in head, head
            length = re.search(rb"(?i)content-length: (\d+)", head)
            self._chunks = Chunks(None if length is None else int(length[1]))
            self.open = True
            self.trace.note(self.name, "is answered 200")
        elif self._status == 204:
            self.trace.note(self.name, "is answered 204")
            self._finish()
        else:
            refused = self._status == 401 and self.user is not None
            assert self._status == 503 or refused, f"{self.name} was answered {head.decode()}"
            self.trace.note(self.name, "is answered {}", self._status)
            wire, self._wire = self._wire, None
            if wire is not None:
                wire.cut(0.0)
            self._come_back(1.0)

    def ended(self) -> None:
        """The server closed the connection."""
        self.trace.note(self.name, "lost its server")
        self._wire = None
        self.open = False
        self._come_back()

    def _finish(self) -> None:
        self.done = True
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.cut(0.0)

    def _event(self, event: ServerSentEvent) -> None:
        now = self.loop.time()
        before, self.cursor = self.cursor, event.id or ""
        places, had = parse(self.cursor) or {}, parse(before) or {}
        moved = self.cursor != before
        kind = event.event
        if kind == "stream-cursor":
            self.trace.note(self.name, "stands at {}", self.cursor)
            for ref, topic in self._topics.items():
                account = self.accounts[topic]
                if account.place is None and ref in places:
                    account.began(
                        Began(now, self._asked, seq_of(places[ref].position), nonce_of(places[ref].position))
                    )
        elif kind == "stream-gap":
            said: dict[str, Any] = event.json()
            self.trace.note(self.name, "gap {}, stands at {}", event.data, self.cursor)
            following = parse(said.get("next") or "") or {}
            for ref, topic in self._topics.items():
                if ref in following or not following:
                    at = _parts(following, ref)
                    place = had.get(ref)
                    ahead = (
                        ref in following
                        and place is not None
                        and seq_of(place.position) > seq_of(following[ref].position)
                    )
                    came = self._came_with.get(ref)
                    elsewhere = ahead or any(it is not None and it.past is not None for it in (place, came))
                    self.accounts[topic].gapped(GapTold(now, said["reason"], *at, elsewhere))
        elif kind == "stream-end":
            self.trace.note(self.name, "end of the stream")
            for account in self.accounts.values():
                account.ended()
        elif kind == "stream-reconnect":
            self.trace.note(self.name, "told to come back: {}", event.data)
        elif kind == "stream-expired":
            assert self.user is not None, f"{self.name} has no token"
            self.trace.note(self.name, "told that its token was refused: {}", event.data)
        elif kind == "stream-error":
            raise AssertionError(f"{self.name} got {event.data}")
        else:
            payload = name_of(event.data)
            self.trace.note(self.name, "got {}, stands at {}", payload, self.cursor)
            topic = payload.split("-", 1)[0]
            ref = ref_of(topic)
            at = _parts(places if moved else {}, ref)
            self.accounts[topic].event(Event(now, payload, *at))


class Chunks:
    """The body of an answer: its chunked coding undone, or its length counted.

    Args:
        length: of a body that is not chunked.

    Attributes:
        ended: whether all of it is there.
    """

    def __init__(self, length: int | None = None) -> None:
        self._data = b""
        self._chunked = length is None
        self._left = length or 0  # of the chunk that has begun
        self.ended = length == 0

    def feed(self, data: bytes) -> bytes:
        self._data += data
        out: list[bytes] = []
        while self._data and not self.ended:
            if self._left:
                piece = self._data[: self._left]
                self._data = self._data[len(piece) :]
                self._left -= len(piece)
                self.ended = not self._chunked and not self._left
                out.append(piece)
                continue
            head, found, rest = self._data.lstrip(b"\r\n").partition(b"\r\n")
            if not found:
                break
            self._left = int(head, 16)
            self._data = rest
            self.ended = not self._left
        return b"".join(out)


def _parts(places: Mapping[str, Place], ref: str) -> tuple[int, int] | tuple[None, None]:
    """The number and the nonce of a topic's place."""
    if (place := places.get(ref)) is None:
        return None, None
    return seq_of(place.position), nonce_of(place.position)
