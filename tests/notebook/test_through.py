"""Operators over a recording, in virtual time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import reactivex as rx
from hypothesis import given
from hypothesis import strategies as st
from reactivex import operators as ops

import rx_sse
from rx_sse.errors import UsageError
from rx_sse.notebook import Moment, Recording

from .test_recording import recordings


def of(*times: float, seconds: float = 10.0) -> Recording:
    return Recording([Moment(at, "next", n) for n, at in enumerate(times)], seconds=seconds)


def told(recording: Recording) -> list[tuple[float, Any]]:
    return [(round(moment.at, 6), moment.value) for moment in recording]


@given(recordings())
def test_an_operator_that_changes_nothing_gives_the_same(recording: Recording) -> None:
    out = recording.through(ops.map(lambda value: value))
    assert out.values == recording.values and out.seconds == recording.seconds
    assert [moment.kind for moment in out] == [moment.kind for moment in recording]
    for came, was in zip(out, recording, strict=True):
        assert abs(came.at - was.at) < 1e-5


def test_timers_run_by_the_recordings_clock() -> None:
    burst = of(0.0, 0.2, 0.4, 3.0, 3.1)
    assert told(burst.through(rx_sse.throttle_latest(1.0))) == [(0.0, 0), (1.0, 2), (3.0, 3), (4.0, 4)]
    assert told(burst.through(ops.debounce(0.5))) == [(0.9, 2), (3.6, 4)]
    counted = burst.through(ops.buffer_with_time(5.0), ops.map(len))
    assert told(counted) == [(5.0, 5), (10.0, 0)]


def test_what_an_operator_holds_back_at_the_end_is_seen() -> None:
    out = of(9.9).through(ops.debounce(1.0), name="told")
    assert told(out) == [(10.0, 0)] and out.name == "told"
    assert told(of(1.0, 2.0).through(ops.count())) == [(10.0, 2)]


def test_an_end_of_the_operators_own_is_seen() -> None:
    assert [moment.kind for moment in of(1.0, 2.0, 3.0).through(ops.take(2))] == ["next", "next", "completed"]
    failing = of(1.0, 2.0).through(ops.map(lambda value: 1 / (value - 1)))
    assert [moment.kind for moment in failing] == ["next", "error"]
    assert failing.moments[-1].value == "ZeroDivisionError: division by zero"


def test_what_never_ends_ends_with_the_recording() -> None:
    def beside(source: rx.Observable[Any]) -> rx.Observable[Any]:
        return rx.merge(source, rx.interval(3.0).pipe(ops.map(lambda n: f"tick {n}")))

    out = of(1.0).through(beside)
    assert told(out) == [(1.0, 0), (3.0, "tick 0"), (6.0, "tick 1"), (9.0, "tick 2")]


@given(st.lists(st.floats(0, 86_400), min_size=1, max_size=30).map(sorted), st.floats(0.5, 5_000))
def test_a_day_is_throttled_as_it_would_have_been(times: list[float], window: float) -> None:
    out = of(*times, seconds=86_400.0).through(rx_sse.throttle_latest(window))
    assert out.values[0] == 0 and out.values[-1] == len(times) - 1
    at = [moment.at for moment in out if moment.at < 86_400.0]
    assert all(later - earlier > window - 1e-3 for earlier, later in itertools.pairwise(at))


@pytest.mark.parametrize("operators", [(), (3,), (ops.take(1), None)])
def test_something_else_than_operators_is_refused(operators: tuple[Any, ...]) -> None:
    through: Callable[..., Recording] = of(1.0).through
    with pytest.raises(UsageError, match="as pipe"):
        through(*operators)
