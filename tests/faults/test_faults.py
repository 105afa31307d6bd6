"""The oracle can fail; and the short table, when slow tests are asked for."""

from __future__ import annotations

import pytest

from .crowd import Client, Crowd, Got, Sent
from .oracle import Verdict, judge
from .rows import ROWS, SHORT
from .runs import RUNS, SHORT_RUNS
from .scene import Size, play


def verdict(got: list[Got], *, log: dict[tuple[int, int], int | None], states: str = "aaaa") -> Verdict:
    """What the oracle says of a client that got `got`. Event `n` was sent at second `n`, as entry `n + 1`."""
    crowd = Crowd([], 1, 1, 1.0)
    named = {"a": "accepted", "r": "refused", "u": "unknown"}
    crowd.sent = [
        Sent(n, "t0", float(n), named[state], (n + 1, 70 + n) if state == "a" else None)
        for n, state in enumerate(states)
    ]
    crowd.clients = [Client("t0", [], 0, got=got)]
    return judge(crowd, {"t0": log})


def event(number: int, seq: int = 0) -> Got:
    return Got(number, (seq or number + 1, 70 + number), number + 0.1)


def gap(seq: int, at: float, reason: str) -> Got:
    return Got(None, (seq, 99), at, reason)


WHOLE: dict[tuple[int, int], int | None] = {(n + 1, 70 + n): n for n in range(4)}


def test_whole_is_whole() -> None:
    said = verdict([event(0), event(1), event(2), event(3)], log=WHOLE)
    assert (said.missing, said.repeated, said.gaps, said.received, said.due) == (0, 0, 0, 4, 4)


def test_a_hole_is_a_loss_whatever_is_told_later() -> None:
    got = [event(0), event(2), gap(3, 2.5, "withdrawn"), event(3)]
    assert verdict(got, log=WHOLE).missing == 1


def test_an_end_that_never_came_is_a_loss() -> None:
    assert verdict([event(0), event(1), event(2)], log=WHOLE).missing == 1


def test_trimmed_entries_are_told_by_the_gap_before_them_only() -> None:
    assert verdict([event(0), gap(3, 3.5, "trimmed"), event(3)], log=WHOLE).missing == 0
    assert verdict([event(1), event(2), gap(3, 3.5, "trimmed"), event(3)], log=WHOLE).missing == 1


def test_a_gap_before_an_event_was_sent_does_not_excuse_it() -> None:
    assert verdict([event(0), gap(1, 0.5, "reset"), event(1), event(2)], log=WHOLE).missing == 1


def test_what_the_log_took_back_is_told_by_any_later_gap() -> None:
    log = {place: number for place, number in WHOLE.items() if number != 2}
    assert verdict([event(0), event(1), gap(3, 2.5, "withdrawn"), event(3)], log=log).missing == 0
    assert verdict([event(0), event(1), event(3)], log=log).missing == 1


def test_what_was_unknown_and_is_stored_is_due() -> None:
    assert verdict([event(0), event(1), event(2)], log=WHOLE, states="aaau").missing == 1


def test_what_was_refused_must_not_be_stored() -> None:
    got = [event(0), event(1), event(2), event(3)]
    assert verdict(got, log=WHOLE, states="aaar").ghosts == 1


def test_twice_and_backwards_are_repeats() -> None:
    assert verdict([event(0), event(1), event(1), event(2), event(3)], log=WHOLE).repeated
    assert verdict([event(0), event(2), event(1), event(3)], log=WHOLE).repeated


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.parametrize("name", SHORT)
async def test_nothing_is_lost_in_silence(name: str) -> None:
    outcome = await play(ROWS[name], Size(clients=60, length=0.5))
    assert not outcome.wrong, outcome.verdict.said[:10]


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.parametrize("name", RUNS)
async def test_a_run_has_one_source_one_end_and_whole_readers(name: str) -> None:
    finding = await RUNS[name](SHORT_RUNS)
    assert finding.held, finding.lines
