"""The flusher: one write per connection and turn of the loop, in slices."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import pytest

from rx_sse.delivery import Flusher
from rx_sse.delivery.flusher import CHECK_EVERY

from .conftest import Reported


@dataclass
class Item:
    """Writes its number as often as it is asked to; more may wait, it may fail, it may take its time."""

    name: int
    log: list[int]
    more: int = 0
    seconds: float = 0.0
    error: BaseException | None = None
    times: list[float] = field(default_factory=list)

    def flush(self, now: float) -> bool:
        self.log.append(self.name)
        self.times.append(now)
        end = time.perf_counter() + self.seconds
        while time.perf_counter() < end:
            pass
        if self.error is not None:
            raise self.error
        self.more -= 1
        return self.more >= 0


async def turn() -> None:
    await asyncio.sleep(0)


async def test_what_is_marked_is_flushed_once_in_the_next_turn() -> None:
    loop, log = asyncio.get_running_loop(), list[int]()
    flusher = Flusher(loop)
    items = [Item(n, log) for n in range(3)]
    for item in items:
        flusher.mark(item)
    assert log == []
    await turn()
    assert log == [0, 1, 2]
    await turn()
    await turn()
    assert log == [0, 1, 2]
    assert all(abs(item.times[0] - loop.time()) < 1 for item in items)  # told the loop's time


async def test_it_can_be_marked_again_after_a_round() -> None:
    log = list[int]()
    flusher, item = Flusher(asyncio.get_running_loop()), Item(1, log)
    for round_ in range(1, 4):
        flusher.mark(item)
        await turn()
        assert len(log) == round_


async def test_who_has_more_to_write_goes_on_in_the_next_turn_behind_the_others() -> None:
    log = list[int]()
    flusher = Flusher(asyncio.get_running_loop())
    flusher.mark(Item(1, log, more=2))
    flusher.mark(Item(2, log))
    await turn()
    assert log == [1, 2]
    flusher.mark(Item(3, log))
    await turn()
    assert log == [1, 2, 1, 3]
    await turn()
    await turn()
    assert log == [1, 2, 1, 3, 1]


async def test_what_is_marked_during_a_round_waits_for_the_next_turn() -> None:
    log = list[int]()
    flusher = Flusher(asyncio.get_running_loop())
    later = Item(2, log)

    class Marks(Item):
        def flush(self, now: float) -> bool:
            flusher.mark(later)
            return super().flush(now)

    flusher.mark(Marks(1, log))
    await turn()
    assert log == [1]
    await turn()
    assert log == [1, 2]


@pytest.mark.parametrize("error", [ValueError("broken"), asyncio.CancelledError("broken")], ids=repr)
async def test_one_that_raises_is_reported_and_stops_nobody(error: BaseException, reported: Reported) -> None:
    log = list[int]()
    flusher = Flusher(asyncio.get_running_loop())
    for n in range(3):
        flusher.mark(Item(n, log, error=error if n == 1 else None))
    await turn()
    await turn()
    assert log == [0, 1, 2]
    assert reported == [error]
    flusher.mark(Item(3, log))
    await turn()
    assert log == [0, 1, 2, 3]


async def test_a_long_round_is_cut_into_slices_and_keeps_its_order() -> None:
    log, turns = list[int](), list[int]()
    flusher = Flusher(asyncio.get_running_loop())
    for n in range(60):
        flusher.mark(Item(n, log, seconds=0.001))
    while len(log) < 60:
        before = len(log)
        await turn()
        turns.append(len(log) - before)
    assert log == list(range(60))
    # 4 ms of 1 ms each, noticed at the next look at the clock.
    assert max(turns) <= 2 * CHECK_EVERY


def test_a_round_that_was_interrupted_goes_on_when_the_loop_does(
    idle_loop: asyncio.AbstractEventLoop,
) -> None:
    log = list[int]()
    flusher = Flusher(idle_loop)
    for n in range(3):
        flusher.mark(Item(n, log, error=KeyboardInterrupt() if n == 0 else None))
    with pytest.raises(KeyboardInterrupt):
        idle_loop.run_forever()
    assert log == [0]
    flusher.mark(Item(3, log))
    idle_loop.run_until_complete(turn())
    assert log == [0, 1, 2, 3]
