"""Exactly once, or told: what a client received in one topic, against what the log accepted.

The strict account walks along the chain: every event must be the next one that the client is due, or stand
behind a `stream-gap`; a gap needs something that is really missing there, and what is missing must have been
out of reach when the gap was told. The loose account is for a log that took back what it had accepted (a
stale replica was promoted): there the order of two branches is nobody's, so it asks that nothing comes twice,
and that for everything missing a gap was told after it was accepted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from .chain import Chain, Item

PATIENT = frozenset(("overflow", "refused", "failed"))
"""Gaps that the client's own slowness, a full queue, or a filter that raised make; the log still has the
entries."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event of the topic reached the client."""

    at: float
    payload: str
    seq: int | None = None
    nonce: int | None = None


@dataclass(frozen=True, slots=True)
class GapTold:
    """A `stream-gap` reached the client.

    Attributes:
        elsewhere: whether its cursor was further, in another branch or life of the log: entries up to that
            number may be among those that it had there, and are not sent.
    """

    at: float
    reason: str
    seq: int | None = None
    nonce: int | None = None
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Began:
    """The first stream of the client told its position.

    Attributes:
        asked: when the client asked for it.
    """

    at: float
    asked: float
    seq: int
    nonce: int


Told = Event | GapTold | Began


@dataclass(frozen=True, slots=True)
class Start:
    """Where a first stream begins, if not at the present position.

    Attributes:
        last: so many entries before it.
        since: so many seconds before; None where that is not asked.
        slack: seconds that may lie between the time of an entry and its acceptance.
    """

    last: int = 0
    since: float | None = None
    slack: float = 0.0


NOW = Start()


