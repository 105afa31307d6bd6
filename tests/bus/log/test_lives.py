"""Topics of different lives: each is over when its own is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rx_sse.bus.log.entry import TEXT, Draft
from rx_sse.bus.log.memory import MemoryLog
from rx_sse.bus.log.port import Page, Query
from rx_sse.bus.log.retention import Retention

AGES = (10.0, 60.0, 3600.0)


def swept(log: MemoryLog) -> None:
    while log.sweep():  # so many milliseconds at a time
        pass


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 2), st.integers(0, 40)), max_size=60))
def test_a_sweep_leaves_exactly_the_topics_whose_life_is_not_over(steps: list[tuple[str, int, int]]) -> None:
    now = 0.0
    log = MemoryLog(clock=lambda: now)
    ends: dict[str, float] = {}
    for topic, age, seconds in steps:
        now += seconds
        log.append(Draft(topic, TEXT, "x", None, Retention(age=AGES[age])))
        ends[topic] = now + AGES[age]
        swept(log)
        assert log.topics == sum(end > now for end in ends.values())
    now += 4000
    swept(log)
    assert log.topics == 0 and log.size == 0


def test_a_long_life_does_not_hold_up_a_short_one() -> None:
    now = 0.0
    log = MemoryLog(clock=lambda: now)
    log.append(Draft("!revocations", TEXT, "x", None, Retention(age=2_000_000.0)))
    for number in range(1000):
        log.append(Draft(f"typing:{number}", TEXT, "x", None, Retention(age=10.0)))
    now += 11
    swept(log)
    assert log.topics == 1


def test_when_there_is_no_room_the_topic_touched_least_recently_gives_whatever_its_life() -> None:
    now = 0.0
    log = MemoryLog(max_topics=4, clock=lambda: now)
    for number in range(8):
        now += 1
        log.append(Draft(f"t{number}", TEXT, "x", None, Retention(age=AGES[number % 3])))
    assert log.topics == 4
    pages: list[Page | None] = []
    for number in range(4, 8):
        log.read(Query(f"t{number}", last=1), pages.append)
    assert all(page is not None and page.entries for page in pages)
