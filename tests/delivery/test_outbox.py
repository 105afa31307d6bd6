"""The outbox against an oracle of plain lists: whatever is offered, dropped and taken, in any order.

The oracle says what the docstrings say, in the slowest and plainest way. What both agree on: the bytes that
are written and their order, the limits, what is announced where a run was dropped, when the queue is idle.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rx_sse.delivery import Outbox, Outcome, Overflow, make_outbox
from rx_sse.delivery.outbox import ENTRY_COST, Gap
from rx_sse.delivery.overflow import Policy


def announced(missed: int, mark: str | None) -> bytes:
    return f"[{missed} gone, last {mark}]".encode()


class Teller:
    def relieve(self) -> None:
        pass

    def render_gap(self, gap: Gap) -> bytes:
        assert gap.mark is None or isinstance(gap.mark, str)
        return announced(gap.missed, gap.mark)


def outbox(policy: Policy = "disconnect", prelude_bytes: int = 10_000, **limits: Any) -> Outbox:
    return make_outbox(Overflow(policy, **limits), Teller(), prelude_bytes)


def live(policy: Policy = "disconnect", **limits: Any) -> Outbox:
    box = outbox(policy, **limits)
    box.live()
    return box


def everything(box: Outbox, limit: int = 1 << 20) -> bytes:
    pieces: list[bytes] = []
    while piece := bytes(box.take(limit)):
        pieces.append(piece)
    return b"".join(pieces)


class Reader(Teller):
    """Takes so many writes of what waits when there is no room."""

    def __init__(self, policy: Policy, writes: int, **limits: Any) -> None:
        self.box = make_outbox(Overflow(policy, **limits), self, 10_000)
        self.writes = writes
        self.got = b""
        self.box.live()

    def relieve(self) -> None:
        while self.writes and self.box:
            self.writes -= 1
            self.got += bytes(self.box.take(4))


@pytest.mark.parametrize("policy", ["disconnect", "drop_oldest", "drop_newest", "latest"])
def test_a_full_outbox_is_relieved_before_its_policy_is_applied(policy: Policy) -> None:
    reader = Reader(policy, writes=100, max_events=3)
    for letter in "abcdefghij":
        assert reader.box.offer(letter.encode(), letter, letter) is Outcome.QUEUED
    assert reader.got + everything(reader.box) == b"abcdefghij"
    assert reader.box.dropped == 0


@pytest.mark.parametrize(
    ("policy", "outcome", "left"),
    [
        ("disconnect", Outcome.OVERFLOW, b"efg"),
        ("drop_oldest", Outcome.DROPPED, announced(1, "e") + b"fgh"),
        ("drop_newest", Outcome.DROPPED, b"efg" + announced(1, "h")),
        ("latest", Outcome.DROPPED, announced(1, "e") + b"fgh"),
    ],
)
def test_what_is_left_after_the_relief_meets_the_policy(
    policy: Policy, outcome: Outcome, left: bytes
) -> None:
    reader = Reader(policy, writes=1, max_events=3)
    for letter in "abc":
        reader.box.offer(letter.encode(), letter, letter)
    reader.box.control(b"d")  # is in the place of its order
    for letter in "efg":
        assert reader.box.offer(letter.encode(), letter, letter) is Outcome.QUEUED
    assert reader.got == b"abcd"
    assert reader.box.offer(b"h", "h", "h") is outcome
    assert everything(reader.box) == left


@pytest.mark.parametrize("policy", ["disconnect", "drop_oldest", "drop_newest", "latest"])
def test_what_nobody_could_take_yet_counts_as_the_prelude_as_far_as_that_has_room(policy: Policy) -> None:
    class Early(Reader):
        def relieve(self) -> None:
            self.writes += self.box.promote()

    reader = Early(policy, writes=0, max_events=10)
    outcomes = [reader.box.offer(b"%04d" % number, None, number) for number in range(400)]
    assert reader.writes == 10_000 // (10 * (4 + ENTRY_COST))
    first = outcomes.index(Outcome.OVERFLOW if policy == "disconnect" else Outcome.DROPPED)
    assert first == (reader.writes + 1) * 10
    assert everything(reader.box).startswith(b"".join(b"%04d" % number for number in range(first - 10)))


# -- the oracle ----------------------------------------------------------------------------------------------


@dataclass
class Waiting:
    """An entry of the oracle: an event (`frame` and `missed` 0), a gap (`missed`), or a control event."""

    frame: bytes = b""
    mark: str | None = None
    key: Hashable = None
    missed: int = 0
    control: bool = False

    @property
    def event(self) -> bool:
        return not self.missed and not self.control

    @property
    def written(self) -> bytes:
        return announced(self.missed, self.mark) if self.missed else self.frame


class Oracle:
    def __init__(self, overflow: Overflow, prelude_bytes: int) -> None:
        self.rules = overflow
        self.prelude_bytes = prelude_bytes
        self.live = False
        self.head = b""  # begun, or about to be: the policy cannot reach it any more
        self.prelude: list[Waiting] = []
        self.queue: list[Waiting] = []
        self.dropped = 0

    def events(self) -> list[Waiting]:
        return [entry for entry in self.queue if entry.event]

    def bytes_of(self, entries: list[Waiting]) -> int:
        return sum(len(entry.frame) for entry in entries if entry.event)

    def size_of_prelude(self) -> int:
        return sum(len(entry.frame) + ENTRY_COST for entry in self.prelude if entry.event)

    def offer(self, frame: bytes, mark: str | None, key: Hashable) -> Outcome:
        new = Waiting(frame, mark, key)
        if not self.live:
            if self.size_of_prelude() + len(frame) + ENTRY_COST > self.prelude_bytes:
                return Outcome.EXCEEDED
            self.prelude.append(new)
            return Outcome.QUEUED
        policy = self.rules.policy
        if policy == "latest":
            self.queue = [entry for entry in self.queue if not entry.event or entry.key != key]
        if not self.over(frame):
            self.queue.append(new)
            return Outcome.QUEUED
        if policy == "disconnect":
            return Outcome.OVERFLOW
        if policy == "drop_newest":
            self.queue.append(new)
            self.drop(new)
            return Outcome.DROPPED
        while self.over(frame):
            self.drop(self.events()[0])
        self.queue.append(new)
        return Outcome.DROPPED

    def over(self, frame: bytes) -> bool:
        """No room for `frame`; an event that finds no other is always taken."""
        waiting = self.events()
        too_many = len(waiting) >= self.rules.max_events
        too_large = self.bytes_of(waiting) + len(frame) > self.rules.max_bytes
        return bool(waiting) and (too_many or too_large)

    def drop(self, entry: Waiting) -> None:
        """A gap takes its place; a gap that is its neighbour becomes one with it."""
        self.dropped += 1
        at = next(index for index, other in enumerate(self.queue) if other is entry)
        self.queue[at] = Waiting(mark=entry.mark, missed=1)
        if at and (before := self.queue[at - 1]).missed:
            self.queue[at - 1 : at + 1] = [Waiting(mark=entry.mark or before.mark, missed=before.missed + 1)]

    def control(self, frame: bytes) -> None:
        (self.queue if self.live else self.prelude).append(Waiting(frame, control=True))

    def take(self, limit: int) -> bytes:
        taken = b""
        if not self.head:
            while self.prelude or self.queue:
                frame = (self.prelude or self.queue).pop(0).written
                if len(taken) + len(frame) > limit:
                    self.head = frame
                    break
                taken += frame
        if not taken:
            taken, self.head = self.head[:limit], self.head[limit:]
        return taken

    def clear(self) -> None:
        self.head = b""
        self.prelude.clear()
        self.queue.clear()

    def __len__(self) -> int:
        return bool(self.head) + len(self.prelude) + len(self.queue)


# -- the machine ---------------------------------------------------------------------------------------------


class OutboxMachine(RuleBasedStateMachine):
    policy: Policy

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    @initialize(
        max_events=st.integers(1, 4),
        max_bytes=st.integers(1, 80),
        prelude_bytes=st.integers(1, 400),
        is_live=st.booleans(),
    )
    def begin(self, max_events: int, max_bytes: int, prelude_bytes: int, is_live: bool) -> None:
        overflow = Overflow(self.policy, max_events=max_events, max_bytes=max_bytes)
        self.box = make_outbox(overflow, Teller(), prelude_bytes)
        self.oracle = Oracle(overflow, prelude_bytes)
        if is_live:
            self.live()

    def frame(self, kind: str, size: int) -> bytes:
        self.count += 1
        return f"{kind}{self.count}".encode().ljust(size, b".")

    @rule(size=st.integers(1, 100), marked=st.booleans(), key=st.sampled_from([None, "a", "b", "c", "d"]))
    def offer(self, size: int, marked: bool, key: str | None) -> None:
        frame = self.frame("e", size)
        mark = f"id{self.count}" if marked else None
        assert self.box.offer(frame, mark, key) is self.oracle.offer(frame, mark, key)

    @rule(size=st.integers(1, 100))
    def control(self, size: int) -> None:
        frame = self.frame("c", size)
        self.box.control(frame)
        self.oracle.control(frame)

    @rule(limit=st.one_of(st.integers(1, 40), st.integers(41, 300)))
    def take(self, limit: int) -> None:
        taken = bytes(self.box.take(limit))
        assert taken == self.oracle.take(limit)
        assert len(taken) <= limit

    @precondition(lambda self: not self.oracle.live)
    @rule()
    def live(self) -> None:
        self.box.live()
        self.oracle.live = True

    @rule()
    def clear(self) -> None:
        self.box.clear()
        self.oracle.clear()

    @invariant()
    def the_queue_is_what_it_says(self) -> None:
        box, oracle = self.box, self.oracle
        assert box.idle is (oracle.live and not oracle)
        assert bool(box) is bool(oracle)
        assert len(box) == len(oracle)
        assert box.size == len(oracle.head) + oracle.size_of_prelude() + oracle.bytes_of(oracle.queue)
        assert box.dropped == oracle.dropped

    @invariant()
    def the_limits_hold(self) -> None:
        waiting = self.oracle.events()
        assert len(waiting) <= self.oracle.rules.max_events
        assert len(waiting) <= 1 or self.oracle.bytes_of(waiting) <= self.oracle.rules.max_bytes

    def teardown(self) -> None:
        if self.count:
            assert everything(self.box) == everything_of(self.oracle)
            assert not self.box and self.box.idle is self.oracle.live


def everything_of(oracle: Oracle) -> bytes:
    pieces: list[bytes] = []
    while piece := oracle.take(1 << 20):
        pieces.append(piece)
    return b"".join(pieces)


class Disconnect(OutboxMachine):
    policy = "disconnect"


class DropOldest(OutboxMachine):
    policy = "drop_oldest"


class DropNewest(OutboxMachine):
    policy = "drop_newest"


class Latest(OutboxMachine):
    policy = "latest"


for machine in (Disconnect, DropOldest, DropNewest, Latest):
    machine.TestCase.settings = settings(max_examples=120, stateful_step_count=30, deadline=None)

TestDisconnect = Disconnect.TestCase
TestDropOldest = DropOldest.TestCase
TestDropNewest = DropNewest.TestCase
TestLatest = Latest.TestCase


# -- what a reader of the docs would try ---------------------------------------------------------------------


def test_one_event_at_a_time_needs_no_queue() -> None:
    box = live()
    for frame in (b"one", b"two"):
        assert box.idle
        assert box.offer(frame) is Outcome.QUEUED
        assert not box.idle
        assert box.take(100) is frame  # the very object: nothing was copied


def test_disconnect_keeps_what_waits_and_takes_no_more() -> None:
    box = live("disconnect", max_events=2)
    assert [box.offer(frame) for frame in (b"a", b"b", b"c")] == [
        Outcome.QUEUED,
        Outcome.QUEUED,
        Outcome.OVERFLOW,
    ]
    assert everything(box) == b"ab"


def test_drop_oldest_announces_the_run_in_its_place() -> None:
    box = live("drop_oldest", max_events=2)
    for n in range(5):
        box.offer(b"<%d>" % n, f"id{n}")
    assert everything(box) == b"[3 gone, last id2]<3><4>"
    assert box.dropped == 3


def test_drop_newest_announces_the_run_behind_what_it_kept() -> None:
    box = live("drop_newest", max_events=2)
    for n in range(5):
        box.offer(b"<%d>" % n, f"id{n}")
    assert box.take(3) == b"<0>"
    box.offer(b"<5>", "id5")
    assert everything(box) == b"<1>[3 gone, last id4]<5>"


def test_latest_keeps_one_event_a_key_and_sends_the_newest_last() -> None:
    box = live("latest")
    for key, frame in (("a", b"a1"), ("b", b"b1"), ("a", b"a2"), ("a", b"a3"), ("c", b"c1")):
        assert box.offer(frame, None, key) is Outcome.QUEUED
    assert everything(box) == b"b1a3c1"
    assert box.dropped == 0


def test_latest_announces_keys_for_which_there_was_no_room() -> None:
    box = live("latest", max_events=2)
    assert [box.offer(b"<%s>" % key.encode(), key, key) for key in "abc"][-1] is Outcome.DROPPED
    assert everything(box) == b"[1 gone, last a]<b><c>"


@pytest.mark.parametrize("policy", ["disconnect", "drop_oldest", "drop_newest", "latest"])
def test_control_events_take_no_room_from_others(policy: Policy) -> None:
    box = live(policy, max_events=2)
    for n in range(10):
        box.control(b"[c%d]" % n)
    assert box.offer(b"<1>", None, 1) is Outcome.QUEUED
    box.control(b"[c10]")
    assert box.offer(b"<2>", None, 2) is Outcome.QUEUED
    assert everything(box) == b"".join(b"[c%d]" % n for n in range(10)) + b"<1>[c10]<2>"


def test_control_events_keep_their_place_while_events_around_them_are_dropped() -> None:
    box = live("drop_oldest", max_events=1)
    for n in range(3):
        box.offer(b"<%d>" % n)
        box.control(b"[c%d]" % n)
    assert everything(box) == b"[1 gone, last None][c0][1 gone, last None][c1]<2>[c2]"


def test_an_event_over_the_limit_in_bytes_is_taken_when_no_other_waits() -> None:
    box = live("disconnect", max_bytes=10)
    assert box.offer(b"x" * 50) is Outcome.QUEUED
    assert box.offer(b"y") is Outcome.OVERFLOW
    assert everything(box) == b"x" * 50


def test_a_frame_longer_than_one_write_comes_in_pieces_and_no_other_between() -> None:
    box = live("drop_oldest", max_events=1)
    box.offer(b"0123456789")
    assert bytes(box.take(4)) == b"0123"
    box.offer(b"a")
    box.offer(b"b")
    assert bytes(box.take(4)) == b"4567"
    assert bytes(box.take(4)) == b"89"
    assert everything(box) == b"[1 gone, last None]b"


def test_the_prelude_is_outside_the_limits_of_live_events() -> None:
    box = outbox("disconnect", max_events=1, max_bytes=1)
    frames = [b"<%d>" % n for n in range(50)]
    assert all(box.offer(frame) is Outcome.QUEUED for frame in frames)
    box.live()
    assert box.offer(b"<live>") is Outcome.QUEUED
    assert box.offer(b"<more>") is Outcome.OVERFLOW
    assert everything(box, 10) == b"".join(frames) + b"<live>"


def test_the_prelude_has_a_limit_of_its_own() -> None:
    box = outbox("drop_oldest", prelude_bytes=2 * (ENTRY_COST + 5))
    assert [box.offer(b"12345") for _ in range(3)] == [Outcome.QUEUED, Outcome.QUEUED, Outcome.EXCEEDED]
    assert bytes(box.take(5)) == b"12345"
    assert box.offer(b"12345") is Outcome.QUEUED  # what was written makes room
