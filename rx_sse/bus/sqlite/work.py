"""What is handed to the writer, and what comes back: drafts, and other work in its place among them.

Never: anything here touches the file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from rx_sse.bus.log.draft import Draft
from rx_sse.bus.sqlite.appending import Appender, Outcome, Stored

MUST_WRITE = object()
"""What a work returns that only reads, if it cannot do without a transaction that writes."""


class Work:
    """Something else that is done in its place among the drafts, inside a transaction.

    Args:
        run: gets the connection and the appender.
        done: gets what it returns, or its exception, on the owner's side.
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
    """Drafts in a row: what became of each, and what was inserted."""

    drafts: list[Draft]
    outcomes: list[Outcome]
    stored: list[Stored]


Part = Appended | tuple[Callable[[Any], None], Any]
"""A part of what a transaction did: drafts, or what a work returned and who gets it."""


def in_rows(items: Iterable[Draft | Work]) -> Iterator[list[Draft] | Work]:
    """Drafts that follow each other as one list, and what is between them."""
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