class Account:
    """What one client is due in one topic.

    Args:
        chain: the truth.
        wanted: which events its stream is for.
        name: for messages.
        start: where its first stream begins.
    """

    def __init__(self, chain: Chain, wanted: Callable[[str], bool], name: str, start: Start = NOW) -> None:
        self._start = start
        self._begins: Began | None = None
        """The beginning whose place is not known before the first event."""
        self.chain = chain
        self.wanted = wanted
        self.name = name
        self.told: list[Told] = []
        self.seen: set[str] = set()
        self.place: int | None = None
        """How many items lie behind the client; None before its first position."""
        self.floor = 0
        """Until the first event: the place from which on nothing may be missing."""
        self.gap: GapTold | None = None
        self.lost_all = False
        """Whether the gap is that of a log which forgot everything: entries of its new life with a lower
        number than the client's cursor are not for it."""
        self.over = False
        """Whether the stream was ended: what comes later is not for this client."""
        self.since = 0.0
        """When the client's position was good for the last time, as far as it can know: what was forgotten
        after it needs a gap."""

    # -- as it comes -----------------------------------------------------------------------------------------

    def began(self, began: Began) -> None:
        """The client has a position for the first time."""
        self.told.append(began)
        self.since = began.asked
        chain = self.chain
        self.place = chain.after(began.seq, began.nonce)
        if self.place is None:  # not known yet: somewhere between the question and the answer
            self.floor = sum(1 for item in chain.items if item.at <= began.at)
            self.place = sum(1 for item in chain.items if item.at < began.asked)
            if self._start != NOW:
                self.place = chain.born_at(began.asked)
                self._begins = began
        else:
            self._begun(self.place, began)
            self._fresh(self.place, began)
            self.floor = self.place
            # It may be the position of a process that has not heard of what came since.
            self.since = chain.good_at(began.seq, began.nonce, began.asked)

    def event(self, event: Event) -> None:
        """An event has come."""
        self.told.append(event)
        item = self.chain.by_payload.get(event.payload)
        assert item is not None, f"{self.name} got {event.payload}, which was never accepted"
        assert event.payload not in self.seen or item.again, f"{self.name} got {event.payload} twice"
        assert self.wanted(event.payload), f"{self.name} got {event.payload}, which its filter drops"
        self.seen.add(event.payload)
        if event.nonce is not None:
            known = self.chain.by_nonce.setdefault(event.nonce, item)
            assert known is item, f"{event.payload} came with the id of {known.payload}"
        if self.chain.branched:
            return
        assert self.place is not None, f"{self.name} got {event.payload} before a position"
        assert item.index >= self.place, f"{self.name} got {event.payload} out of order"
        if self._begins is not None and self.gap is None:
            self._begun(item.index, self._begins)
        self._begins = None
        self._missing(item.index, f"before {event.payload}")
        ends = [it for it in self.chain.between(self.place, item.index) if it.end and it.index >= self.floor]
        assert not ends or self.gap is not None, f"{self.name} got {event.payload}, which came behind an end"
        self.place = self.floor = item.index + 1
        self.gap = None
        self.since = item.at

    def _begun(self, place: int, began: Began) -> None:
        """The first stream has begun at a place: so far back as was asked, if the log still had that."""
        start, chain = self._start, self.chain
        if start == NOW or chain.branched or chain.forgotten:
            return
        while place and chain.items[place - 1].payload is None:
            place -= 1
        there = [it for it in chain.between(0, place) if it.at < began.asked and not _gone(it, began.at)]
        if start.since is not None:
            there = [it for it in there if it.at > began.at - start.since + start.slack]
        elif place + start.last <= sum(1 for it in chain.items if it.at <= began.at):
            there = []
        names = ", ".join(str(it.payload) for it in there)
        assert not names, f"{self.name} began at {place}, and not with {names}"

    def _fresh(self, place: int, began: Began) -> None:
        """The first stream has begun at a place, which is known: with nothing older than was asked."""
        since, items = self._start.since, self.chain.items
        if since is not None and not self.chain.branched and place < len(items):
            old = began.asked - items[place].at
            assert old <= since, f"{self.name} began {old:.3f} s back, and {since} s were asked for"

    def gapped(self, gap: GapTold) -> None:
        """A gap was sent."""
        self.told.append(gap)
        if self.chain.branched or self.place is None:
            self.gap = gap
            return
        self.lost_all = False
        chain = self.chain
        if gap.reason not in PATIENT:
            end = None if gap.nonce is None else chain.after(gap.seq or 0, gap.nonce)
            ahead = chain.between(self.place, len(chain.items) if end is None else end)
            forgotten = [at for at in chain.forgotten if self.since <= at <= gap.at]
            self.lost_all = bool(forgotten)
            assert self.lost_all or any(_gone(item, gap.at) for item in ahead), (
                f"{self.name} was told of a gap ({gap.reason}), and nothing was missing"
            )
            if end is not None and end >= self.place:
                self.gap = gap
                self._missing(end, f"at the gap ({gap.reason})")
                self.place = self.floor = end
            if forgotten:
                self.since = math.nextafter(forgotten[0], math.inf)
        self.gap = gap

    def ended(self) -> None:
        """The stream was ended: by the next end mark, and all that came before it has come."""
        if not self.chain.branched and self.place is not None:
            end = next((it.index for it in self.chain.items[self.place :] if it.end), None)
            at_one = 0 < self.place <= len(self.chain.items) and self.chain.items[self.place - 1].end
            assert end is not None or at_one or self.gap is not None, (
                f"{self.name} was ended, and its topic was not"
            )
            end = None if at_one else end
            if end is not None:
                self._missing(end, "before the end")
                self.place = self.floor = end + 1
                self.gap = None
        self.over = True

    def _missing(self, end: int, where: str) -> None:
        """What lies between the client's place and `end`, and is not to come any more."""
        assert self.place is not None
        begin = self.place if self.gap is not None else max(self.place, min(self.floor, end))
        missing = [
            it
            for it in self.chain.between(begin, end)
            if it.payload and self.wanted(it.payload) and not (it.again and it.payload in self.seen)
        ]
        if not missing:
            return
        names = ", ".join(str(item.payload) for item in missing)
        assert self.gap is not None, f"{self.name} lost {names} in silence, {where}"
        if self.gap.reason not in PATIENT and not self.gap.elsewhere:
            gap, all_of_it = self.gap, self.lost_all
            there = [
                str(it.payload) for it in missing if not (it.at <= gap.at if all_of_it else _gone(it, gap.at))
            ]
            assert not there, (
                f"{self.name} was told of a gap ({self.gap.reason}) {where}, but {', '.join(there)} "
                "could still be had"
            )

    # -- at the end ------------------------------------------------------------------------------------------

    def whole(self) -> None:
        """Everything has come to rest, and the client reads: nothing more is to come."""
        if self.over:
            return
        chain = self.chain
        end = len(chain.items)
        if not chain.branched:
            assert self.place is not None, f"{self.name} never got a position"
            if self.gap is not None or self.place < end:
                self._missing(end, "at the end")
            return
        began = next((it for it in self.told if isinstance(it, Began)), None)
        if began is None:
            return
        first = chain.after(began.seq, began.nonce)
        since = began.at if first is None else None
        gaps = [it for it in self.told if isinstance(it, GapTold)]
        gap = max((it.at for it in gaps), default=-1.0)
        silent = [
            str(item.payload)
            for item in chain.due(self.wanted)
            if item.payload not in self.seen
            and not item.unsayable
            and not (item.taken_back and item.at < began.asked)
            and item.at > gap
            and not any(_inside(item, it) for it in gaps)
            and (item.at > since if since is not None else item.index >= (first or 0))
            and item.index < end
        ]
        assert not silent, f"{self.name} lost {', '.join(silent)} in silence"


def _gone(item: Item, at: float) -> bool:
    return item.gone is not None and item.gone <= at


def _inside(item: Item, gap: GapTold) -> bool:
    """Whether a gap leads past the position of an item that was there before it, and came back behind it."""
    return item.first < gap.at and gap.seq is not None and gap.seq >= item.seq
