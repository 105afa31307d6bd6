"""The memory log: limits, lives, and what is left of topics that are over."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc

import pytest

from rx_sse.bus.log.entry import OVERHEAD, TEXT, Draft, Entry
from rx_sse.bus.log.memory import TOPIC_COST, MemoryLog
from rx_sse.bus.log.port import Page, Query
from rx_sse.bus.log.position import Position, new_position, nonce_of, seq_of
from rx_sse.bus.log.retention import Retention
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
    by_size = Setting(Retention(bytes=int(3.5 * OVERHEAD)))
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
    assert isinstance(first, int) and setting.read("t", first).start == first, (
        "the prev of the oldest is valid"
    )
    assert setting.read("t", new_position(0, 1)).start == first
    setting.clock.now += 40
    page = setting.read("t", last=10)
    assert not page.entries and page.head == second, (
        "the log is empty, and its topic still knows where it was"
    )
    third = setting.append("t", "one more")
    assert setting.read("t", second if isinstance(second, int) else None).entries[0].position == third


@pytest.mark.parametrize("swept", [True, False])
def test_a_topic_that_is_not_touched_is_over(swept: bool) -> None:
    setting = Setting()
    zero = setting.read("t").head
    setting.append("t")
    setting.clock.now += 61
    if swept:
        assert setting.log.sweep() is False
        assert setting.log.topics == 0
    again = setting.read("t").head
    assert again != zero and seq_of(again) == 0, "a new beginning has a new nonce"
    setting.append("t")
    setting.clock.now += 61
    assert setting.read("t").head not in (zero, again)


def test_reading_a_topic_leaves_nothing_behind_and_its_beginning_is_the_same_again() -> None:
    setting = Setting()
    zero = setting.read("t").head
    assert setting.log.topics == 0 and setting.log.size == 0 and seq_of(zero) == 0 and nonce_of(zero)
    stop = setting.log.watch("t", Ear())
    assert setting.read("t").head == zero and setting.log.topics == 1
    stop()
    assert setting.log.topics == 0 and setting.log.size == 0
    assert setting.read("other").head != zero and MemoryLog().size == 0
    first = setting.append("t")
    page = setting.read("t", zero)
    assert page.start == zero and [entry.position for entry in page.entries] == [first]


def test_listening_is_a_life_of_its_own() -> None:
    setting = Setting()
    ear = Ear()
    stop = setting.log.watch("t", ear)
    position = setting.append("t")
    for _ in range(5):
        setting.clock.now += 50
        setting.log.sweep()
    assert setting.log.topics == 1 and setting.read("t").head == position
    assert len(ear.heard) == 1 and setting.log.size == TOPIC_COST, "the entry is over, the topic is not"
    stop()
    setting.append("t")
    assert len(ear.heard) == 1
    setting.clock.now += 61
    setting.log.sweep()
    assert setting.log.topics == 0


def test_all_topics_share_a_budget_and_the_oldest_give() -> None:
    limit = 8 * TOPIC_COST + 5 * (OVERHEAD + 100)
    setting = Setting(max_bytes=limit)
    heads = {name: setting.append(name, "x" * 100) for name in "abcdefgh"}
    assert setting.log.size <= limit
    assert [name for name in "abcdefgh" if setting.read(name, last=1).entries] == list("defgh")
    for name, head in heads.items():
        assert isinstance(head, int) and setting.read(name, head).start == head, (
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


COUNTED = """
import gc, sys
from rx_sse.bus.log.entry import Draft
from rx_sse.bus.log.memory import MemoryLog
from rx_sse.bus.log.retention import Retention

topics, entries, size = map(int, sys.argv[1:])

def resident():
    with open("/proc/self/statm") as figures:
        return int(figures.read().split()[1]) * 4096

class Watcher:
    def arrived(self, entry):
        pass

    def dirty(self):
        pass

kept = Retention(entries=10**6, bytes=10**9)
log, watcher = MemoryLog(kept, max_bytes=1 << 40), Watcher()
gc.collect()
before = resident()
for topic in range(topics):
    stop = log.watch(f"user:{topic}", watcher)
    for _ in range(entries):
        log.append(Draft(f"user:{topic}", "j", '{"x":"' + "y" * size + '"}', None, kept))
    if entries:
        stop()
gc.collect()
print(log.size, resident() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("topics", "entries", "size"),
    [(20_000, 1, 40), (20, 5_000, 40), (200, 100, 5_000), (50_000, 0, 0)],
)
def test_what_is_counted_is_what_the_process_takes(topics: int, entries: int, size: int) -> None:
    arguments = [str(it) for it in (topics, entries, size)]
    printed = subprocess.run(
        [sys.executable, "-c", COUNTED, *arguments], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    counted, taken = map(int, printed.split())
    # The budget is a limit: it may be counted a little too high, never much too low.
    assert 0.6 * counted < taken < 1.1 * counted, f"{counted:,} counted, {taken:,} taken"
