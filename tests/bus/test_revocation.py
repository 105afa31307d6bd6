from __future__ import annotations

import time

from rx_sse.bus import MemoryBus
from rx_sse.bus.entry import Gap

Told = tuple[str | None, str | None, float | None]


async def test_by_user_tokens_issued_before_are_refused() -> None:
    async with MemoryBus() as bus:
        told: list[Told] = []
        watching = bus.revocations.watch(lambda *what: told.append(what))
        assert bus.revocations.loaded and not bus.revocations.is_revoked("7", None, time.time())
        before = time.time()
        await bus.revoke(user="7")
        known = bus.revocations
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
        assert bus.revocations.is_revoked(None, "t1", None) and not bus.revocations.is_revoked(
            None, "t2", None
        )


async def test_a_watcher_that_raises_keeps_nobody_from_being_told() -> None:
    async with MemoryBus() as bus:
        told: list[Told] = []
        bus.report = lambda message, error: None  # type: ignore[method-assign]

        def fail(*_: object) -> None:
            raise ValueError("mine")

        bus.revocations.watch(fail)
        bus.revocations.watch(lambda *what: told.append(what))
        await bus.revoke(user="7")
        assert len(told) == 1 and bus.revocations.loaded


async def test_who_remembers_writes_a_lost_log_again() -> None:
    """A flush takes the topic; the process that knew appends what it knows, once for each, and tells nobody
    twice.
    """
    async with MemoryBus() as bus:
        told: list[Told] = []
        await bus.revoke(user="7")
        await bus.revoke(token_id="t")
        bus.revocations.watch(lambda *what: told.append(what))
        stored = bus.stats().stored_bytes
        reader = bus.revocations.reader
        assert reader is not None
        bus.revocations.missed(reader, Gap("!revocations", "reset"))
        assert not told and bus.revocations.is_revoked("7", None, 0.0)
        page_bytes = bus.log.own_size  # type: ignore[attr-defined]
        assert page_bytes > 300 and stored == bus.stats().stored_bytes


async def test_a_process_that_is_cut_off_trusts_what_it_knows_for_so_long() -> None:
    async with MemoryBus() as bus:
        known = bus.revocations
        known.sweep(bus.now() - 200.0, False)
        assert known.loaded
        known.sweep(bus.now(), True)
        known.sweep(bus.now() - 400.0, False)
        assert not known.loaded
        known.sweep(bus.now(), True)
        assert known.loaded
    assert not bus.revocations.loaded, "a bus that does not run knows nothing for certain"
