"""Checks of the rules that every bus must keep, whatever its log.

A third backend is one file with a `Log` in it, and its author tests it with this function::

    def make_bus(history: int = 1000, ttl: float = 3600.0) -> Bus:
        retention = Retention(entries=history, age=ttl)
        return Bus(MyLog(retention), retention)

    async def test_my_bus() -> None:
        await rx_sse.testing.check_bus(make_bus)

Each check makes its own bus and uses new topics, so a persistent log needs no cleaning.

Precedents: trio's `check_one_way_stream` and the Reactive Streams TCK.
Never: a sleep where an event can be awaited, except in the one check of expiry; a check passes on a bus that
delivers nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from rx_sse.errors import UsageError
from rx_sse.testing import position_checks, resume_checks, topic_checks
from rx_sse.testing.bench import Bench, MakeBus
from rx_sse.testing.listener import PATIENCE

Check = Callable[[Bench], Awaitable[None]]

CHECKS: tuple[Check, ...] = (
    topic_checks.values_come_back_as_json_gives_them,
    topic_checks.what_cannot_be_sent_is_refused,
    topic_checks.threads_keep_their_order,
    topic_checks.an_idempotency_key_stores_once,
    topic_checks.leaving_and_raising_hurt_nobody_else,
    topic_checks.an_end_is_an_entry,
    topic_checks.a_revocation_is_known,
    topic_checks.a_closed_bus_takes_nothing,
    resume_checks.nothing_is_lost_or_repeated_over_cuts,
    resume_checks.ten_thousand_entries_replay_from_anywhere,
    resume_checks.a_gap_is_told_once,
    resume_checks.an_empty_topic_has_a_position,
    resume_checks.expiry_is_never_silent,
    resume_checks.a_restart_resumes_or_says_so,
    resume_checks.forged_cursors_do_no_harm,
    resume_checks.a_slow_client_gets_everything_and_delays_nobody,
    resume_checks.filters_move_the_cursor,
    resume_checks.several_topics_have_one_cursor,
    resume_checks.a_snapshot_comes_before_the_changes,
    position_checks.pages_of_history_are_what_was_published,
    position_checks.a_stream_goes_on_from_a_position,
    position_checks.entries_since_a_time_are_found,
)
"""All checks, in the order in which they run."""


async def check_bus(make_bus: MakeBus, *, only: str | None = None) -> None:
    """Check all rules of a bus.

    Args:
        make_bus: makes a bus, not yet started; may be a coroutine function. It is called with `history`
            (entries that a topic keeps) or `ttl` (seconds) where a check needs them, and must leave the rest
            at its defaults. Two buses that it makes may share their log, or not.
        only: the name of one check; None for all.

    Raises:
        AssertionError: a rule does not hold; the message begins with the name of the check.
        UsageError: `make_bus` returns nothing, or there is no such check.
    """
    checks = {check.__name__: check for check in CHECKS}
    if only is not None and only not in checks:
        raise UsageError(f"only={only!r} is no check; the checks are {', '.join(checks)}")
    if not callable(make_bus):
        raise UsageError(
            f"check_bus({type(make_bus).__name__}): give a function that makes a new bus, "
            "as in check_bus(lambda **options: MemoryBus(**options))"
        )
    for name, check in checks.items():
        if only is not None and name != only:
            continue
        try:
            await check(Bench(make_bus))
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error
        except TimeoutError as error:
            raise AssertionError(f"{name}: waited {PATIENCE} s for something that did not come") from error
