"""The metrics are those of the documentation and of the dashboard, and what they measure is what happened."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import reactivex as rx

from rx_sse import metrics
from rx_sse.histogram import Histogram
from rx_sse.testing import open_stream, serve
from rx_sse.web.end_reason import End
from rx_sse.web.registry import REGISTRY
from tests.conftest import ROOT

from .apps import app_of, streaming, until

DOCS = ROOT / "docs"


def exported() -> set[str]:
    """Every name that Prometheus may read, without the suffixes of histograms."""
    gauges = (
        *metrics.GAUGES.values(), *metrics.BUS_GAUGES.values(), *metrics.SQLITE_GAUGES.values()
    )  # fmt: skip
    counters = (*metrics.COUNTERS.values(), *metrics.BUS_COUNTERS.values(), *metrics.REDIS_COUNTERS.values())
    names = {name for name, _ in (*gauges, *metrics.HISTOGRAMS.values(), *metrics.BUS_HISTOGRAMS.values())}
    return names | {f"{name}_total" for name, _ in (*counters, metrics.ENDED)}


def test_the_documentation_lists_every_metric_and_every_reason() -> None:
    text = (DOCS / "operating.md").read_text("utf-8")
    both, heading, _ = text.partition(
        "\n## Log lines for programs\n"
    )  # whose fields have a test of their own
    first = re.findall(r"^\| `(\w+)` \|", both, re.M)
    assert heading and set(first) == exported() | {end.value for end in End}


def test_the_dashboard_reads_metrics_that_exist() -> None:
    board: dict[str, Any] = json.loads((DOCS / "grafana-dashboard.json").read_text("utf-8"))
    read = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"rx_sse_\w+", target["expr"])
    }
    assert read and {name.removesuffix("_bucket") for name in read} <= exported()
    histograms = {name for name, _ in (metrics.HISTOGRAMS | metrics.BUS_HISTOGRAMS).values()}
    assert {f"{name}_bucket" for name in histograms} <= read


def test_a_histogram_counts_each_value_below_its_bound_and_all_above() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        histogram.observe(value)
    assert histogram.buckets() == [("1.0", 2.0), ("2.0", 3.0), ("+Inf", 4.0)]
    assert histogram.total == 12.0


async def test_the_duration_of_a_stream_is_observed_at_its_end() -> None:
    prometheus = pytest.importorskip("prometheus_client")
    app = app_of(streaming(lambda: rx.of(1)))
    registry = prometheus.CollectorRegistry()
    registry.register(metrics.Collector(app))
    async with serve(app) as url, open_stream(url) as stream:
        await stream.next_event()
        await until(lambda: not app[REGISTRY].streams)
        text = prometheus.generate_latest(registry).decode()
    assert "rx_sse_stream_duration_seconds_count 1.0" in text
    assert 'rx_sse_stream_duration_seconds_bucket{le="1.0"}' in text


@pytest.mark.slow
async def test_a_stalled_clients_queue_has_an_age_and_the_loops_answers_are_observed() -> None:
    app = app_of(streaming(lambda: rx.interval(0.01).map(lambda _: "x" * 65_536), overflow="latest"))
    async with serve(app) as url, open_stream(url) as stream:
        stream.stall()
        measures = app[REGISTRY].measures
        await until(lambda: measures.queue_age.total > 0.5, timeout=20)
        assert len(measures.behind) == 1
        assert sum(measures.stalls.counts) > 0
        stream.leave()
        await until(lambda: not app[REGISTRY].streams, timeout=20)
        assert not measures.behind
