from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from rx_sse.delivery.batch import EventBatch
from rx_sse.delivery.fanout import BATCH_ITEMS, WORTH_A_WRITE, FanOut
from rx_sse.delivery.receivers import ReceiverSet
from rx_sse.reactive.observer import ignore


class Reader:
    def __init__(self, take: Callable[[Any], None]) -> None:
        self.take = take
        self.receive: Callable[[EventBatch], None] = self._each
        self.failed: list[Exception] = []

    def _each(self, batch: EventBatch) -> None:
        for item in batch.items:
            self.take(item)

    def fail(self, error: Exception) -> None:
        self.receive = self.take = ignore
        self.failed.append(error)


def audience_of(*readers: Reader) -> ReceiverSet:
    audience = ReceiverSet()
    for reader in readers:
        audience.join(reader)
    return audience


class Loop:
    def __init__(self) -> None:
        self.turns: deque[Callable[[], None]] = deque()
        self.fanout = FanOut(self.turns.append)

    def run(self) -> int:
        count = 0
        while self.turns:
            self.turns.popleft()()
            count += 1
        return count


def test_a_broadcast_is_cut_into_slices_and_stays_in_order() -> None:
    loop, got, longest = Loop(), list[int](), [0.0]

    def slow(value: int) -> None:
        end = time.perf_counter() + 0.0001
        while time.perf_counter() < end:
            pass
        got.append(value)

    readers = audience_of(*(Reader(slow) for _ in range(500)))
    loop.fanout.deliver(readers, 0)
    loop.fanout.turn()
    assert 0 < len(got) < 500, "the first slice went on for too long"
    for value in (1, 2):
        loop.fanout.deliver(readers, value)
    while loop.turns:
        began = time.perf_counter()
        loop.turns.popleft()()
        longest[0] = max(longest[0], time.perf_counter() - began)
    assert got == [0] * 500 + [1, 2] * 500, "events pushed meanwhile are one burst, in order for each reader"
    assert loop.fanout.waiting == 0 and loop.fanout.delivered == 1500 and loop.fanout.size == 0


def test_one_that_raises_is_let_go_and_nobody_else_notices() -> None:
    loop, got = Loop(), list[Any]()

    def fail(_: int) -> None:
        raise ValueError("mine")

    bad = Reader(fail)
    readers = audience_of(Reader(got.append), bad, Reader(got.append), Reader(fail), Reader(got.append))
    loop.fanout.deliver(readers, 1)
    loop.run()
    loop.fanout.deliver(readers, 2)
    loop.run()
    assert got == [1, 1, 1, 2, 2, 2] and len(bad.failed) == 1


def test_a_push_from_an_observer_is_appended_and_never_nested() -> None:
    loop, order = Loop(), list[str]()

    def again(value: int) -> None:
        order.append(f"in {value}")
        if value == 1:
            loop.fanout.deliver(readers, 2)
            loop.fanout.turn()
        order.append(f"out {value}")

    readers = audience_of(Reader(again), Reader(again))
    loop.fanout.deliver(readers, 1)
    loop.run()
    assert order == ["in 1", "out 1"] * 2 + ["in 2", "out 2", "in 2", "out 2"] * 2


def test_who_joins_later_is_not_among_the_readers_of_an_earlier_entry() -> None:
    audience = ReceiverSet()
    one, two = Reader(ignore), Reader(ignore)
    audience.join(one)
    first = audience.members()
    assert audience.members() is first, "nothing changed, nothing is made anew"
    audience.join(two)
    audience.leave(one)
    audience.leave(one)
    assert first == (one,) and audience.members() == (two,) and len(audience) == 1


def test_a_burst_that_waits_takes_nothing_for_who_joined_after_it_began_to_wait() -> None:
    loop, early, late = Loop(), list[int](), list[int]()
    readers = audience_of(Reader(early.append))
    loop.fanout.deliver(readers, 1)
    readers.join(Reader(late.append))
    loop.fanout.deliver(readers, 2)
    loop.run()
    assert early == [1, 2] and late == [2]


def test_who_has_left_before_a_batch_is_delivered_gets_none_of_it() -> None:
    loop, got = Loop(), list[str]()
    one, two, three = (Reader(lambda value, name=name: got.append(f"{name}{value}")) for name in "abc")

    def leave(reader: Reader, _: object) -> None:
        readers.leave(reader)
        reader.receive = ignore

    readers = audience_of(one, two, three)
    loop.fanout.deliver(readers, 1)
    loop.fanout.hand((two,), None, leave)
    readers.open = None
    loop.fanout.deliver(readers, 2)
    loop.run()
    assert got == ["a1", "b1", "c1", "a2", "c2"]


