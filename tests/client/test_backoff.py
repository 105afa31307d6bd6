"""How long a client waits: never less than the stream asked for, never much more than 30 s."""

from __future__ import annotations

import pytest

from rx_sse.client.backoff import MAX_DELAY, reconnection_delay


def delays(retry: int, failures: int) -> tuple[float, float]:
    """The shortest and the longest."""
    return (
        reconnection_delay(retry, failures, chance=lambda: 0.0),
        reconnection_delay(retry, failures, chance=lambda: 1.0),
    )


def test_after_a_connection_that_served_it_is_the_stream_s_own_time_and_a_quarter() -> None:
    assert delays(3000, 0) == (3.0, 3.75)


@pytest.mark.parametrize(
    ("failures", "longest"), [(1, 6.0), (2, 12.0), (3, 24.0), (4, MAX_DELAY), (10**9, MAX_DELAY)]
)
def test_failures_double_it_up_to_a_limit(failures: int, longest: float) -> None:
    assert delays(3000, failures) == (longest / 2, longest)


@pytest.mark.parametrize("failures", range(10))
@pytest.mark.parametrize("retry", [0, 1, 200, 3000, 29_000, 600_000, 2**31 - 1])
def test_it_is_never_less_than_the_stream_asked_for(retry: int, failures: int) -> None:
    assert delays(retry, failures)[0] >= retry / 1000


def test_a_stream_that_asks_for_more_than_the_limit_gets_it() -> None:
    assert delays(600_000, 5) == (600.0, 750.0)


def test_no_time_at_all_is_at_once_after_success_and_grows_with_failures() -> None:
    assert delays(0, 0) == (0.0, 0.0)
    assert delays(0, 1) == (0.1, 0.2)
    assert delays(0, 20) == (MAX_DELAY / 2, MAX_DELAY)


def test_a_server_that_names_a_time_is_obeyed() -> None:
    assert reconnection_delay(1000, 1, at_least=120.0) == 120.0


def test_it_is_spread() -> None:
    assert len({reconnection_delay(3000, 0) for _ in range(100)}) > 90
