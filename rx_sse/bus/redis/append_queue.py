"""A queue of appends, and its one batch in flight.

Appends of one turn of the loop are sent together; appends made while a batch is in flight form the next
batch. So the order is that of the appends, even if a server refuses or a connection loses a batch: a batch is
sent again until it is settled, and no later append passes it.

A batch that is refused as a whole is split until the topic that causes the refusal is alone: this topic is
refused, and the others continue. On a cluster the order holds for the topics of a partition, also while only
one of them has to wait because some of its keys have moved (TRYAGAIN): they share one hash tag and so one
slot (`keys`), which moves as a whole. Each of them is split off in its turn while the slot moves, all are
free when the move is complete, and the other partitions have queues of their own. Letting them pass would
need a batch in flight for each topic.

Standard: docs/resume.md §4.
Never: a draft whose publisher got `PublishRefused` is stored.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Any, Protocol

from rx_sse.bus.log.entry import Draft
from rx_sse.bus.log.port import not_stored
from rx_sse.bus.log.position import nonce_of
from rx_sse.bus.redis.backoff import Backoff
from rx_sse.bus.redis.net.connection import Connection
from rx_sse.bus.redis.protocol.append import (
    MAX_ENTRIES,
    AppendBatch,
    Outcome,
    Stored,
    maybe_stored,
    take,
)
from rx_sse.bus.redis.protocol.call import LOST, Done, Retry, ScriptCall
from rx_sse.bus.redis.protocol.fence import Fence
from rx_sse.bus.redis.replicas import Replicas
from rx_sse.bus.redis.topology import Topology
from rx_sse.errors import PublishUnknown

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.5
"""Seconds before a refused batch is sent again."""
SPACING = 0.002
"""Seconds between two batches of pushes that no publisher waits for. A call costs the system some 40 µs,
whatever it holds; at 2,000 pushes a second four or five are sent together. A single push is sent at once.
"""


class AppendOwner(Protocol):
    """The log, which a queue reports to."""

    def sending(self) -> None:
        """A batch is sent."""
        ...

    def stored(self, topic: str, lineage: int, before: int, row: Sequence[Stored]) -> None:
        """Drafts were stored, in a row after the entry with the nonce `before`."""
        ...

    def left(self, draft: Draft) -> None:
        """A draft is no longer waiting."""
        ...

    def unconfirmed(self, count: int) -> None:
        """This number of entries was stored, and not enough replicas have acknowledged them."""
        ...

    def dropped(self, topic: str, error: Exception) -> None:
        """Drafts of a topic without a waiting publisher were refused for good, or are unconfirmed."""
        ...


class AppendQueue:
    """The appends of one partition; without a cluster, all.

    Args:
        owner: the log.
        topology: finds the server of a partition.
        partition: the partition of these appends.
        timeout: seconds after which a waiting publisher gets an error.
        replicas: how many replicas must have a batch before it is settled.
    """

    __slots__ = (
        "_backoff",
        "_batches",
        "_deadlines",
        "_expired",
        "_fence",
        "_owner",
        "_partition",
        "_replicas",
        "_scheduled",
        "_sent",
        "_timeout",
        "_timer",
        "_topology",
        "_under_way",
        "_urgent",
        "_waiting",
    )

    def __init__(
        self, owner: AppendOwner, topology: Topology, partition: int, timeout: float, replicas: Replicas
    ) -> None:
        self._owner = owner
        self._topology = topology
        self._partition = partition
        self._timeout = timeout
        self._replicas = replicas
        self._fence = Fence()
        self._waiting: deque[Draft] = deque()
        self._batches: deque[AppendBatch] = deque()  # the first is in flight, the others were split from it
        self._under_way = False
        self._scheduled = False
        self._urgent = False
        self._sent = 0.0
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self._deadlines: OrderedDict[Draft, float] = OrderedDict()
        self._expired: set[Draft] = set()
        self._timer: asyncio.TimerHandle | None = None

    def append(self, draft: Draft) -> None:
        """Store a draft after everything before it."""
        self._waiting.append(draft)
        loop = asyncio.get_running_loop()
        if draft.settle is not None:
            self._deadlines[draft] = loop.time() + self._timeout
            if self._timer is None:
                self._timer = loop.call_later(self._timeout, self._expire)
            if not self._batches and not self._urgent:
                self._urgent = self._scheduled = True
                loop.call_soon(self.go)  # together with the pushes before it
        elif not self._batches and not self._scheduled:
            self._scheduled = True
            if (wait := self._sent + SPACING - loop.time()) > 0:
                loop.call_later(wait, self.go)
            else:
                loop.call_soon(self.go)

    def go(self) -> None:
        """Send waiting batches. Called again whenever there may be a connection."""
        self._scheduled = self._urgent = False
        if self._under_way or not (self._batches or self._waiting):
            return
        connection = self._topology.connection(self._partition)
        if connection is None:
            return
        if not self._batches:
            drafts = take(self._waiting, self._expired)
            if not drafts:
                return
            self._batches.append(AppendBatch(drafts, self._topology.keys))
        batch = self._batches[0]
        sharded = self._topology.sharded
        self._send(connection, batch, batch.call("SPUBLISH" if sharded else "PUBLISH", self._fence))

    def close(self) -> None:
        """Settle everything with an error."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batches, self._batches = self._batches, deque()
        why = not_stored("the bus was closed")
        for number, batch in enumerate(batches):
            unknown = batch.unknown or (self._under_way and number == 0)
            self._give_up(batch.drafts, maybe_stored() if unknown else why)
        self._give_up([draft for draft in self._waiting if draft not in self._expired], why)
        self._waiting.clear()
        self._deadlines.clear()
        self._expired.clear()
        self._under_way = False

    # -- one batch -------------------------------------------------------------------------------------------

    def _send(self, connection: Connection, batch: AppendBatch, call: ScriptCall) -> None:
        self._under_way = True
        self._sent = asyncio.get_running_loop().time()
        replicas = self._replicas
        stored: list[Any] = []  # the answer, until the replicas have answered too

        def answered(answer: Any) -> None:
            if not self._is_under_way(batch):
                return
            if replicas.count and not isinstance(answer, Exception):
                stored.append(answer)
                return
            self._under_way = False
            match call.reply(answer):
                case Done(answer=found):
                    self._done(batch, found)
                case Retry() as retry:
                    self._retry(connection, batch, call, retry)

        def confirmed(short: PublishUnknown | None) -> None:
            if stored and self._is_under_way(batch):
                self._under_way = False
                self._done(batch, stored[0], short)

        self._owner.sending()
        # Other queues of a cluster may send to the same node in this turn, and a WAIT follows.
        connection.call(call, answered, now=not self._topology.sharded and not replicas.count)
        if replicas.count:
            replicas.confirm(connection, lambda: bool(stored) and self._is_under_way(batch), confirmed)

    def _is_under_way(self, batch: AppendBatch) -> bool:
        return bool(self._batches) and self._batches[0] is batch

    def _retry(self, connection: Connection, batch: AppendBatch, call: ScriptCall, retry: Retry) -> None:
        """Nothing of a batch was stored, or it is unknown whether it was."""
        if retry.at_once:
            there = connection if retry.where is None else self._topology.connection_at(retry.where)
            if there is not None:
                self._send(there, batch, call)
                return
        if retry.code == LOST:
            batch.lost(self._fence)
            self._again(FIRST_PAUSE)  # on the next connection, if there is one by then
            return
        if retry.code == "TRYAGAIN":  # some of its keys have moved: topic by topic
            self._split(batch, one=True)
        self._topology.wrong(retry.code)
        self._again(self._backoff.next())

    def _done(self, batch: AppendBatch, answer: Any, short: PublishUnknown | None = None) -> None:
        self._topology.commits.observe(asyncio.get_running_loop().time() - self._sent)
        if isinstance(answer, Exception):
            if self._split(batch):
                self.go()
            else:
                self._settled(batch, {}, batch.refused(answer))
            return
        try:
            before, outcomes = batch.outcomes(answer, self._fence)
        except ValueError as error:
            before, outcomes = {}, batch.refused(error)
        self._settled(batch, before, outcomes, short)

    def _split(self, batch: AppendBatch, *, one: bool = False) -> bool:
        """Split the batch if possible, so that one topic's refusal affects no other topic; returns
        whether."""
        parts = batch.split(one=one)
        self._batches.popleft()
        self._batches.extendleft(reversed(parts))
        return len(parts) > 1

    def _settled(
        self,
        batch: AppendBatch,
        before: dict[str, tuple[int, int]],
        outcomes: list[Outcome],
        short: PublishUnknown | None = None,
    ) -> None:
        owner = self._owner
        left: list[Draft] = []
        codes: set[str] = set()
        added: dict[str, list[Stored]] = {}
        done: list[Stored] = []
        refused: dict[str, tuple[Exception, list[Draft]]] = {}
        for draft, outcome in zip(batch.drafts, outcomes, strict=True):
            if isinstance(outcome, int):
                done.append((draft, outcome))
                if nonce_of(outcome) == draft.nonce:
                    added.setdefault(draft.topic, []).append((draft, outcome))
            elif isinstance(outcome, str):
                left.append(draft)
                codes.add(outcome)
            else:
                refused.setdefault(str(outcome), (outcome, []))[1].append(draft)
        if not batch.unknown:  # otherwise a part may have been stored before, and a row may have holes
            for topic, row in added.items():
                owner.stored(topic, *before[topic], row)
        if short is None:
            for draft, position in done:
                owner.left(draft)
                if draft.settle is not None:
                    self._deadlines.pop(draft, None)
                    draft.settle(position)
        else:
            owner.unconfirmed(len(done))
            self._give_up([draft for draft, _ in done], short)
        for error, drafts in refused.values():
            self._give_up(drafts, error)
        if left:
            batch.drafts = left
            for code in codes:
                self._topology.wrong(code)
            self._again(self._backoff.next())
        else:
            self._batches.popleft()
            self._backoff.reset()
            self._next()

    def _next(self) -> None:
        """Send the next batch: now if a publisher waits for it, otherwise when its pause is over."""
        wait = self._sent + SPACING - asyncio.get_running_loop().time()
        if self._deadlines or self._batches or len(self._waiting) >= MAX_ENTRIES or wait <= 0:
            self.go()
        elif self._waiting and not self._scheduled:
            self._scheduled = True
            self._again(wait)

    # -- giving up -------------------------------------------------------------------------------------------

    def _give_up(self, drafts: Sequence[Draft], error: Exception) -> None:
        """Settle drafts with an error; those without a waiting publisher are reported once for each topic."""
        topics: dict[str, None] = {}
        for draft in drafts:
            self._deadlines.pop(draft, None)
            self._owner.left(draft)
            if draft.settle is not None:
                draft.settle(error)
            else:
                topics[draft.topic] = None
        for topic in topics:
            self._owner.dropped(topic, error)

    def _again(self, pause: float) -> None:
        asyncio.get_running_loop().call_later(pause, self.go)

    def _expire(self) -> None:
        """Settle the drafts that have timed out."""
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._deadlines:
            draft, due = next(iter(self._deadlines.items()))
            if due > now:
                self._timer = loop.call_at(due, self._expire)
                return
            del self._deadlines[draft]
            settle, draft.settle = draft.settle, None
            assert settle is not None
            batch = next((it for it in self._batches if draft in it.drafts), None)
            if batch is not None:
                if batch.unknown or (self._under_way and batch is self._batches[0]):
                    draft.settle = _ignored  # it stays, until the batch is settled
                    settle(maybe_stored())
                    continue
                batch.drafts.remove(draft)
                if not batch.drafts:
                    self._batches.remove(batch)
            else:
                self._expired.add(draft)
            self._owner.left(draft)
            settle(not_stored(self._why()))

    def _why(self) -> str:
        said = self._topology.last_error
        return f"Redis took nothing for {self._timeout} s" + (f" ({said})" if said else "")


def _ignored(_: object) -> None:
    """For a draft whose publisher has got an error already."""
