"""Where a stream is in one topic: a component of its cursor.

Standard: docs/resume.md §3.
Never: it knows of another topic.
"""

from __future__ import annotations

from rx_sse.bus.log.position import Mark, Position, part_of


class Start:
    """Where a feed's topic begins, as far as the handle is concerned."""

    __slots__ = ("order", "pending", "position", "resumed")

    def __init__(self, position: Position | None, order: int, resumed: bool, pending: bool) -> None:
        self.position = position
        self.order = order
        self.resumed = resumed
        self.pending = pending


class Track:
    """Where the stream is in one topic.

    Attributes:
        ref: the topic's reference.
        position: the last that was written, or where it began; None until it has one.
        order: of the last position written, -1 for none; None for a topic that the client knows and this
            stream does not have.
        entered: the order of the last event that went into the pipeline, where a filter is.
        passed: the newest entry that a subscription dropped.
        past: the higher position that the client had in another branch.
        start: until the stream is open.
    """

    __slots__ = ("entered", "order", "passed", "past", "position", "ref", "start")

    def __init__(
        self,
        ref: str,
        order: int | None,
        position: Position | None = None,
        past: Position | None = None,
    ) -> None:
        self.ref = ref
        self.order = order
        self.position = position
        self.past = past
        self.entered = -1
        self.passed: Mark | None = None
        self.start: Start | None = None

    @property
    def part(self) -> str | None:
        """Its part of the cursor."""
        return None if self.position is None else part_of(self.ref, self.position)

    def move(self, mark: Mark) -> None:
        """An entry was written, or passed over."""
        self.order = mark.order
        self.position = position = mark.position
        if self.past is not None and position.seq >= self.past.seq:  # the branch has come as far
            self.past = None
