"""Entries that a transaction has inserted, as the loop delivers them.

Never: an object for each entry. Lists of what exists anyway are shorter work, for the garbage collector too.
"""

from __future__ import annotations

from rx_sse.bus.log.entry import Draft
from rx_sse.bus.log.position import Position


class Stored:
    """Entries in the order of their ids, which have no holes.

    Args:
        first: the id of the first.
        drafts: their drafts.
        positions: their positions.
        before: of each, the position of the entry before it in its topic.

    Attributes:
        ends: of each topic the last position, and the lineage.
    """

    __slots__ = ("before", "drafts", "ends", "first", "positions")

    def __init__(
        self, first: int, drafts: list[Draft], positions: list[Position], before: list[Position]
    ) -> None:
        self.first = first
        self.drafts = drafts
        self.positions = positions
        self.before = before
        self.ends: dict[str, tuple[Position, int]] = {}

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def last(self) -> int:
        """The id of the last; one less than `first` if there is none."""
        return self.first + len(self.positions) - 1
