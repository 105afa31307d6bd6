"""Numbers as lines: several in one pair of axes, bounded however many there are."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
import reactivex as rx

from rx_sse.errors import UsageError
from rx_sse.notebook import plot
from rx_sse.notebook.chart import Chart


async def test_plot_draws_several_series_in_one_pair_of_axes(capsys: pytest.CaptureFixture[str]) -> None:
    await plot({"up": rx.range(0, 8), "down": rx.of(7, 0)}, seconds=5, title="two")
    assert capsys.readouterr().out.splitlines() == [
        "two up ▁▂▃▄▅▆▇█  8 values, 0 to 7",
        "two down █▁  2 values, 0 to 7",
    ]
    with pytest.raises(UsageError, match="'b': int is no stream"):
        await plot({"a": rx.of(1), "b": 2}, n=1)  # type: ignore[dict-item]


def test_it_has_round_numbers_and_a_name_for_each_line() -> None:
    chart = Chart("speed", ["a", "b"])
    for n in range(11):
        chart.add("a", n / 10, 1_000.0 + n)
        chart.add("b", n / 10, 1_005.0)
    root = ElementTree.fromstring(chart.svg)
    texts = {"".join(node.itertext()) for node in root.iter() if node.tag.endswith("}text")}
    assert {"1000", "1002", "1010", "0 s", "0.2 s", "1 s", "a 11 values", "b 11 values", "speed"} <= texts
    strokes = [node.get("stroke") for node in root.iter() if node.tag.endswith("polyline")]
    assert len(strokes) == len(set(strokes)) == 2


@pytest.mark.parametrize(
    "numbers", [[], [3.0], [3.0, 3.0], [-1e308, 1e308], [0.0, 5e-324], [1e15, 1e15 + 1], [0.0]]
)
def test_any_numbers_make_a_picture(numbers: list[float]) -> None:
    chart = Chart("", [""])
    for n, number in enumerate(numbers):
        chart.add("", float(n), number)
    assert "nan" not in chart.svg and "inf" not in chart.svg
    ElementTree.fromstring(chart.svg)


def test_a_hundred_thousand_points_are_a_bounded_picture_that_keeps_the_extremes() -> None:
    chart = Chart("", [""])
    for n in range(100_000):
        chart.add("", n / 1_000, 1_000.0 if n == 77_777 else float(n % 7))
    assert len(chart.svg) < 60_000
    assert "100,000 values, drawn as lowest and highest of 760 columns" in chart.svg
    (line,) = re.findall(r'points="([^"]+)"', chart.svg)
    assert min(float(point.split(",")[1]) for point in line.split()) == 40.0  # the top of the axes
