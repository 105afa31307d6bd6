"""How much of a topic is kept."""

from __future__ import annotations

from dataclasses import dataclass

from rx_sse.arguments import count, seconds


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of a topic is kept.

    Attributes:
        entries: the maximal number of entries.
        bytes: the maximal size of their text in all.
        age: seconds that an entry is kept; also the life of an unused topic.
    """

    entries: int = 1000
    bytes: int = 8 * 1024 * 1024
    age: float = 3600.0

    @classmethod
    def of(cls, history: int, history_bytes: int, ttl: float) -> Retention:
        """The retention in the units of a bus's arguments.

        Raises:
            UsageError: a number out of range.
        """
        return cls(
            count("history", history, least=0),
            count("history_bytes", history_bytes, least=0),
            seconds("ttl", ttl, zero="would keep nothing, not even the position to resume from"),
        )
