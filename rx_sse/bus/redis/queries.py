"""What is asked of Redis: pages, whether anything was missed, what a failover took back, who listens.

Each question is one script call. Pages are big, so only a few are under way at a time; the others are small
and are asked for many topics at once, as far as a cluster lets a script touch them together. Where a call
for many is refused, each topic is asked for alone: one topic's trouble is one topic's.

Standard: docs/resume.md §1 ("Size"), §5.
Never: a question that Redis refuses raises. It stays without an answer, and is asked again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from rx_sse.bus.log.port import Page, Query
from rx_sse.bus.log.position import Position, new_nonce
from rx_sse.bus.redis.net.connection import Connection
from rx_sse.bus.redis.protocol.call import Lost, Retry, ScriptCall
from rx_sse.bus.redis.protocol.codec import head_of, page_of
from rx_sse.bus.redis.protocol.scripts import HEADS, LOST, PAGE, PRESENCE, Script
from rx_sse.bus.redis.server_clock import ServerClock
from rx_sse.bus.redis.subscriptions import Subscriptions
from rx_sse.bus.redis.topology import Topology

READS = 8
"""Pages under way at a time: 8 MB of answers, behind which a publish has to wait."""
AT_ONCE = 512
"""Topics in one small question."""
BEGINNING = 90_000
"""Milliseconds for which the beginning of a topic is remembered that has been read and never published to:
longer than a page takes to load and a client to reconnect. A topic that is listened to for more than a minute
(`subscriptions`) is remembered as long as any other.
"""

Take = Callable[["Page | None"], None]
Question = tuple[Script, list[str], tuple[Any, ...], Callable[[Any], None]]
"""A script, its keys and arguments, and what takes its answer."""


class QueryOwner(Protocol):
    """What queries report to: the log."""

    def failed(self, error: Exception) -> None:
        """A question was not answered."""
        ...


class Queries:
    """The questions of one log, while it is open.

    Args:
        owner: what they report to.
        topology: which server has what.
        subscriptions: the topics that are listened to.
        clock: that of the servers.
        life: milliseconds for which what is known of a topic is kept.

    Attributes:
        sent: questions that were asked.
    """

    __slots__ = ("_clock", "_life", "_owner", "_reading", "_reads", "_subscriptions", "_topology", "sent")

    def __init__(
        self,
        owner: QueryOwner,
        topology: Topology,
        subscriptions: Subscriptions,
        clock: ServerClock,
        life: int,
    ) -> None:
        self._owner = owner
        self._topology = topology
        self._subscriptions = subscriptions
        self._clock = clock
        self._life = life
        self._reads: deque[tuple[Query, Take]] = deque()
        self._reading = 0
        self.sent = 0

    def read(self, query: Query, done: Take) -> None:
        """Ask for a page; None if it cannot be asked for now."""
        if self._topology.connection_of(query.topic) is None:
            done(None)
            return
        self._reads.append((query, done))
        self.go()

    def go(self) -> None:
        """Ask for the next pages."""
        while self._reads and self._reading < READS:
            query, done = self._reads.popleft()
            connection = self._topology.connection_of(query.topic)
            if connection is None:
                done(None)
            else:
                self._reading += 1
                self._read(connection, query, done)

    def close(self) -> None:
        """No more answers: pages that are waited for are answered with None."""
        reads, self._reads = self._reads, deque()
        for _, done in reads:
            done(None)

    def compare(self, topics: Sequence[str]) -> None:
        """Compare what the log says of topics with what was handed over."""
        keys, subscriptions = self._topology.keys, self._subscriptions

        def question(members: list[str]) -> Question:
            def answered(answer: list[bytes | None]) -> None:
                for topic, said in zip(members, answer, strict=True):
                    subscriptions.compare(topic, None if said is None else head_of(said))

            stay = ("1" if subscriptions.stays(topic) else "0" for topic in members)
            args = (self._life, self._beginning, *stay)
            return HEADS, [keys.meta(topic) for topic in members], args, answered

        self._together(topics, question)

    def look_for(
        self, known: Mapping[str, tuple[Position, int]], missing: Callable[[str, Position], None]
    ) -> None:
        """After a reconnect: is what this process was told is stored still there?

        Args:
            known: for each topic the last position that was acknowledged, and the lineage.
            missing: told of each that was taken back.
        """
        names = self._topology.keys

        def question(members: list[str]) -> Question:
            keys: list[str] = []
            args: list[Any] = []
            for topic in members:
                position, lineage = known[topic]
                keys += (names.log(topic), names.meta(topic))
                args += (f"{position.seq}-{position.nonce}", position.seq, lineage)

            def answered(answer: list[int]) -> None:
                for number in answer:
                    topic = members[number - 1]
                    missing(topic, known[topic][0])

            return LOST, keys, tuple(args), answered

        self._together(list(known), question)

    def present(
        self,
        process: str,
        life: float,
        said: Mapping[str, tuple[str, bool]],
        told: Callable[[str, list[bytes]], None],
    ) -> None:
        """Say who listens here, and ask who listens elsewhere.

        Args:
            process: this one's name.
            life: seconds for which what is said counts.
            said: for each topic what to say (see the script), and whether to ask.
            told: called for each topic that was asked for, with what the others say. Not called if it cannot
                be asked now.
        """
        keys = self._topology.keys

        def question(members: list[str]) -> Question:
            args: list[Any] = [process, int(life * 1000)]
            for topic in members:
                args += (said[topic][0], "1" if said[topic][1] else "0")

            def answered(answer: list[list[bytes]]) -> None:
                for topic, others in zip(members, answer, strict=True):
                    if said[topic][1]:
                        told(topic, others)

            return PRESENCE, [keys.here(topic) for topic in members], tuple(args), answered

        self._together(list(said), question)

    # -- inside ----------------------------------------------------------------------------------------------

    @property
    def _beginning(self) -> int:
        """Milliseconds for which a beginning is remembered: until it is compared again, at the least."""
        return min(max(BEGINNING, int(self._subscriptions.worst * 3000)), self._life)

    def _read(self, connection: Connection, query: Query, done: Take) -> None:
        keys = self._topology.keys
        after = (
            ("", "") if query.after is None else (f"{query.after.seq}-{query.after.nonce}", query.after.seq)
        )
        life = (self._life, self._beginning)
        args = (new_nonce(), *life, *after, query.last, query.max_entries, query.max_bytes)

        def over(page: Page | None) -> None:
            self._reading -= 1
            done(page)
            self.go()

        def answered(answer: Any) -> None:
            page = page_of(answer, query, self._clock.at)
            self._subscriptions.asked(query.topic, page.head)
            connection.soon(lambda: over(page))  # what a reader raises is not the answer's fault

        places = [keys.log(query.topic), keys.meta(query.topic)]
        self._run(connection, (PAGE, places, args, answered), lambda _: over(None))

    def _together(self, topics: Sequence[str], question: Callable[[list[str]], Question]) -> None:
        """Ask about many topics at once, and one by one where that is refused."""
        for members in self._parted(topics):
            connection = self._topology.connection_of(members[0])
            if connection is None:
                continue

            def refused(refusal: Retry | Exception, members: list[str] = members) -> None:
                alone = refusal.code == "TRYAGAIN" if isinstance(refusal, Retry) else True
                if len(members) > 1 and alone:
                    for topic in members:
                        self._together([topic], question)

            self._run(connection, question(members), refused)

    def _parted(self, topics: Sequence[str]) -> Iterator[list[str]]:
        """Topics in groups that one script call may touch."""
        groups: dict[int, list[str]] = {}
        for topic in topics:
            groups.setdefault(self._topology.partition(topic), []).append(topic)
        for members in groups.values():
            for begin in range(0, len(members), AT_ONCE):
                yield members[begin : begin + AT_ONCE]

    def _run(
        self, connection: Connection, question: Question, failed: Callable[[Retry | Exception], None]
    ) -> None:
        """Ask; if there is no answer that can be used, `failed` gets the reason."""
        script, keys, args, answered = question
        call = ScriptCall(script, keys, args)

        def replied(answer: Any) -> None:
            result = call.reply(answer)
            if isinstance(result, Retry):
                there = connection if result.where is None else self._topology.connection_at(result.where)
                if result.at_once and there is not None:
                    there.call(call, replied)
                else:
                    self._topology.wrong(result.code)
                    fail(answer, result)
                return
            found = result.answer
            if not isinstance(found, Exception):
                try:
                    answered(found)
                except (ValueError, TypeError, AttributeError, IndexError) as error:
                    found = error  # it is not what the script answers
                else:
                    return
            fail(found, found)

        def fail(error: Exception, result: Retry | Exception) -> None:
            if not isinstance(error, Lost):
                self._owner.failed(error)
            failed(result)

        self.sent += 1
        connection.call(call, replied)
