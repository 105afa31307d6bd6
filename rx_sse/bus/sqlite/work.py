"""The writer's input and output: drafts, and other work in its place among them.

Never: this file accesses the database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from rx_sse.bus.log.draft import Draft
from rx_sse.bus.sqlite.appending import Appender, Outcome, Stored

MUST_WRITE = object()
"""The result of a reading work that needs a transaction that writes."""


class Work:
    """An operation executed in its place among the drafts, inside a transaction.

    Args:
        run: called with the connection and the appender.
        done: called with its result, or its exception, on the owner's side.
        reads: whether it only reads, so that it need not wait for the write lock.
    """

    __slots__ = ("done", "reads", "run")

    def __init__(
        self,
        run: Callable[[sqlite3.Connection, Appender], Any],
        done: Callable[[Any], None],
        *,
        reads: bool = False,
    ) -> None:
        self.run = run
        self.done = done
        self.reads = reads


class Appended(NamedTuple):
    """Drafts in a row: the outcome of each, and the inserted entries."""

    drafts: list[Draft]
    outcomes: list[Outcome]
    stored: list[Stored]


Part = Appended | tuple[Callable[[Any], None], Any]
"""A part of a transaction's results: drafts, or the result of a work and its callback."""


def in_rows(items: Iterable[Draft | Work]) -> Iterator[list[Draft] | Work]:
    """Consecutive drafts as one list, and the works between them."""
    row: list[Draft] = []
    for item in items:
        if isinstance(item, Draft):
            row.append(item)
            continue
        if row:
            yield row
            row = []
        yield item
    if row:
        yield row
