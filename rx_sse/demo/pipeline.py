"""A viewer's own pipeline: marbles in, an operator that the viewer chooses, marbles out.

Both lines are on the stream, so the page draws a live marble diagram of what runs on the server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import reactivex as rx
from reactivex import operators as ops

import rx_sse

Marbles = rx.Observable[Any]
Operator = Callable[[Marbles], Marbles]

BEAT = 0.3
"""Seconds between two marbles of a burst."""

# Made anew for each use: operators may hold state from their creation on.
OPERATORS: dict[str, Callable[[], Operator]] = {
    "throttle_latest": lambda: rx_sse.throttle_latest(1.0),
    "debounce": lambda: ops.debounce(0.5),
    "filter": lambda: ops.filter(lambda n: n % 2 == 0),
    "scan": lambda: ops.scan(lambda total, n: (total + n) % 100),
    "buffer_with_count": lambda: ops.buffer_with_count(3),
    "distinct_until_changed": lambda: ops.distinct_until_changed(lambda n: n // 3),
}


def marbles() -> Marbles:
    """Digits in bursts of five, with a pause behind each."""
    return rx.interval(BEAT).filter(lambda n: n % 8 < 5).map(lambda n: (n - n // 8 * 3) % 9 + 1)


def pipeline(source: Marbles, operator: rx.Observable[str]) -> Marbles:
    """What comes out of the operator that is chosen at the moment.

    Args:
        source: shared with whoever shows what goes in.
        operator: names of `OPERATORS`.
    """
    return operator.map(lambda name: source.pipe(OPERATORS[name]())).pipe(ops.switch_latest())
