"""Where a stream is in one topic: a component of its cursor.

Standard: resume rules §3.
Never: it knows of another topic.
"""

from __future__ import annotations

from rx_sse.bus.cursor import Position
from rx_sse.bus.entry import Mark


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
        part: its part of the cursor; None until it has a position.
        order: of the last position written, -1 for none; None for a topic that the client knows and this
            stream does not have.
        entered: the order of the last event that went into the pipeline, where a filter is.
        passed: the newest entry that a feed dropped.
        past: the higher position that the client had in another branch.
        start: until the stream is open.
    """

    __slots__ = ("entered", "order", "part", "passed", "past", "ref", "start")

    def __init__(
        self, ref: str, order: int | None, part: str | None = None, past: Position | None = None
    ) -> None:
        self.ref = ref
        self.order = order
        self.part = part
        self.past = past
        self.entered = -1
        self.passed: Mark | None = None
        self.start: Start | None = None

    @property
    def position(self) -> Position | None:
        """Where that is, if it is anywhere."""
        if self.part is None:
            return None
        _, seq, nonce = self.part.split(".")
        return Position(int(seq), int(nonce))

    def move(self, mark: Mark) -> None:
        """An entry was written, or passed over."""
        self.order = mark.order
        self.part = mark.part
        if self.past is not None and mark.position.seq >= self.past.seq:  # the branch has come as far
            self.past = None
