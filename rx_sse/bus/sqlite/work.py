"""The writer's input and output: drafts, and other work in its place among them.

Never: this file accesses the database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from rx_sse.bus.log.entry import Draft
from rx_sse.bus.sqlite.appending import Appender, Outcome
from rx_sse.bus.sqlite.own_ids import NONE
from rx_sse.bus.sqlite.stored import Stored

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
    """Drafts in a row: the outcome of each, and the inserted entries.

    Attributes:
        size: of all drafts.
        plain: whether all were stored, and no publisher waits for any of them.
    """

    drafts: list[Draft]
    outcomes: list[Outcome]
    stored: Stored
    size: int
    plain: bool


Part = Appended | tuple[Callable[[Any], None], Any]
"""A part of a transaction's results: drafts, or the result of a work and its callback."""


def appended(drafts: list[Draft], outcomes: list[Outcome], stored: Stored) -> Appended:
    """The result of drafts in a row."""
    plain = len(stored) == len(drafts) and not any([draft.settle is not None for draft in drafts])
    return Appended(drafts, outcomes, stored, sum([draft.size for draft in drafts]), plain)


def stored_in(parts: Iterable[Part]) -> list[Stored]:
    """The entries that a transaction has inserted; without the drafts that inserted none."""
    return [part.stored for part in parts if isinstance(part, Appended) and len(part.stored)]


def ids_of(parts: Iterable[Part]) -> tuple[int, int]:
    """The first and the last id of the entries of a transaction; zeros if there are none."""
    stored = stored_in(parts)
    return (stored[0].first, stored[-1].last) if stored else NONE
