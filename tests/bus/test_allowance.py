"""What one principal may take: bounded, filled again by time, and forgotten when full."""

from __future__ import annotations

from rx_sse.bus.allowance import ROOM, Allowance


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_principal_takes_so_many_and_no_other_one_pays() -> None:
    clock = Clock()
    allowance = Allowance(100.0, clock)
    assert [allowance.take("eve", 5, 10) for _ in range(2)] == [0.0, 0.0]
    assert round(allowance.take("eve", 5, 10), 6) == 50.0, "the seconds until there are five again"
    assert allowance.take("bob", 10, 10) == 0.0
    clock.now += 50.0
    assert allowance.take("eve", 5, 10) == 0.0
    assert allowance.take("eve", 1, None) == 0.0, "None is no bound"


def test_in_any_period_no_more_than_twice_a_full_bucket_is_taken() -> None:
    clock = Clock()
    allowance = Allowance(10.0, clock)
    taken = 0
    while clock.now < 10.0:
        taken += allowance.take("eve", 1, 50) == 0.0
        clock.now += 0.01
    assert 90 <= taken <= 100


def test_a_full_bucket_is_forgotten() -> None:
    clock = Clock()
    allowance = Allowance(10.0, clock)
    for n in range(ROOM):
        allowance.take(str(n), 1, 10)
    clock.now += 1.0
    for n in range(5 * ROOM):
        allowance.take(f"later {n}", 1, 10)
        clock.now += 0.01
    assert len(allowance) < 2 * ROOM
