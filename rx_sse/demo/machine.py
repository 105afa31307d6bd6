"""This machine's readings as an Observable, shared by all viewers."""

from __future__ import annotations

from typing import Any

import reactivex as rx
from reactivex import operators as ops

PERIOD = 0.1
"""Seconds between two readings; psutil's own take about half a millisecond."""


def readings() -> rx.Observable[dict[str, Any]]:
    """CPU and memory in percent, network in bytes per second, ten times a second while there are viewers."""
    import psutil

    def counted() -> int:
        counters = psutil.net_io_counters()
        return int(counters.bytes_sent + counters.bytes_recv) if counters is not None else 0

    def begin(_: Any) -> rx.Observable[dict[str, Any]]:
        before = counted()

        def read(_: int) -> dict[str, Any]:
            nonlocal before
            now = counted()
            network, before = round((now - before) / PERIOD), now
            return {
                "cpu": psutil.cpu_percent(),
                "memory": psutil.virtual_memory().percent,
                "network": network,
            }

        return rx.interval(PERIOD).map(read)

    return rx.defer(begin).pipe(ops.share())
