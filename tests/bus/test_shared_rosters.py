"""What the rosters that processes share keep: nothing of topics without listeners and readers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rx_sse.bus import MemoryBus
from rx_sse.bus.bus import core_of
from rx_sse.bus.shared_rosters import AGAIN, INTEREST, SharedRosters

Told = Callable[[str, list[bytes]], None]


class Log:
    """A log that answers when the test says so."""

    def __init__(self) -> None:
        self.ready = True
        self.said: dict[str, tuple[str, bool]] = {}
        self.told: list[Told] = []

    def present(self, process: str, life: float, said: dict[str, tuple[str, bool]], told: Told) -> None:
        self.said = said
        self.told.append(told)


@asynccontextmanager
async def shared() -> AsyncIterator[tuple[Log, SharedRosters, float]]:
    """The rosters of a bus over such a log, and the time."""
    async with MemoryBus() as bus:
        log = Log()
        rosters = SharedRosters(core_of(bus).runtime, 10.0, log)
        yield log, rosters, rosters.runtime.now()


class Seen:
    """A watcher that looks at nothing."""

    def emit(self, value: object) -> None:
        pass

    def fail(self, error: Exception) -> None:
        pass


async def test_an_answer_that_is_late_is_not_kept() -> None:
    async with shared() as (log, rosters, now):
        assert rosters.count("t") == 0
        rosters.sweep(now)
        log.told[0]("t", [b'[{"ann": 1}, 0]'])
        assert rosters.members("t") == {"ann": 1}
        rosters.sweep(now + 2 * INTEREST)
        log.told[0]("t", [b'[{"ann": 1}, 0]'])
        assert rosters.members("t") == {}


async def test_topics_that_came_and_went_during_an_outage_are_not_kept() -> None:
    async with shared() as (log, rosters, now):
        log.ready = False
        rosters.join("stays", "ann")
        for second in range(5):
            for number in range(100):
                rosters.join(f"t{second}-{number}", "ann")
                rosters.leave(f"t{second}-{number}", "ann")
            rosters.sweep(now + second)
            assert len(log.said) == 101
        log.ready = True
        rosters.sweep(now + 6)
        assert log.said == {"stays": ('[{"ann": 1}, 0]', False)}


async def test_a_return_in_another_process_leaves_no_roster_when_its_watcher_has_gone() -> None:
    async with shared() as (log, rosters, now):
        seen = Seen()
        rosters.watch("t", seen)
        rosters.sweep(now)
        for others in ([b'[{"ann": 1}, 0]'], []):
            log.told[0]("t", others)
        rosters.unwatch("t", seen)
        assert rosters.members("t") == {"ann": 0}
        log.told[0]("t", [b'[{"ann": 1}, 0]'])
        assert rosters.members("t") == {"ann": 1}
        assert len(rosters) == 0


async def test_the_end_of_the_last_subscription_during_an_outage_is_reported_after_it() -> None:
    async with shared() as (log, rosters, now):
        rosters.join("t", "ann")
        rosters.sweep(now)
        assert log.said == {"t": ('[{"ann": 1}, 0]', False)}
        log.ready = False
        rosters.leave("t", "ann")
        rosters.sweep(now + 1)
        log.ready, log.said = True, {}
        rosters.sweep(now + 2)
        assert log.said == {"t": ("-", False)}
        log.said = {}
        rosters.sweep(now + 30)
        assert log.said == {}


async def test_the_end_of_the_last_subscription_is_reported_when_the_report_is_due_again() -> None:
    async with shared() as (log, rosters, now):
        rosters.join("t", "ann")
        rosters.sweep(now)
        rosters.leave("t", "ann")
        rosters.sweep(now + AGAIN)
        assert log.said == {"t": ("-", False)}
