"""Queries to Redis: pages, missed announcements, entries lost by a failover, listeners.

Each query is one script call. Pages are big, so only a few are in flight at a time; the other queries are
small and cover many topics at once, as far as a cluster lets a script access them together. Where a call for
many topics is refused, each topic is queried alone, so that one topic's failure affects no other topic.

Standard: docs/resume.md §1 ("Size"), §5.
Never: a query that Redis refuses raises. It is reported, and repeated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from rx_sse.bus.log.port import Page, Query
from rx_sse.bus.log.position import Position, new_nonce, seq_of, text_of
from rx_sse.bus.redis.net.connection import Connection
from rx_sse.bus.redis.protocol.call import Lost, Retry, ScriptCall
from rx_sse.bus.redis.protocol.codec import head_of, page_of
from rx_sse.bus.redis.protocol.scripts import HEADS, LOST, PAGE, PRESENCE, Script
from rx_sse.bus.redis.server_clock import ServerClock
from rx_sse.bus.redis.subscriptions import Subscriptions
from rx_sse.bus.redis.topology import Topology

READS = 8
"""Pages in flight at a time: 8 MB of answers, behind which a publish has to wait."""
AT_ONCE = 512
"""Topics in one small query."""
BEGINNING = 90_000
"""Milliseconds for which the beginning of a topic is kept that has been read and never published to: longer
than a page takes to load and a client to reconnect. A topic that is listened to for more than a minute
(`subscriptions`) is kept as long as any other.
"""

Take = Callable[["Page | None"], None]
Question = tuple[Script, list[str], tuple[Any, ...], Callable[[Any], None]]
"""A script, its keys and arguments, and the function that gets its answer."""


class QueryOwner(Protocol):
    """The log, which queries report to."""

    def failed(self, error: Exception) -> None:
        """A query was not answered."""
        ...


class Queries:
    """The queries of one log, while it is open.

    Args:
        owner: the log.
        topology: finds the server of a topic.
        subscriptions: the topics that are listened to.
        clock: the clock of the servers.
        life: milliseconds for which a topic's metadata is kept.

    Attributes:
        sent: number of queries sent.
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
        """Query a page; None if that is not possible now."""
        if self._topology.connection_of(query.topic) is None:
            done(None)
            return
        self._reads.append((query, done))
        self.go()

    def go(self) -> None:
        """Send the next queries for pages."""
        while self._reads and self._reading < READS:
            query, done = self._reads.popleft()
            connection = self._topology.connection_of(query.topic)
            if connection is None:
                done(None)
            else:
                self._reading += 1
                self._read(connection, query, done)

    def close(self) -> None:
        """Answer no more: waiting queries for pages are answered with None."""
        reads, self._reads = self._reads, deque()
        for _, done in reads:
            done(None)

    def compare(self, topics: Sequence[str]) -> None:
        """Compare the last positions of topics in the log with those that were delivered."""
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
        """After a reconnect: find acknowledged positions that the log no longer has.

        Args:
            known: for each topic the last acknowledged position, and the lineage.
            missing: called for each topic whose position was lost.
        """
        names = self._topology.keys

        def question(members: list[str]) -> Question:
            keys: list[str] = []
            args: list[Any] = []
            for topic in members:
                position, lineage = known[topic]
                keys += (names.log(topic), names.meta(topic))
                args += (text_of(position), seq_of(position), lineage)

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
        """Report the listeners of this process, and query those of the others.

        Args:
            process: the name of this process.
            life: seconds for which the report is valid.
            said: for each topic the report (see the script), and whether to query it.
            told: called for each queried topic, with the reports of the other processes. Not called if it
                cannot be queried now.
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
        """Milliseconds for which a beginning is kept: at least until it is compared again."""
        return min(max(BEGINNING, int(self._subscriptions.worst * 3000)), self._life)

    def _read(self, connection: Connection, query: Query, done: Take) -> None:
        keys = self._topology.keys
        after = ("", "") if query.after is None else (text_of(query.after), seq_of(query.after))
        life = (self._life, self._beginning)
        args = (new_nonce(), *life, *after, query.last, query.max_entries, query.max_bytes)

        def over(page: Page | None) -> None:
            self._reading -= 1
            done(page)
            self.go()

        def answered(answer: Any) -> None:
            page = page_of(answer, query, self._clock.at)
            self._subscriptions.asked(query.topic, page.head)
            connection.soon(lambda: over(page))  # an exception of a reader is not the answer's fault

        places = [keys.log(query.topic), keys.meta(query.topic)]
        self._run(connection, (PAGE, places, args, answered), lambda _: over(None))

    def _together(self, topics: Sequence[str], question: Callable[[list[str]], Question]) -> None:
        """Query many topics at once, and one by one where that is refused."""
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
        """Topics in groups that one script call may access."""
        groups: dict[int, list[str]] = {}
        for topic in topics:
            groups.setdefault(self._topology.partition(topic), []).append(topic)
        for members in groups.values():
            for begin in range(0, len(members), AT_ONCE):
                yield members[begin : begin + AT_ONCE]

    def _run(
        self, connection: Connection, question: Question, failed: Callable[[Retry | Exception], None]
    ) -> None:
        """Send a query; if there is no usable answer, `failed` gets the reason."""
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
                    found = error  # the script never returns this
                else:
                    return
            fail(found, found)

        def fail(error: Exception, result: Retry | Exception) -> None:
            if not isinstance(error, Lost):
                self._owner.failed(error)
            failed(result)

        self.sent += 1
        connection.call(call, replied)
