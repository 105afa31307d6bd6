"""The points of the charts: what is now as it is, what is counted as a rate per second."""

from __future__ import annotations

from rx_sse.web.admin.rates import POINTS, Rates, Reading


def reading(
    at: float, opened: int, sent: int, stalls: tuple[int, ...] = (0, 0, 0), route: str = "GET /a"
) -> Reading:
    counters = {"opened": opened, "sent": sent}
    return Reading(at, {"open": opened % 7}, counters, {route: (opened, sent)}, {"stall": stalls})


def test_there_is_no_point_before_the_second_reading() -> None:
    rates = Rates({"stall": (0.1, 1.0)})
    assert rates.shown()["series"] == {} and rates.number == 0
    rates.add(reading(0.0, 0, 0))
    assert rates.shown()["series"] == {"open": [], "opened": [], "sent": [], "stall": []}
    assert rates.number == 1


def test_counters_are_rates_over_the_time_that_has_passed() -> None:
    rates = Rates({"stall": (0.1, 1.0)})
    for at, opened, sent in ((0.0, 0, 0), (5.0, 10, 5_000), (15.0, 20, 5_000)):
        rates.add(reading(at, opened, sent))
    shown = rates.shown()
    assert shown["series"]["opened"] == [2.0, 1.0]
    assert shown["series"]["sent"] == [1_000.0, 0.0]
    assert shown["series"]["open"] == [3, 6]
    assert shown["routes"] == {"GET /a": {"open": [10, 20], "sent": [1_000, 0]}}


def test_a_stall_is_the_upper_bound_of_the_longest_since_the_last_point() -> None:
    rates = Rates({"stall": (0.1, 1.0)})
    for at, stalls in (
        (0.0, (5, 5, 5)),
        (5.0, (9, 5, 5)),
        (10.0, (9, 6, 5)),
        (15.0, (9, 6, 6)),
        (20.0, (9, 6, 6)),
    ):
        rates.add(reading(at, 0, 0, stalls))
    assert rates.shown()["series"]["stall"] == [0.1, 1.0, 1.0, 0.0], (
        "what is above the last bound is at least that"
    )


def test_a_route_that_is_new_has_been_at_nothing_and_the_points_are_bounded() -> None:
    rates = Rates({})
    for number in range(3 * POINTS):
        rates.add(reading(float(number), number, 0, ()))
    rates.add(reading(3.0 * POINTS, 7, 100, (), "GET /new"))
    shown = rates.shown()
    assert len(shown["series"]["open"]) == POINTS
    assert shown["routes"]["GET /new"]["open"] == [0] * (POINTS - 1) + [7]
