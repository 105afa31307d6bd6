from __future__ import annotations

import asyncio
import time

import pytest

from rx_sse.bus import MemoryBus
from rx_sse.bus.bus import core_of
from rx_sse.bus.gap import Gap
from rx_sse.bus.log.entry import GAP, Draft, gap_data
from rx_sse.bus.log.retention import Retention
from rx_sse.errors import Overloaded, UsageError

from .logs import memory_of

Told = tuple[str | None, str | None, float | None]


async def test_by_user_tokens_issued_before_are_refused() -> None:
    async with MemoryBus() as bus:
        told: list[Told] = []
        watching = core_of(bus).revocations.watch(lambda *what: told.append(what))
        assert core_of(bus).revocations.loaded and not core_of(bus).revocations.is_revoked(
            "7", None, time.time()
        )
        before = time.time()
        await bus.revoke(user="7")
        known = core_of(bus).revocations
        assert known.is_revoked("7", None, before) and known.is_revoked("7", "any", None)
        assert known.is_revoked("7", None, float(int(before))), "iat is in whole seconds"
        assert not known.is_revoked("7", None, time.time() + 1) and not known.is_revoked("8", None, before)
        assert [(user, token) for user, token, _ in told] == [("7", None)] and told[0][2] is not None
        watching.dispose()
        await bus.revoke(user="8")
        assert len(told) == 1


async def test_by_token_until_it_would_have_expired() -> None:
    async with MemoryBus() as bus:
        await bus.revoke(token_id="t1", until=time.time() + 60)
        await bus.revoke(token_id="t2", until=time.time() - 1)
        assert core_of(bus).revocations.is_revoked(None, "t1", None) and not core_of(
            bus
        ).revocations.is_revoked(None, "t2", None)


async def test_a_watcher_that_raises_keeps_nobody_from_being_told() -> None:
    async with MemoryBus() as bus:
        told: list[Told] = []
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)

        def fail(*_: object) -> None:
            raise ValueError("mine")

        core_of(bus).revocations.watch(fail)
        core_of(bus).revocations.watch(lambda *what: told.append(what))
        await bus.revoke(user="7")
        assert len(told) == 1 and core_of(bus).revocations.loaded


async def test_who_remembers_writes_a_lost_log_again() -> None:
    """A flush takes the topic; the process that knew appends what it knows, once for each, and tells nobody
    twice.
    """
    async with MemoryBus() as bus:
        told: list[Told] = []
        await bus.revoke(user="7")
        await bus.revoke(token_id="t")
        core_of(bus).revocations.watch(lambda *what: told.append(what))
        stored = bus.stats().stored_bytes
        reader = core_of(bus).revocations.reader
        assert reader is not None
        core_of(bus).revocations.missed(reader, Gap("!revocations", "reset"))
        assert not told and core_of(bus).revocations.is_revoked("7", None, 0.0)
        page_bytes = memory_of(bus).own_size
        assert page_bytes > 300 and stored == bus.stats().stored_bytes


async def test_a_gap_that_is_in_the_log_is_read_once_more_and_not_for_ever() -> None:
    async with MemoryBus() as bus:
        known = core_of(bus).revocations
        await bus.revoke(user="7")
        reads = bus.stats().reads
        memory_of(bus).append(Draft("!revocations", GAP, gap_data("withdrawn"), None, Retention()))
        await bus.revoke(user="8")
        for _ in range(100):
            await asyncio.sleep(0)
        assert known.loaded and known.is_revoked("7", None, 0.0) and known.is_revoked("8", None, 0.0)
        assert bus.stats().reads <= reads + 1


async def test_a_process_that_is_cut_off_trusts_what_it_knows_for_so_long() -> None:
    async with MemoryBus() as bus:
        known = core_of(bus).revocations
        known.sweep(core_of(bus).runtime.now() - 200.0, False)
        assert known.loaded
        known.sweep(core_of(bus).runtime.now(), True)
        known.sweep(core_of(bus).runtime.now() - 400.0, False)
        assert not known.loaded
        known.sweep(core_of(bus).runtime.now(), True)
        assert known.loaded
    assert not core_of(bus).revocations.loaded, "a bus that does not run knows nothing for certain"


async def test_a_token_that_outlives_its_revocation_is_known_from_the_start() -> None:
    async with MemoryBus(max_token_life=600.0) as bus:
        known, now = core_of(bus).revocations, time.time()
        assert known.outlives(now, now + 600.0) is None
        assert known.outlives(now - 500.0, now + 100.0) is None
        assert known.outlives(None, now + 600.0) is None, "without an iat its life counts from now"
        assert known.outlives(None, None) is None, "no token that ends by itself"
        for issued, ends in ((now, now + 700.0), (now - 3600.0, now + 10.0), (None, now + 700.0)):
            assert "max_token_life=600" in (known.outlives(issued, ends) or "")


async def test_a_revocation_is_kept_for_as_long_as_any_token_that_is_accepted_may_live() -> None:
    """Whatever a token says of its times: while it would be accepted, its revocation is remembered."""
    async with MemoryBus(max_token_life=1.0) as bus:
        known = core_of(bus).revocations
        made = time.time()
        await bus.revoke(user="7")
        await bus.revoke(token_id="t")
        for later in (0.5, 10.0, 61.5, 3600.0):
            now = made + later
            known._users = {u: k for u, k in known._users.items() if k[1] > now}
            known._tokens = {t: u for t, u in known._tokens.items() if u > now}
            for life in (1.0, 60.0, 61.0, 10_000.0):
                if later >= life:
                    continue  # it has ended by itself
                refused = known.is_revoked("7", None, made) or known.outlives(made, made + life) is not None
                assert refused, (later, life)


async def test_what_cannot_be_kept_is_not_accepted() -> None:
    async with MemoryBus() as bus:
        core_of(bus).revocations.most = 2
        await bus.revoke(user="7")
        await bus.revoke(token_id="t", until=time.time() + 60)
        with pytest.raises(Overloaded, match="nothing was revoked"):
            await bus.revoke(user="8")
        await bus.revoke(user="7")  # a later one of a user who is known takes no place
        assert core_of(bus).revocations.is_revoked("7", None, 0.0) and not core_of(
            bus
        ).revocations.is_revoked("8", None, 0.0)
        with pytest.raises(UsageError, match="max_token_life"):
            await bus.revoke(token_id="u", until=time.time() + 365 * 86_400)
