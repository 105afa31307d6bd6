"""The leases of a log in memory: what is left of runs that have ended."""

from __future__ import annotations

import pytest

from rx_sse.bus.log.entry import END, TEXT, Draft, Entry
from rx_sse.bus.log.lease import Claim, Lease, Take
from rx_sse.bus.log.memory import MemoryLog
from rx_sse.bus.log.retention import Retention

MONTH = Retention(age=30 * 86_400.0)


class Setting:
    """A log with a clock of its own, and runs in it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.log = MemoryLog(clock=lambda: self.now)
        self._takes = 0

    def run(self, name: str, *, ttl: float) -> Lease:
        """A run from its start to its end, kept for `ttl` seconds."""
        lease = self.start(name)
        self.append(lease, TEXT, Claim(lease.fence))
        self.append(lease, END, Claim(lease.fence, "completed", ttl))
        return lease

    def start(self, name: str) -> Lease:
        self._takes += 1
        lease = self.log.leases.table.take(name, Take(str(self._takes), 10.0, restart=True))
        assert lease.state == "running" and lease.owner == str(self._takes)
        return lease

    def append(self, lease: Lease, kind: str, claim: Claim) -> None:
        draft = Draft(lease.topic, kind, "x", None, MONTH)
        draft.claim = claim
        self.log.append(draft)

    def after(self, seconds: float) -> None:
        """So much later, with a sweep."""
        self.now += seconds
        self.log.sweep()


class Ear:
    def arrived(self, entry: Entry) -> None:
        pass

    def dirty(self) -> None:
        pass


def test_a_run_that_is_started_again_and_again_keeps_the_topics_of_its_time_alone() -> None:
    setting = Setting()
    for _ in range(500):
        setting.run("report", ttl=60.0)
        setting.after(10.0)
        assert setting.log.topics <= 7
    setting.after(60.0)
    assert (setting.log.topics, setting.log.size) == (0, 0)


def test_a_topic_that_is_read_when_its_time_is_over_goes_when_its_reader_has_left() -> None:
    setting = Setting()
    lease = setting.run("report", ttl=60.0)
    stop = setting.log.watch(lease.topic, Ear())
    setting.after(61.0)
    assert setting.log.topics == 1
    stop()
    setting.after(1.0)
    assert setting.log.topics == 0


def test_a_run_never_begins_in_the_topic_of_an_earlier_one() -> None:
    setting = Setting()
    first = setting.run("report", ttl=3600.0)
    setting.run("report", ttl=1.0)
    setting.after(2.0)  # the second is forgotten, and with it that there was a first
    third = setting.start("report")
    assert third.topic != first.topic and third.entries == 0
    fresh = setting.log.leases.table.look("report")
    assert fresh is not None and fresh.entries == 0


@pytest.mark.slow
def test_runs_that_are_forgotten_because_there_are_too_many_take_their_topics_along() -> None:
    setting = Setting()
    for number in range(10_100):
        setting.run(f"r{number}", ttl=3600.0)
    setting.after(1.0)
    assert setting.log.topics == 10_000
