"""The wheel: coarse deadlines on a real loop. Never early, never lost, never kept when discarded."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rx_sse.delivery import Wheel
from rx_sse.delivery.wheel import GRANULARITY

from .conftest import Reported

FINE = 0.01
"""Seconds a bucket, in tests that wait for it."""


class Item:
    """Notes when it ticks, and then calls a function of the test."""

    def __init__(self, action: Callable[[float], float | None] = lambda now: None) -> None:
        self.bucket: int | None = None
        self.ticks: list[float] = []
        self.action = action
        self.ticked = asyncio.Event()

    def tick(self, now: float) -> float | None:
        self.ticks.append(now)
        self.ticked.set()
        return self.action(now)


async def ticked(*items: Item, timeout: float = 20.0) -> None:
    async with asyncio.timeout(timeout):
        for item in items:
            await item.ticked.wait()


async def test_no_deadline_is_early_and_none_is_forgotten() -> None:
    loop = asyncio.get_running_loop()
    wheel, dice, begin = Wheel(loop, FINE), random.Random(7), loop.time()
    due = {Item(): begin + dice.uniform(-0.02, 0.3) for _ in range(300)}
    for item, when in due.items():
        wheel.add(item, when)
    assert len(wheel) == 300
    await ticked(*due)
    assert all(len(item.ticks) == 1 and item.ticks[0] >= when for item, when in due.items())
    assert len(wheel) == 0 and all(item.bucket is None for item in due)


@example(start=813_332_560, wait=0.03)
@given(start=st.integers(0, 10**9), wait=st.sampled_from([0.01, 0.03, 0.1, 0.3, 1.0, 15.0]))
def test_no_deadline_is_early_by_a_rounding(start: int, wait: float) -> None:
    """On a clock in milliseconds (uvloop's) deadlines fall on the boundaries of buckets, where a quotient
    that was rounded down is one bucket too few."""
    loop = asyncio.new_event_loop()
    try:
        for granularity in (FINE, GRANULARITY):
            item = Item()
            Wheel(loop, granularity).add(item, start / 1000 + wait)
            assert item.bucket is not None and item.bucket * granularity >= start / 1000 + wait
    finally:
        loop.close()


async def test_a_deadline_is_late_by_the_granularity_at_most() -> None:
    """Plus what the loop needs; on a quiet machine the mean is half of the granularity."""
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop, 0.05)
    due = {Item(): loop.time() + 0.01 * n for n in range(20)}
    for item, when in due.items():
        wheel.add(item, when)
    await ticked(*due)
    lateness = sorted(item.ticks[0] - when for item, when in due.items())
    assert lateness[0] >= 0
    assert lateness[10] < 0.1


async def test_an_item_stands_at_its_last_deadline_alone() -> None:
    loop = asyncio.get_running_loop()
    wheel, now = Wheel(loop, FINE), loop.time()
    sooner, later, marker = Item(), Item(), Item()
    wheel.add(sooner, now + 60)
    wheel.add(sooner, now + 0.02)
    wheel.add(later, now + 0.02)
    wheel.add(later, now + 60)
    assert len(wheel) == 2
    wheel.add(marker, now + 0.1)
    await ticked(marker)
    assert (len(sooner.ticks), len(later.ticks)) == (1, 0)
    assert len(wheel) == 1
    wheel.close()


async def test_a_deadline_can_be_hastened_and_not_put_off() -> None:
    loop = asyncio.get_running_loop()
    wheel, now = Wheel(loop, FINE), loop.time()
    hastened, kept, new, marker = Item(), Item(), Item(), Item()
    wheel.add(hastened, now + 60)
    wheel.hasten(hastened, now + 0.02)
    wheel.add(kept, now + 0.02)
    wheel.hasten(kept, now + 60)
    wheel.hasten(new, now + 0.02)
    wheel.add(marker, now + 0.1)
    await ticked(marker)
    assert [len(item.ticks) for item in (hastened, kept, new)] == [1, 1, 1]


async def test_a_discarded_item_never_ticks() -> None:
    loop = asyncio.get_running_loop()
    wheel, now = Wheel(loop, FINE), loop.time()
    gone, marker = Item(), Item()
    wheel.discard(gone)
    wheel.add(gone, now + 0.02)
    wheel.discard(gone)
    wheel.discard(gone)
    assert gone.bucket is None and len(wheel) == 0
    wheel.add(marker, now + 0.06)
    await ticked(marker)
    assert gone.ticks == []


async def test_discarded_deadlines_in_the_far_future_leave_nothing_behind() -> None:
    """Clients whose token ends tomorrow, and that disconnect within the second."""
    loop = asyncio.get_running_loop()
    wheel, now, kept = Wheel(loop), loop.time(), Item()
    wheel.add(kept, now + 90_000)
    for number in range(20_000):
        item = Item()
        wheel.add(item, now + 86_400 + 0.1 * number)
        wheel.discard(item)
    assert len(wheel) == 1 and kept.bucket is not None
    assert wheel.buckets <= 64
    wheel.close()


async def test_no_deadline_is_lost_when_empty_buckets_are_removed_within_a_turn() -> None:
    loop = asyncio.get_running_loop()
    wheel, begin = Wheel(loop, FINE), loop.time()

    def busy(now: float) -> None:
        for number in range(200):
            item = Item()
            wheel.add(item, now + 60 + number)
            wheel.discard(item)

    due = {Item(busy): begin + 0.02 * number for number in range(10)}
    for item, when in due.items():
        wheel.add(item, when)
    await ticked(*due)
    assert all(len(item.ticks) == 1 and item.ticks[0] >= when for item, when in due.items())
    assert len(wheel) == 0 and wheel.buckets <= 64
    wheel.close()


async def test_an_item_may_discard_its_neighbours() -> None:
    loop = asyncio.get_running_loop()
    wheel, items = Wheel(loop, FINE), list[Item]()

    def alone(now: float) -> None:
        for item in items:
            wheel.discard(item)

    items += [Item(alone) for _ in range(20)]
    when = loop.time() + 0.02
    for item in items:
        wheel.add(item, when)
    marker = Item()
    wheel.add(marker, when + 0.04)
    await ticked(marker)
    assert sum(len(item.ticks) for item in items) == 1


async def test_the_next_deadline_is_the_one_that_tick_returns() -> None:
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop, FINE)
    item = Item(lambda now: now + 0.03 if len(item.ticks) < 4 else None)
    done = Item(lambda now: None if len(item.ticks) >= 4 else now + 0.01)
    wheel.add(item, loop.time())
    wheel.add(done, loop.time() + 0.2)
    async with asyncio.timeout(20):
        while len(item.ticks) < 4:
            await asyncio.sleep(0.01)
    assert all(after >= before + 0.03 for before, after in zip(item.ticks, item.ticks[1:], strict=False))
    wheel.close()


async def test_an_item_that_is_always_due_ticks_once_a_bucket() -> None:
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop, FINE)
    item = Item(lambda now: now - 1.0)
    marker = Item()
    begin = loop.time()
    wheel.add(item, begin)
    wheel.add(marker, begin + 1.0)
    await ticked(marker)
    took = marker.ticks[0] - begin
    assert 2 <= len(item.ticks) <= took / FINE + 2
    wheel.close()


async def test_what_is_added_to_an_earlier_deadline_during_a_tick_is_not_lost() -> None:
    loop = asyncio.get_running_loop()
    wheel, now = Wheel(loop, FINE), loop.time()
    late, next_ = Item(), Item()

    def add(now: float) -> None:
        wheel.add(late, now - 5.0)
        wheel.add(next_, now + 0.02)

    wheel.add(Item(add), now + 0.02)
    await ticked(late, next_, timeout=20)
    assert len(wheel) == 0


async def test_an_item_in_its_own_tick_may_say_when_instead_of_returning_it() -> None:
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop, FINE)

    def add(now: float) -> float | None:
        if len(item.ticks) == 1:
            wheel.add(item, now + 0.02)
            return now + 60  # what was said last does not count: it stands somewhere already
        return None

    item = Item(add)
    wheel.add(item, loop.time())
    async with asyncio.timeout(20):
        while len(item.ticks) < 2:
            await asyncio.sleep(0.01)
    assert len(wheel) == 0


async def test_many_that_are_due_together_leave_the_loop_its_turns() -> None:
    loop = asyncio.get_running_loop()
    wheel, count, turns = Wheel(loop, FINE), 0, list[int]()

    def slow(now: float) -> None:
        nonlocal count
        count += 1
        end = time.perf_counter() + 0.001
        while time.perf_counter() < end:
            pass

    when = loop.time() + 0.01
    for _ in range(60):
        wheel.add(Item(slow), when)
    async with asyncio.timeout(20):
        while count < 60:
            before = count
            await asyncio.sleep(0)
            turns.append(count - before)
    assert max(turns) <= 8  # a slice is 4 ms
    assert len(wheel) == 0


@pytest.mark.parametrize("error", [ValueError("broken"), asyncio.CancelledError("broken")], ids=repr)
async def test_an_item_that_raises_is_reported_and_stops_nobody(
    error: BaseException, reported: Reported
) -> None:
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop, FINE)

    def broken(now: float) -> None:
        raise error

    items = [Item(broken), Item(), Item()]
    for item in items:
        wheel.add(item, loop.time() + 0.02)
    after = Item()
    wheel.add(after, loop.time() + 0.05)
    await ticked(*items, after, timeout=20)
    assert reported == [error]
    again = Item()
    wheel.add(again, loop.time())
    await ticked(again, timeout=20)


async def test_an_earlier_deadline_than_all_others_is_not_made_to_wait_for_them() -> None:
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop, FINE)
    wheel.add(Item(), loop.time() + 60)
    soon = Item()
    wheel.add(soon, loop.time() + 0.02)
    await ticked(soon, timeout=20)
    wheel.close()


async def test_closing_forgets_all() -> None:
    loop = asyncio.get_running_loop()
    wheel, item = Wheel(loop, FINE), Item()
    wheel.add(item, loop.time())
    wheel.close()
    assert item.bucket is None and len(wheel) == 0
    other = Wheel(loop, FINE)
    marker = Item()
    other.add(marker, loop.time() + 0.05)
    await ticked(marker)
    assert item.ticks == []


def test_a_turn_that_was_interrupted_goes_on_when_the_loop_does(
    idle_loop: asyncio.AbstractEventLoop,
) -> None:
    def interrupt(now: float) -> None:
        raise KeyboardInterrupt

    wheel = Wheel(idle_loop, FINE)
    wheel.add(Item(interrupt), idle_loop.time())
    with pytest.raises(KeyboardInterrupt):
        idle_loop.run_forever()
    item = Item()
    wheel.add(item, idle_loop.time())
    idle_loop.run_until_complete(ticked(item, timeout=20))