def test_what_is_no_item_keeps_its_place_between_items() -> None:
    loop, got = Loop(), list[Any]()
    readers = audience_of(Reader(got.append))
    loop.fanout.deliver(readers, 1)
    loop.fanout.tell(readers, "gap", lambda reader, it: reader.take(it))
    loop.fanout.deliver(readers, 2)
    loop.fanout.hand(tuple(readers.members()), "end", lambda reader, it: reader.take(it))
    loop.fanout.deliver(readers, 3)
    loop.run()
    assert got == [1, "gap", 2, 3, "end"], "a call to some does not part what goes to all"


def test_a_burst_ends_at_its_limits_and_says_whether_it_may_be_written_at_once() -> None:
    loop, bursts = Loop(), list[EventBatch]()
    reader, other = Reader(ignore), Reader(ignore)
    reader.receive = other.receive = bursts.append
    one, two = audience_of(reader), audience_of(other)
    for item in range(BATCH_ITEMS + 1):
        loop.fanout.deliver(one, item, size=1)
    loop.fanout.deliver(one, "large", size=100_000)
    loop.fanout.deliver(one, "small", size=1)
    assert loop.fanout.waiting == BATCH_ITEMS + 3
    loop.run()
    assert [len(burst.items) for burst in bursts] == [BATCH_ITEMS, 2, 1]
    assert [burst.prompt for burst in bursts] == [True, False, True], "the last has nothing behind it"
    bursts.clear()
    for _ in range(WORTH_A_WRITE):
        loop.fanout.deliver(one, "many")
    loop.fanout.deliver(two, "few")
    loop.fanout.deliver(audience_of(), "nobody")
    loop.run()
    assert [burst.prompt for burst in bursts] == [True, False]


def test_what_was_cleared_takes_nothing_more() -> None:
    loop, got = Loop(), list[Any]()
    readers = audience_of(Reader(got.append))
    loop.fanout.deliver(readers, 1, size=5)
    loop.fanout.clear()
    assert loop.fanout.waiting == 0 and loop.fanout.size == 0
    loop.fanout.deliver(readers, 2)
    loop.run()
    assert got == [2]


def test_what_a_reader_pushes_after_it_has_cleared_everything_is_delivered_and_counted() -> None:
    loop, got = Loop(), list[int]()

    def close(value: int) -> None:
        got.append(value)
        if value == 1:
            loop.fanout.clear()  # as a bus that is closed does
            loop.fanout.deliver(readers, 3, size=5)

    readers = audience_of(Reader(close))
    loop.fanout.deliver(readers, 1, size=5)
    loop.fanout.deliver(audience_of(), 2)
    loop.run()
    assert got == [1, 3] and loop.fanout.waiting == 0 and loop.fanout.size == 0


def test_an_item_is_alone_when_nothing_else_is_on_its_way() -> None:
    loop, alone = Loop(), list[bool]()
    readers = audience_of(Reader(lambda _: alone.append(loop.fanout.lone is not None)))
    loop.fanout.deliver(readers, 1)
    loop.run()
    for value in (2, 3):
        loop.fanout.deliver(readers, value)
    loop.run()
    loop.fanout.deliver(readers, 4)
    loop.fanout.tell(readers, "gap", lambda reader, it: reader.take(it))
    loop.run()
    assert alone == [True, False, False, False, False] and loop.fanout.lone is None


class Socket:
    def __init__(self, log: list[tuple[str, bytes]], open: bool = True) -> None:
        self.log = log
        self.open = open

    def write(self, data: bytes, now: float) -> None:
        self.log.append(("all", data))

    def write_first(self, data: bytes, now: float) -> None:
        self.log.append(("own", data))


def test_what_readers_kept_for_the_end_of_a_block_is_written_also_if_the_next_reader_raises() -> None:
    loop, log = Loop(), list[tuple[str, bytes]]()

    def keep(_: int) -> None:
        assert loop.fanout.lone is not None
        assert loop.fanout.lone.first is not None
        loop.fanout.lone.first.append((Socket(log), b"1"))
        assert loop.fanout.lone.first is not None
        loop.fanout.lone.first.append((Socket(log, open=False), b"2"))

    def fail(_: int) -> None:
        raise KeyboardInterrupt

    loop.fanout.deliver(audience_of(Reader(keep), Reader(fail)), 1)
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    assert log == [("own", b"1")] and loop.fanout.lone is None
