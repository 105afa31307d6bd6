from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rx_sse.bus.dispatch import Audience, Dispatcher, ignore


class Reader:
    def __init__(self, take: Callable[[Any], None]) -> None:
        self.emit = take
        self.failed: list[Exception] = []

    def fail(self, error: Exception) -> None:
        self.emit = ignore
        self.failed.append(error)


class Loop:
    def __init__(self) -> None:
        self.turns: deque[Callable[[], None]] = deque()
        self.dispatcher = Dispatcher(self.turns.append)

    def run(self) -> int:
        count = 0
        while self.turns:
            self.turns.popleft()()
            count += 1
        return count


def test_a_broadcast_is_cut_into_slices_and_stays_in_order() -> None:
    loop, got, longest = Loop(), [], [0.0]
    began = time.perf_counter()

    def slow(value: int) -> None:
        end = time.perf_counter() + 0.0001
        while time.perf_counter() < end:
            pass
        got.append(value)

    readers = tuple(Reader(slow) for _ in range(500))
    for value in range(3):
        loop.dispatcher.hand(readers, value)
    assert len(got) < 500, "the first slice went on for too long"
    while loop.turns:
        longest[0] = max(longest[0], time.perf_counter() - began)
        began = time.perf_counter()
        loop.turns.popleft()()
    assert got == [0] * 500 + [1] * 500 + [2] * 500
    assert len(loop.dispatcher) == 0 and loop.dispatcher.delivered == 1500


def test_one_that_raises_is_let_go_and_nobody_else_notices() -> None:
    loop, got = Loop(), []

    def fail(_: int) -> None:
        raise ValueError("mine")

    bad = Reader(fail)
    readers = (Reader(got.append), bad, Reader(got.append), Reader(fail), Reader(got.append))
    loop.dispatcher.hand(readers, 1)
    loop.dispatcher.hand(readers, 2)
    assert got == [1, 1, 1, 2, 2, 2] and len(bad.failed) == 1


def test_a_push_from_an_observer_is_appended_and_never_nested() -> None:
    loop, order = Loop(), []

    def again(value: int) -> None:
        order.append(f"in {value}")
        if value == 1:
            loop.dispatcher.hand(readers, 2)
        order.append(f"out {value}")

    readers = (Reader(again), Reader(again))
    loop.dispatcher.hand(readers, 1)
    loop.run()
    assert order == ["in 1", "out 1"] * 2 + ["in 2", "out 2"] * 4


def test_who_joins_later_is_not_among_the_readers_of_an_earlier_entry() -> None:
    audience = Audience()
    one, two = Reader(ignore), Reader(ignore)
    audience.join(one)
    first = audience.members()
    assert audience.members() is first, "nothing changed, nothing is made anew"
    audience.join(two)
    audience.leave(one)
    audience.leave(one)
    assert first == (one,) and audience.members() == (two,) and len(audience) == 1
