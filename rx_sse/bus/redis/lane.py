"""A queue of appends, and the one batch of it that is under way.

Appends of one turn of the loop leave together; what comes while a batch is under way makes the next one. So
the order is that of the appends, whatever a server refuses or a connection loses in between: a batch is
sent again until it is settled, and nothing passes it.

On a cluster that holds for the topics of a partition, also while only one of them has to wait because some
of its keys have moved (TRYAGAIN): they share one hash tag and so one slot (`layout`), which moves as a whole.
Each of them is split in its turn while the slot moves, all are free when it has arrived, and the other
partitions have lanes of their own. To let them pass would take a batch under way for each topic.

Standard: resume rules §4.
Never: a draft whose publisher was told `PublishRefused` is stored.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Any, Protocol

import hiredis

from rx_sse.bus.cursor import Position
from rx_sse.bus.log import Draft
from rx_sse.bus.redis.batch import Batch, Outcome, Stored, refusal, take
from rx_sse.bus.redis.layout import Layout
from rx_sse.bus.redis.link import Link, Lost
from rx_sse.bus.redis.replicas import Replicas
from rx_sse.errors import PublishRefused, PublishUnknown

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.5
"""Seconds before a refused batch is sent again."""


class Home(Protocol):
    """Whom a lane serves."""

    @property
    def layout(self) -> Layout: ...

    @property
    def sharded(self) -> bool: ...

    @property
    def timeout(self) -> float:
        """Seconds after which a publisher that waits is told."""
        ...

    @property
    def replicas(self) -> Replicas:
        """Who must have a batch before it is settled."""
        ...

    def link(self, partition: int) -> Link | None:
        """The connection to who stores a partition now."""
        ...

    def sending(self) -> None:
        """A batch leaves."""
        ...

    def link_at(self, where: str) -> Link | None:
        """The connection to a node that a refusal names."""
        ...

    def refused(self, code: str) -> None:
        """A server refused for a while: it may not be the right one any more."""
        ...

    def stored(self, topic: str, lineage: int, before: int, row: Sequence[Stored]) -> None:
        """Drafts were stored, in a row behind the entry with the nonce `before`."""
        ...

    def left(self, draft: Draft) -> None:
        """A draft is no longer waiting."""
        ...

    def unconfirmed(self, count: int) -> None:
        """So many entries are stored, and not enough replicas have acknowledged them."""
        ...

    def dropped(self, topic: str, error: Exception) -> None:
        """Drafts of a topic that nobody waits for were refused for good, or are unconfirmed."""
        ...


class Lane:
    """The appends of one partition; without a cluster, all.

    Args:
        home: whom it serves.
        partition: which.
    """

    __slots__ = (
        "_batch",
        "_deadlines",
        "_expired",
        "_home",
        "_partition",
        "_pause",
        "_scheduled",
        "_timer",
        "_under_way",
        "_waiting",
    )

    def __init__(self, home: Home, partition: int) -> None:
        self._home = home
        self._partition = partition
        self._waiting: deque[Draft] = deque()
        self._batch: Batch | None = None
        self._under_way = False
        self._scheduled = False
        self._pause = FIRST_PAUSE
        self._deadlines: OrderedDict[Draft, float] = OrderedDict()
        self._expired: set[Draft] = set()
        self._timer: asyncio.TimerHandle | None = None

    def append(self, draft: Draft) -> None:
        """Store it behind everything before it."""
        self._waiting.append(draft)
        loop = asyncio.get_running_loop()
        if draft.settle is not None:
            self._deadlines[draft] = loop.time() + self._home.timeout
            if self._timer is None:
                self._timer = loop.call_later(self._home.timeout, self._expire)
        if self._batch is None and not self._scheduled:
            self._scheduled = True
            loop.call_soon(self.go)

    def go(self) -> None:
        """Send what there is to send. Called again whenever there may be a connection."""
        self._scheduled = False
        if self._under_way or (self._batch is None and not self._waiting):
            return
        link = self._home.link(self._partition)
        if link is None:
            return
        if self._batch is None:
            drafts = take(self._waiting, self._expired)
            if not drafts:
                return
            self._batch = Batch(drafts, self._home.layout)
        self._send(link, self._batch, whole=False)

    def close(self) -> None:
        """It is over: tell who waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch, self._batch = self._batch, None
        why = _not_stored("the bus was closed")
        if batch is not None:
            unknown = self._under_way or batch.unknown
            self._give_up(batch.drafts, _unknown() if unknown else why)
        self._give_up([draft for draft in self._waiting if draft not in self._expired], why)
        self._waiting.clear()
        self._deadlines.clear()
        self._expired.clear()
        self._under_way = False

    def _send(self, link: Link, batch: Batch, *, whole: bool) -> None:
        self._under_way = True
        replicas = self._home.replicas
        stored: list[Any] = []  # the answer, until the replicas' is there

        def answered(answer: Any) -> None:
            if self._batch is not batch:
                return
            if replicas.count and not isinstance(answer, Exception):
                stored.append(answer)
                return
            self._under_way = False
            if isinstance(answer, Lost):
                batch.unknown = True
                self._again(FIRST_PAUSE)  # on the next connection, if there is one by then
            elif isinstance(answer, hiredis.ReplyError):
                self._refused(link, batch, str(answer), whole)
            else:
                self._settled(batch, *batch.outcomes(answer))

        def confirmed(short: PublishUnknown | None) -> None:
            if stored and self._batch is batch:
                self._under_way = False
                self._settled(batch, *batch.outcomes(stored[0]), short)

        sharded = self._home.sharded
        self._home.sending()
        command = batch.call("SPUBLISH" if sharded else "PUBLISH", whole=whole)
        # Other lanes of a cluster may have something for the same node in this turn, and a WAIT follows.
        link.send(command, answered, now=not sharded and not replicas.count)
        if replicas.count:
            replicas.confirm(link, lambda: bool(stored) and self._batch is batch, confirmed)

    def _refused(self, link: Link, batch: Batch, said: str, whole: bool) -> None:
        """Nothing of a batch was stored."""
        if said.startswith("NOSCRIPT") and not whole:
            self._send(link, batch, whole=True)
            return
        if said.startswith("ASK "):  # the slot is on its way to another node, and these keys have arrived
            there = self._home.link_at(said.split()[-1])
            if there is not None and there is not link:
                there.send(("ASKING",), _ignored)
                self._send(there, batch, whole=True)
                return
        if said.startswith("TRYAGAIN") and not batch.unknown:  # some of its keys have moved: topic by topic
            first = batch.drafts[0].topic
            later = [draft for draft in batch.drafts if draft.topic != first]
            batch.drafts = [draft for draft in batch.drafts if draft.topic == first]
            self._waiting.extendleft(reversed(later))
        outcome = refusal(said)
        self._settled(batch, {}, [outcome] * len(batch.drafts))

    def _settled(
        self,
        batch: Batch,
        before: dict[str, tuple[int, int]],
        outcomes: list[Outcome],
        short: PublishUnknown | None = None,
    ) -> None:
        home = self._home
        left: list[Draft] = []
        codes: set[str] = set()
        added: dict[str, list[Stored]] = {}
        done: list[Stored] = []
        refused: dict[str, tuple[Exception, list[Draft]]] = {}
        for draft, outcome in zip(batch.drafts, outcomes, strict=True):
            if isinstance(outcome, Position):
                done.append((draft, outcome))
                if outcome.nonce == draft.nonce:
                    added.setdefault(draft.topic, []).append((draft, outcome))
            elif isinstance(outcome, str):
                left.append(draft)
                codes.add(outcome)
            else:
                refused.setdefault(str(outcome), (outcome, []))[1].append(draft)
        if not batch.unknown:  # otherwise some of it was stored before, and a row may have holes
            for topic, row in added.items():
                home.stored(topic, *before[topic], row)
        if short is None:
            for draft, position in done:
                home.left(draft)
                if draft.settle is not None:
                    self._deadlines.pop(draft, None)
                    draft.settle(position)
        else:
            home.unconfirmed(len(done))
            self._give_up([draft for draft, _ in done], short)
        for error, drafts in refused.values():
            self._give_up(drafts, error)
        if left:
            batch.drafts = left
            for code in codes:
                home.refused(code)
            self._again(self._pause)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        else:
            self._batch = None
            self._pause = FIRST_PAUSE
            self.go()

    def _give_up(self, drafts: Sequence[Draft], error: Exception) -> None:
        """Settle drafts with an error; what nobody waits for is told once for a topic."""
        topics: dict[str, None] = {}
        for draft in drafts:
            self._deadlines.pop(draft, None)
            self._home.left(draft)
            if draft.settle is not None:
                draft.settle(error)
            else:
                topics[draft.topic] = None
        for topic in topics:
            self._home.dropped(topic, error)

    def _again(self, pause: float) -> None:
        asyncio.get_running_loop().call_later(pause, self.go)

    def _expire(self) -> None:
        """Tell the publishers whose time is over."""
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        batch = self._batch
        while self._deadlines:
            draft, due = next(iter(self._deadlines.items()))
            if due > now:
                self._timer = loop.call_at(due, self._expire)
                return
            del self._deadlines[draft]
            settle, draft.settle = draft.settle, None
            assert settle is not None
            if batch is not None and draft in batch.drafts:
                if batch.unknown or self._under_way:
                    draft.settle = _heard_enough  # it stays, until the batch is settled
                    settle(_unknown())
                    continue
                batch.drafts.remove(draft)
                if not batch.drafts:
                    self._batch = batch = None
            else:
                self._expired.add(draft)
            self._home.left(draft)
            settle(_not_stored(f"Redis took nothing for {self._home.timeout} s"))


def _ignored(answer: Any) -> None:
    """An answer that says nothing."""


def _heard_enough(_: object) -> None:
    """Its publisher was told that it is unknown."""


def _not_stored(why: str) -> PublishRefused:
    return PublishRefused(f"{why}; nothing was stored", retry_after=1.0)


def _unknown() -> PublishUnknown:
    return PublishUnknown(
        "it was sent and no answer came: it may have been stored. Repeat it with the same idempotency_key"
    )
