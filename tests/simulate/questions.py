"""What a process is asked besides its streams, and what the answers must be: a topic's position and pages of
its history, who listens, and whose tokens are revoked.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence

from rx_sse.bus.bus import core_of
from rx_sse.bus.history import HistoryPage
from rx_sse.bus.log.position import nonce_of, parse, ref_of, seq_of
from rx_sse.bus.shared_rosters import LIFE
from rx_sse.errors import BusClosed, Overloaded, PublishRefused, PublishUnknown, QueueFull

from .chain import Chain, name_of
from .client import Client
from .loop import Loop
from .process import Process
from .trace import Trace

LIBRARY = ("stream-gap", "stream-end")
"""Entries that are no events."""


class Questions:
    """What one run asks.

    Args:
        loop, chance, trace, chains, processes, clients: the run's.
        memory: whether the log is in the process.
        shared: whether all processes know who listens in each of them.
        keeps: whether the log loses no revocation.
    """

    def __init__(
        self,
        loop: Loop,
        chance: random.Random,
        trace: Trace,
        chains: Mapping[str, Chain],
        processes: Sequence[Process],
        clients: Sequence[Client],
        *,
        memory: bool,
        shared: bool,
        keeps: bool,
    ) -> None:
        self.loop = loop
        self.chance = chance
        self.trace = trace
        self.chains = chains
        self.processes = processes
        self.clients = clients
        self.memory = memory
        self.shared = shared
        self.keeps = keeps
        self._cursors: dict[str, str] = {}
        self._asked: list[tuple[str, float]] = []
        """Users whose tokens were to be revoked, and when."""
        self._stored_revocations: set[tuple[str, float]] = set()
        """Those of them that the log has."""

    # -- positions and history -------------------------------------------------------------------------------

    async def read(self, process: Process, topic: str, cursor: str) -> None:
        """Ask for a topic's position, or for its history page by page: from the oldest entry on, from a
        cursor that a client or an earlier question had, or the newest ones.
        """
        how = self.chance.choice(("position", "oldest", "newest", "after"))
        limit = self.chance.choice((1, 3, 100))
        after = self._cursors.get(topic, "") if self.chance.random() < 0.5 else cursor
        if how == "after" and ref_of(topic) not in (parse(after) or {}):
            how = "oldest"
        self.trace.note(process.name, "is asked for {} of {} ({} a page)", how, topic, limit)
        try:
            await self._read(process, topic, how, after, limit)
        except (Overloaded, BusClosed) as error:
            self.trace.note(process.name, "does not answer: {}", type(error).__name__)

    async def _read(self, process: Process, topic: str, how: str, after: str, limit: int) -> None:
        bus = process.bus
        if bus is None:
            return
        stored = self._stored(topic)
        if how == "position":
            self._cursors[topic] = found = await bus.position(topic)
            self._whole(topic, found, stored)
            return
        if how == "newest":
            page = await bus.history(topic, last=limit)
            self._is_newest(page, limit)
        else:
            page = await bus.history(topic, after=after if how == "after" else None, limit=limit)
            self._follows(page, after if how == "after" else None)
        while page.next is not None:
            self._cursors[topic] = page.next
            stored = self._stored(topic)
            page = await bus.history(topic, after=(after := page.next), limit=limit)
            self._follows(page, after)
        self._whole(topic, page.position, stored)

    def _stored(self, topic: str) -> int:
        """Entries of a topic that the log has stored; a log in the process may have them in its inbox."""
        return 0 if self.memory else len(self.chains[topic].items)

    def _place(self, topic: str, cursor: str) -> int | None:
        """How many items lie before a cursor; None if nobody can tell."""
        chain = self.chains[topic]
        place = (parse(cursor) or {})[ref_of(topic)]
        return None if _twisted(chain) else chain.after(seq_of(place.position), nonce_of(place.position))

    def _begin(self, page: HistoryPage) -> int | None:
        """The place of the first item of a page, which has the items from there on, each of them once."""
        chain = self.chains[page.topic]
        if _twisted(chain):
            return None
        got = [None if it.event in LIBRARY else name_of(it.data) for it in page]
        known = next((i for i, payload in enumerate(got) if payload is not None), None)
        if known is None:
            end = self._place(page.topic, page.position)
            return None if end is None else end - len(got)
        begin = chain.by_payload[str(got[known])].index - known
        due = [it.payload for it in chain.between(begin, begin + len(got))]
        assert got == due, f"a page of {page.topic} has {got}, and not {due}"
        return begin

    def _follows(self, page: HistoryPage, after: str | None) -> None:
        """A page has the items behind a cursor; of those that it does not have, none could be had."""
        begin = self._begin(page)
        place = 0 if after is None else self._place(page.topic, after)
        if begin is None or place is None:
            return
        where = f"a page of {page.topic} begins at {begin}, and {place} was asked for"
        if after is not None:
            assert (page.gap is None) is (begin == place), f"{where}: its gap is {page.gap}"
        there = self._there(page.topic, place, begin)
        assert not there, f"{where}, but {there} could still be had"

    def _is_newest(self, page: HistoryPage, last: int) -> None:
        """A page has so many of the newest items, if the log still has them."""
        assert len(page) <= last, f"{len(page)} entries of {page.topic}, {last} were asked for"
        begin = self._begin(page)
        if begin is not None and page.next is None:  # else it is as long as a page may be
            there = self._there(page.topic, max(begin + len(page) - last, 0), begin)
            assert not there, f"the last {last} of {page.topic} do not have {there}, which could be had"

    def _there(self, topic: str, begin: int, end: int) -> list[str]:
        """Items that a reader could get now."""
        now = self.loop.time()
        items = self.chains[topic].between(begin, end)
        return [str(it.payload) for it in items if it.gone is None or it.gone > now]

    def _whole(self, topic: str, cursor: str, stored: int) -> None:
        """A cursor has all before it that was stored when it was asked for."""
        place = self._place(topic, cursor)
        assert place is None or place >= stored, f"{topic} is at {place}, but {stored} entries were stored"

    # -- who listens -----------------------------------------------------------------------------------------

    def look(self) -> None:
        """Have every process ask the others who listens; the answers come by and by."""
        for process in self.processes:
            if process.bus is not None:
                for topic in self.chains:
                    assert process.bus.presence(topic).total >= 0

    @property
    def settled(self) -> float:
        """From when on nobody counts the listeners of a process that ended without a word."""
        return max(process.ended for process in self.processes) + LIFE + 1.0 if self.shared else 0.0

    def account(self) -> None:
        """Everything has come to rest: who listens, and whose tokens are refused, is the same everywhere."""
        for process in self.processes:
            assert process.bus is not None
            for topic in self.chains:
                presence = process.bus.presence(topic)
                streams = [
                    client
                    for client in self.clients
                    if topic in client.accounts
                    and client.open
                    and not client.done
                    and (self.shared or client.process is process)
                ]
                here = Counter(client.user for client in streams if client.user)
                assert presence.members == here, (
                    f"{process.name} has {presence.members} as listeners of {topic}, which are {dict(here)}"
                )
                asked = self.processes if self.shared else (process,)
                total = len(streams) + sum(topic in other.topics for other in asked)
                assert presence.total == total, (
                    f"{process.name} counts {presence.total} listeners of {topic}, which are {total}"
                )
        self._account_for_revocations()

    # -- revocations -----------------------------------------------------------------------------------------

    async def revoke(self, process: Process, client: Client) -> None:
        """All tokens that a user has are refused from now on."""
        bus, at = process.bus, self.loop.wall_time()
        if bus is None or client.user is None:
            return
        self.trace.note(process.name, "is asked to revoke the tokens of {}", client.user)
        self._asked.append((client.user, at))
        try:
            await bus.revoke(user=client.user)
        except (QueueFull, PublishRefused, PublishUnknown, BusClosed, Overloaded) as error:
            self.trace.note(process.name, "revoke: {}", type(error).__name__)
        else:
            self.trace.note(process.name, "has revoked the tokens of {}", client.user)
            self._stored_revocations.add((client.user, at))

    def _account_for_revocations(self) -> None:
        for user, at in self._asked:
            known = [process.name for process in self.processes if _refuses(process, user, at)]
            assert len(known) in (0, len(self.processes)), f"only {known} refuse the old tokens of {user}"
            if self.keeps and (user, at) in self._stored_revocations:
                assert known, f"the tokens of {user} were revoked, and are accepted"
        for client in self.clients:
            if client.open and client.user is not None and client.process is not None:
                assert not _refuses(client.process, client.user, client.issued_at), (
                    f"{client.name} has a stream with a token that was revoked"
                )


def _refuses(process: Process, user: str, issued_at: float) -> bool:
    assert process.bus is not None
    return core_of(process.bus).revocations.is_revoked(user, None, issued_at)


def _twisted(chain: Chain) -> bool:
    """Whether the log took back, or forgot, what it had: then a place in the chain says nothing."""
    return chain.branched or bool(chain.forgotten)
