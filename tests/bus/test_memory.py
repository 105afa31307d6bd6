"""The memory log: limits, lives, and what is left of topics that are over."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from rx_sse.bus.cursor import Position
from rx_sse.bus.entry import TEXT, Entry
from rx_sse.bus.log import Draft, Page, Query, Retention
from rx_sse.bus.memory import MemoryLog
from rx_sse.errors import PublishRefused


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Setting:
    """A log with a clock of its own."""

    def __init__(self, retention: Retention | None = None, **limits: int) -> None:
        self.clock = Clock()
        self.retention = retention or Retention(age=60.0)
        self.log = MemoryLog(self.retention, clock=self.clock, **limits)

    def append(self, topic: str, data: str = "x", *, key: str | None = None) -> Position | Exception:
        settled: list[Position | Exception] = []
        self.log.append(Draft(topic, TEXT, data, None, self.retention, key=key, settle=settled.append))
        return settled[0]

    def read(self, topic: str, after: Position | None = None, last: int = 0) -> Page:
        pages: list[Page | None] = []
        self.log.read(Query(topic, after, last), pages.append)
        assert pages[0] is not None
        return pages[0]


class Ear:
    def __init__(self) -> None:
        self.heard: list[Entry] = []

    def arrived(self, entry: Entry) -> None:
        self.heard.append(entry)

    def dirty(self) -> None:
        raise AssertionError("nothing is missed in memory")


def test_a_topic_keeps_so_many_entries_and_bytes() -> None:
    by_count = Setting(Retention(entries=3))
    by_size = Setting(Retention(bytes=350))
    for setting in (by_count, by_size):
        for number in range(10):
            setting.append("t", str(number))
        assert [entry.data for entry in setting.read("t", last=100).entries] == ["7", "8", "9"]


def test_an_entry_is_kept_for_so_long() -> None:
    setting = Setting()
    first = setting.append("t", "old")
    setting.clock.now += 40
    second = setting.append("t", "new")
    setting.clock.now += 30
    page = setting.read("t", last=10)
    assert [entry.data for entry in page.entries] == ["new"] and page.base == first
    assert isinstance(first, Position) and setting.read("t", first).start == first, (
        "the prev of the oldest is valid"
    )
    assert setting.read("t", Position(0, 1)).start == first
    setting.clock.now += 40
    page = setting.read("t", last=10)
    assert not page.entries and page.head == second, (
        "the log is empty, and its topic still knows where it was"
    )
    third = setting.append("t", "one more")
    assert setting.read("t", second if isinstance(second, Position) else None).entries[0].position == third


def test_a_topic_that_nobody_touches_is_over() -> None:
    setting = Setting()
    zero = setting.read("t").head
    setting.clock.now += 61
    assert setting.read("t").head != zero, "a new beginning has a new nonce, swept or not"
    setting.clock.now += 61
    assert setting.log.sweep() is False
    assert setting.log.topics == 0


def test_listening_is_a_life_of_its_own() -> None:
    setting = Setting()
    ear = Ear()
    stop = setting.log.watch("t", ear)
    position = setting.append("t")
    for _ in range(5):
        setting.clock.now += 50
        setting.log.sweep()
    assert setting.log.topics == 1 and setting.read("t").head == position
    assert len(ear.heard) == 1 and setting.log.size == 0, "the entry is over, the topic is not"
    stop()
    setting.append("t")
    assert len(ear.heard) == 1
    setting.clock.now += 61
    setting.log.sweep()
    assert setting.log.topics == 0


def test_all_topics_share_a_budget_and_the_oldest_give() -> None:
    setting = Setting(max_bytes=1000)
    heads = {name: setting.append(name, "x" * 100) for name in "abcdefgh"}
    assert setting.log.size <= 1000
    assert [name for name in "abcdefgh" if setting.read(name, last=1).entries] == list("defgh")
    for name, head in heads.items():
        assert isinstance(head, Position) and setting.read(name, head).start == head, (
            "no history, but no false gap either"
        )
    setting.append("!revocations", "x" * 400)
    for _ in range(20):
        setting.append("a", "x" * 100)
    assert setting.read("!revocations", last=1).entries, (
        "users' history pushes nothing of the library's own out"
    )


def test_so_many_topics_are_remembered() -> None:
    setting = Setting(max_topics=100)
    setting.log.watch("t0", Ear())
    for number in range(1000):
        setting.append(f"t{number}")
    assert setting.log.topics <= 101
    assert setting.read("t0", last=1).entries, "one that is watched stays"


def test_idempotency_keys() -> None:
    setting = Setting()
    first = setting.append("t", "x", key="k")
    assert setting.append("t", "x", key="k") == first
    assert isinstance(setting.append("t", "y", key="k"), PublishRefused)
    setting.clock.now += 301
    setting.log.sweep()
    assert setting.append("t", "y", key="k") != first


@pytest.mark.parametrize("count", [5_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_topics_that_were_touched_once_leave_nothing(count: int) -> None:
    setting = Setting()
    setting.append("warm")
    setting.clock.now += 61
    while setting.log.sweep():
        pass
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(count):
        setting.append(f"user:{number}", '{"text":"hello"}')
    gc.collect()
    full = tracemalloc.get_traced_memory()[0] - before
    setting.clock.now += 61
    while setting.log.sweep():
        pass
    gc.collect()
    left = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    print(f"{count} topics: {full / count:.0f} bytes each, {left} left")
    assert full > 100 * count and left < full * 0.05 and setting.log.topics == 0


async def test_closing_forgets_everything() -> None:
    setting = Setting()
    head = setting.append("t", key="k")
    await setting.log.close()
    assert setting.log.topics == 0 and setting.log.size == 0
    assert setting.append("t", key="k") != head
