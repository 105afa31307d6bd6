"""Metrics for Prometheus: `registry.register(rx_sse.metrics.Collector(app))`.

Needs the extra `metrics`. All values are read when Prometheus scrapes; nothing is counted twice and nothing
is added to the path of an event.

Standard: the Prometheus exposition format, its naming rules (`_total` for counters, base units).
Never: a label by user, topic or address: their number has no bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rx_sse.bus.bus import core_of
from rx_sse.errors import UsageError
from rx_sse.web.registry import REGISTRY

if TYPE_CHECKING:
    from aiohttp import web
    from prometheus_client import Metric

GAUGES = {
    "open": ("rx_sse_streams_open", "Streams that are open."),
}
COUNTERS = {
    "opened": ("rx_sse_streams_opened", "Streams opened since the start."),
    "shed": ("rx_sse_streams_shed", "Requests refused because of a limit or a shutdown."),
    "dropped": ("rx_sse_events_dropped", "Events that slow readers lost to their policy."),
}
BUS_GAUGES = {
    "ready": ("rx_sse_bus_ready", "1 while published events reach this process."),
    "topics": ("rx_sse_bus_topics", "Topics in use in this process."),
    "subscriptions": ("rx_sse_bus_subscriptions", "Feeds and subscriptions to values."),
    "waiting": ("rx_sse_bus_entries_waiting", "Entries whose delivery has not ended."),
    "ring_bytes": ("rx_sse_bus_ring_bytes", "Recent entries kept ready for reconnects, in bytes."),
    "replays": ("rx_sse_bus_replays", "Replays from the log that are running."),
}
BUS_COUNTERS = {
    "published": ("rx_sse_bus_published", "Entries accepted from this process."),
    "refused": ("rx_sse_bus_refused", "Pushes that found no room."),
    "delivered": ("rx_sse_bus_delivered", "Deliveries to subscribers."),
    "repairs": ("rx_sse_bus_repairs", "Times a topic was repaired from the log."),
    "gaps": ("rx_sse_bus_gaps", "Topics that lost their place in the log."),
    "gaps_told": ("rx_sse_bus_gaps_told", "Gaps reported to readers."),
}
SQLITE_GAUGES = {
    "file_bytes": ("rx_sse_bus_file_bytes", "Size of the SQLite file."),
    "wal_bytes": ("rx_sse_bus_wal_bytes", "Size of its write-ahead log, until a checkpoint empties it."),
}
REDIS_COUNTERS = {
    "unconfirmed": ("rx_sse_bus_unconfirmed", "Entries stored that too few replicas acknowledged in time."),
}
HISTOGRAMS = {
    "duration": ("rx_sse_stream_duration_seconds", "How long streams that have ended were open."),
    "queue_age": ("rx_sse_queue_age_seconds", "How long queues had not been empty, sampled once a second."),
    "stalls": ("rx_sse_loop_stall_seconds", "How long the event loop took to answer, four times a second."),
    "lag": (
        "rx_sse_delivery_lag_seconds",
        "From the log's having an event to its bytes in the sockets, sampled four times a second.",
    ),
}
BUS_HISTOGRAMS = {
    "replayed": ("rx_sse_replay_entries", "Entries that a client was sent of a topic before it was live."),
    "commits": (
        "rx_sse_bus_commit_seconds",
        "How long a transaction of SQLite took, or Redis to answer a batch.",
    ),
}
ENDED = ("rx_sse_streams_ended", "Streams that have ended, by reason.")


class Collector:
    """A Prometheus collector of an application's streams and bus.

    Args:
        app: an application on which `rx_sse.setup` was called.

    Raises:
        UsageError: it was not.
    """

    def __init__(self, app: web.Application) -> None:
        edge = app.get(REGISTRY)
        if edge is None:
            raise UsageError("metrics.Collector(app): call rx_sse.setup(app) first")
        self._edge = edge

    def collect(self) -> Iterator[Metric]:
        """The current values."""
        try:
            from prometheus_client.core import (
                CounterMetricFamily,
                GaugeMetricFamily,
                HistogramMetricFamily,
            )
        except ImportError as error:
            raise UsageError(
                "rx_sse.metrics needs prometheus-client: pip install prometheus-client"
            ) from error

        def family(kinds: dict[str, tuple[str, str]], record: Any, kind: type[Any]) -> Iterator[Metric]:
            for attribute, (name, text) in kinds.items():
                yield kind(name, text, value=float(getattr(record, attribute)))

        stats = self._edge.stats()
        yield from family(GAUGES, stats, GaugeMetricFamily)
        yield from family(COUNTERS, stats, CounterMetricFamily)
        ended = CounterMetricFamily(*ENDED, labels=["reason"])
        for reason, count in sorted(stats.ended.items()):
            ended.add_metric([reason], float(count))
        yield ended

        def histograms(kinds: dict[str, tuple[str, str]], record: Any) -> Iterator[Metric]:
            for attribute, (name, text) in kinds.items():
                if (found := getattr(record, attribute)) is not None:
                    yield HistogramMetricFamily(name, text, buckets=found.buckets(), sum_value=found.total)

        yield from histograms(HISTOGRAMS, self._edge.measures)
        if self._edge.bus is not None:
            bus = self._edge.bus.stats()
            yield from family(BUS_GAUGES, bus, GaugeMetricFamily)
            yield from family(BUS_COUNTERS, bus, CounterMetricFamily)
            yield from histograms(BUS_HISTOGRAMS, core_of(self._edge.bus).measures)
            if hasattr(bus, "unconfirmed"):
                yield from family(REDIS_COUNTERS, bus, CounterMetricFamily)
            if hasattr(bus, "wal_bytes"):
                yield from family(SQLITE_GAUGES, bus, GaugeMetricFamily)
