"""The positions of a stream in its topics: a component for each topic, and their vector, which is the cursor.

Standard: docs/resume.md §3.
Never: a position that goes back without a gap.
"""

from __future__ import annotations

from collections.abc import Callable

from rx_sse.bus.log.position import (
    MAX_TOPICS,
    UNKNOWN,
    Mark,
    Place,
    Position,
    cursor_of,
    parse,
    part_of,
    seq_of,
)
from rx_sse.delivery.follower import Follower


class Start:
    """The start of a subscription's topic, for the cursor."""

    __slots__ = ("order", "pending", "position", "resumed")

    def __init__(self, position: Position | None, order: int, resumed: bool, pending: bool) -> None:
        self.position = position
        self.order = order
        self.resumed = resumed
        self.pending = pending


class Track:
    """The position of the stream in one topic.

    Attributes:
        ref: the topic's reference.
        position: the last one written, or the start; None until there is one.
        order: the order of the last position written, -1 for none; None for a topic that the client knows and
            this stream does not have.
        entered: the order of the last event that went into the pipeline, where a filter is.
        passed: the newest entry that a subscription dropped.
        past: the client's higher position in another branch.
        start: the start, until the stream is open.
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

    def move(self, order: int, position: Position) -> None:
        """An entry was written, or skipped."""
        self.order = order
        self.position = position
        if self.past is not None and seq_of(position) >= seq_of(self.past):  # the branch has come as far
            self.past = None


class Vector(Follower):
    """The positions of one stream. On a stream of one topic the newest is that of the `Follower`: the
    connection moves it with each batch, and `_settle` tells the topic's track of it.

    Args:
        value: the ``Last-Event-ID`` of the request, None if there was none. It is not trusted.
        granted: returns which topics the client may read; a position in another topic counts as unknown.

    Attributes:
        attached: at least one subscription of a bus belongs to this stream. (Plain: it is read for every
            event.)
    """

    __slots__ = ("_cursor", "_granted", "_tracks", "attached", "value")

    def __init__(self, value: str | None, granted: Callable[[str], bool] | None) -> None:
        super().__init__()
        self.value = value
        self.attached = False
        self._granted = granted
        # The client's positions, by topic reference; None if its cursor is not valid.
        self._cursor = dict(parsed) if value and (parsed := parse(value)) is not None else None
        self._tracks: tuple[Track, ...] = ()  # one for each topic; most streams have one

    def __str__(self) -> str:
        return self.value or ""

    def __bool__(self) -> bool:
        return bool(self.value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"

    def starts(
        self, ref: str, position: Position | None, order: int, *, resumed: bool, pending: bool
    ) -> None:
        """A subscription's topic begins at `position`, which applies at once unless a gap comes first."""
        self._known(ref).start = Start(position, order, resumed, pending)

    def entered(self, mark: Mark) -> None:
        """An event of a subscription with a filter went into the pipeline."""
        self._known(mark.ref).entered = mark.order

    def past(self, ref: str) -> Position | None:
        """The client's higher position in another branch."""
        return self._known(ref).past

    def _track(self, ref: str) -> Track | None:
        for track in self._tracks:
            if track.ref == ref:
                return track
        return None

    def _known(self, ref: str) -> Track:
        track = self._track(ref)
        assert track is not None, f"no feed of this stream has {ref}"
        return track

    def _settle(self) -> None:
        if (ref := self.ref) is not None:
            self.ref = None
            self._known(ref).move(self.order, self.position)

    def _begin(self, ref: str, topic: str) -> Place | None:
        self._settle()
        track = self._track(ref)
        if track is None:
            track = Track(ref, -1)
            self._tracks += (track,)
        elif track.order is None:  # a topic that the client knew
            track.order = -1
        elif track.position is not None:  # subscribed again, by `retry` or `repeat`
            return Place(track.position, track.past)
        self.attached = True
        if not self.value:
            return None
        if self._cursor is None or (self._granted is not None and not self._granted(topic)):
            return Place(UNKNOWN)
        place = self._cursor.get(ref)
        if place is not None and place.past is not None:
            track.past = place.past
        return place

    def _carry(self, known: dict[str, Place]) -> None:
        """Topics that the client knows and this stream does not have stay in its cursor, for a stream that
        has them."""
        others = [(ref, place) for ref, place in known.items() if self._track(ref) is None]
        for ref, place in others[: MAX_TOPICS - len(self._tracks)]:
            self._tracks += (Track(ref, None, place.position, place.past),)

    def _vector(self) -> str | None:
        self._settle()
        parts: list[str] = []
        for track in self._tracks:
            if (part := track.part) is not None:
                parts.append(part)
                # Until a gap is sent, the position is the higher one itself: named twice, it would be no
                # cursor.
                if track.past is not None and track.past != track.position:
                    parts.append(part_of(track.ref, track.past))
        return cursor_of(parts) if parts else None
