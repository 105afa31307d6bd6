"""Wall-clock times of entries that the monotonic clock has dated."""

from __future__ import annotations

from rx_sse.bus.log.wall_clock import MOST, WallClock, milliseconds


class Clocks:
    def __init__(self) -> None:
        self.now = 100.0
        self.offset = 1_700_000_000.0
        self.wall = WallClock(lambda: self.now, lambda: self.now + self.offset)

    def step(self, seconds: float) -> None:
        self.now += 1.0
        self.offset += seconds
        self.wall.note()


def test_what_was_dated_before_a_step_keeps_its_time() -> None:
    clocks = Clocks()
    assert clocks.wall.wall(100.5) == 1_700_000_100.5
    clocks.step(3600.0)
    assert clocks.wall.wall(100.5) == 1_700_000_100.5 and clocks.wall.wall(102.0) == 1_700_003_702.0
    clocks.step(-7200.0)
    assert clocks.wall.wall(103.0) == 1_699_996_503.0 and clocks.wall.wall(101.5) == 1_700_003_701.5
    assert clocks.wall.wall(1.0) == 1_700_000_001.0, "before the first look"


def test_drift_is_no_step_until_it_is_one_and_steps_are_bounded() -> None:
    clocks = Clocks()
    for _ in range(40):
        clocks.step(0.001)
    assert clocks.wall.wall(clocks.now) == clocks.now + 1_700_000_000.0
    for _ in range(40):
        clocks.step(0.001)
    assert clocks.wall.wall(clocks.now) > clocks.now + 1_700_000_000.05
    for _ in range(10 * MOST):
        clocks.step(1.0)
    assert clocks.wall.wall(clocks.now) == clocks.now + clocks.offset


def test_milliseconds_are_those_that_were_stored() -> None:
    for stored in range(1_700_000_000_000, 1_700_000_000_500):
        offset = 123_456.789 - 1_700_000_000.25
        assert milliseconds((stored / 1000 + offset) - offset) == stored
