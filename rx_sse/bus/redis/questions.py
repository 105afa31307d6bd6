"""What is asked of Redis: pages, whether anything was missed, what a failover took back, who listens.

Each question is one script call. Pages are big, so only a few are under way at a time; the others are small
and are asked for many topics at once, as far as a cluster lets a script touch them together.

Standard: resume rules §1 ("Size"), §5.
Never: a question that Redis refuses raises. Whoever asked gets no answer, and asks again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import hiredis

from rx_sse.bus.cursor import Position, new_nonce
from rx_sse.bus.log import Page, Query
from rx_sse.bus.redis.batch import eval_command
from rx_sse.bus.redis.codec import head_of, page_of
from rx_sse.bus.redis.layout import Layout
from rx_sse.bus.redis.link import Link
from rx_sse.bus.redis.scripts import HEADS, LOST, PAGE, PRESENCE, Script
from rx_sse.bus.redis.watches import Watches

READS = 8
"""Pages under way at a time: 8 MB of answers, behind which a publish has to wait."""
AT_ONCE = 512
"""Topics in one small question."""

Done = Callable[["Page | None"], None]
Question = tuple[Script, list[str], tuple[Any, ...], Callable[[Any], None]]
"""A script, its keys and arguments, and who takes its answer."""


class Asker(Protocol):
    """The log, as its questions see it."""

    @property
    def layout(self) -> Layout: ...

    @property
    def sharded(self) -> bool: ...

    @property
    def watches(self) -> Watches: ...

    @property
    def life(self) -> int:
        """Milliseconds for which what is known of a topic is kept."""
        ...

    def link_of(self, topic: str) -> Link | None: ...

    def link_at(self, where: str) -> Link | None: ...

    def at(self, milliseconds: int) -> float: ...

    def complain(self, error: Exception) -> None: ...


class Questions:
    """The questions of one log, while it is open.

    Args:
        log: whose.
    """

    __slots__ = ("_log", "_reading", "_reads", "asked")

    def __init__(self, log: Asker) -> None:
        self._log = log
        self._reads: deque[tuple[Query, Done]] = deque()
        self._reading = 0
        self.asked = 0

    def read(self, query: Query, done: Done) -> None:
        """Ask for a page; None if it cannot be asked for now."""
        if self._log.link_of(query.topic) is None:
            done(None)
            return
        self._reads.append((query, done))
        self.go()

    def go(self) -> None:
        """Ask for the next pages."""
        while self._reads and self._reading < READS:
            query, done = self._reads.popleft()
            link = self._log.link_of(query.topic)
            if link is None:
                done(None)
            else:
                self._reading += 1
                self._read(link, query, done)

    def close(self) -> None:
        """No more answers: whoever waits for a page is told."""
        reads, self._reads = self._reads, deque()
        for _, done in reads:
            done(None)

    def compare(self, topics: Sequence[str]) -> None:
        """Compare what the log says of topics with what was handed over."""
        log = self._log

        def question(members: list[str]) -> Question:
            def answered(answer: list[bytes | None]) -> None:
                for topic, said in zip(members, answer, strict=True):
                    log.watches.compare(topic, None if said is None else head_of(said))

            return HEADS, [log.layout.meta(topic) for topic in members], (log.life,), answered

        self._together(topics, question)

    def look_for(
        self, known: Mapping[str, tuple[Position, int]], missing: Callable[[str, Position], None]
    ) -> None:
        """After a reconnect: is what this process was told is stored still there?

        Args:
            known: for each topic the last position that was acknowledged, and the lineage.
            missing: told of each that was taken back.
        """
        log = self._log

        def question(members: list[str]) -> Question:
            keys: list[str] = []
            args: list[Any] = []
            for topic in members:
                position, lineage = known[topic]
                keys += (log.layout.log(topic), log.layout.meta(topic))
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
        log = self._log

        def question(members: list[str]) -> Question:
            args: list[Any] = [process, int(life * 1000)]
            for topic in members:
                args += (said[topic][0], "1" if said[topic][1] else "0")

            def answered(answer: list[list[bytes]]) -> None:
                for topic, others in zip(members, answer, strict=True):
                    if said[topic][1]:
                        told(topic, others)

            return PRESENCE, [log.layout.here(topic) for topic in members], tuple(args), answered

        self._together(list(said), question)

    # -- inside ----------------------------------------------------------------------------------------------

    def _read(self, link: Link, query: Query, done: Done) -> None:
        log = self._log
        after = ("", "") if query.after is None else query.after
        keys = [log.layout.log(query.topic), log.layout.meta(query.topic)]
        args = (new_nonce(), log.life, *after, query.last, query.max_entries, query.max_bytes)

        def over(page: Page | None) -> None:
            self._reading -= 1
            done(page)
            self.go()

        def answered(answer: Any) -> None:
            page = page_of(answer, log.at)
            log.watches.asked(query.topic, page.head)
            link.soon(lambda: over(page))  # what a reader raises is not the answer's fault

        self._run(link, PAGE, keys, args, answered, lambda _: over(None))

    def _together(self, topics: Sequence[str], question: Callable[[list[str]], Question]) -> None:
        """Ask about many topics at once, and one by one where some have moved to another node already."""
        for members in self._parted(topics):
            link = self._log.link_of(members[0])
            if link is None:
                continue

            def refused(error: Exception, members: list[str] = members) -> None:
                if len(members) > 1 and str(error).startswith("TRYAGAIN"):
                    for topic in members:
                        self._together([topic], question)

            self._run(link, *question(members), refused)

    def _parted(self, topics: Sequence[str]) -> Iterator[list[str]]:
        """Topics in groups that one script call may touch."""
        groups: dict[int, list[str]] = {}
        for topic in topics:
            groups.setdefault(self._log.layout.partition(topic) if self._log.sharded else 0, []).append(topic)
        for members in groups.values():
            for begin in range(0, len(members), AT_ONCE):
                yield members[begin : begin + AT_ONCE]

    def _run(
        self,
        link: Link,
        script: Script,
        keys: list[str],
        args: tuple[Any, ...],
        answered: Callable[[Any], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """Ask; `answered` gets what the script answers, `failed` is called if it does not."""
        log = self._log

        def finish(answer: Any) -> None:
            if not isinstance(answer, Exception):
                try:
                    answered(answer)
                except (ValueError, TypeError, AttributeError, IndexError) as error:
                    answer = error  # it is not what the script answers
                else:
                    return
            log.complain(answer)
            failed(answer)

        def first(answer: Any) -> None:
            said = str(answer) if isinstance(answer, hiredis.ReplyError) else ""
            there = log.link_at(said.split()[-1]) if said.startswith("ASK ") else None
            if said.startswith("NOSCRIPT"):
                link.send(eval_command(script, keys, args, whole=True), finish)
            elif there is not None:  # the slot is on its way there, and these keys have arrived
                there.send(("ASKING",), _ignored)
                there.send(eval_command(script, keys, args, whole=True), finish)
            else:
                finish(answer)

        self.asked += 1
        link.send(eval_command(script, keys, args), first)


def _ignored(answer: Any) -> None:
    """An answer that says nothing."""
