"""Which entries of the file are this process's own: those are delivered without being read.

Written by the writer's thread, asked by the reader's. A commit is visible to the reader before the writer's
thread has the interpreter again, so the ids of a transaction are noted before it.

Never: an entry of another process counts as own.
"""

from __future__ import annotations

NONE = (0, 0)


class OwnIds:
    """The newest ids without a hole that are all own."""

    __slots__ = ("_committing", "_row", "_split")

    def __init__(self) -> None:
        self._row = NONE
        self._committing = NONE
        self._split = False

    def split(self) -> None:
        """Another process has written: what follows begins a new row."""
        self._split = True

    def commits(self, first: int, last: int) -> None:
        """A transaction with these entries is committed next; zeros if it has none."""
        self._committing = (first, last)

    def failed(self) -> None:
        """It was rolled back."""
        self._committing = NONE

    def committed(self) -> None:
        """It was committed."""
        first, last = self._committing
        if last:
            begin, end = self._row
            self._row = (begin if end + 1 == first and not self._split else first, last)
            self._split = False
        self._committing = NONE

    def clear(self) -> None:
        """Another file, or one whose content went back: ids are given anew."""
        self._row = NONE

    def hold(self, after: int, last: int) -> bool | None:
        """Whether all entries after an id, up to another that is committed, are own; None if that is not
        known yet.
        """
        begin, end = self._committing  # before the row, which is set first
        first, upto = self._row
        if first <= after + 1 and last <= upto:
            return True
        joined = first <= after + 1 and begin <= upto + 1
        return None if last <= end and (begin <= after + 1 or joined) else False
