"""A viewer's own pipeline: marbles in, an operator chosen by the viewer, marbles out.

Both lines are on the stream, so the page draws a live marble diagram of the pipeline on the server.
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

# Made anew for each use: operators may have state from their creation on.
OPERATORS: dict[str, Callable[[], Operator]] = {
    "throttle_latest": lambda: rx_sse.throttle_latest(1.0),
    "debounce": lambda: ops.debounce(0.5),
    "filter": lambda: ops.filter(lambda n: n % 2 == 0),
    "scan": lambda: ops.scan(lambda total, n: (total + n) % 100),
    "buffer_with_count": lambda: ops.buffer_with_count(3),
    "distinct_until_changed": lambda: ops.distinct_until_changed(lambda n: n // 3),
}


def marbles() -> Marbles:
    """Digits in bursts of five, with a pause after each."""
    return rx.interval(BEAT).filter(lambda n: n % 8 < 5).map(lambda n: (n - n // 8 * 3) % 9 + 1)


def pipeline(source: Marbles, operator: rx.Observable[str]) -> Marbles:
    """The output of the chosen operator.

    Args:
        source: shared with the line that shows the input.
        operator: names of `OPERATORS`.
    """
    return operator.map(lambda name: source.pipe(OPERATORS[name]())).pipe(ops.switch_latest())
