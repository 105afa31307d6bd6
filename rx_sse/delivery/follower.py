"""The place of a client in the topic that it follows, as three fields: so a connection writes the batches of
this topic without asking anything else.

Standard: docs/resume.md §3.
Never: `order` goes back.
"""

from __future__ import annotations

from typing import Any


class Follower:
    """The place of a client in the only topic of its stream, while the topic's entries are written as they
    are.

    Attributes:
        ref: the topic's reference; None while each batch has to be examined.
        order: the order of the last entry written.
        position: its position.
    """

    __slots__ = ("order", "position", "ref")

    order: int
    position: Any

    def __init__(self) -> None:
        self.ref: str | None = None


NO_FOLLOWER = Follower()
