"""The queue between one stream and its socket.

Operations wanted, and their allowed cost:

* `offer` an event to a reader that keeps up: one slot, no allocation, no lock. This is nearly every delivery.
* `offer` to a reader that lags: O(1), bounded, and a result that says what was done. Never an exception.
* `take` the bytes to write now: at most `limit` bytes, joined once.
* Control events (`stream-end` …) keep their place in the order and are never refused.
* Items that a source emits while it is being subscribed (the prelude: "snapshot, then live") are outside the
  limits of live events and have a limit of their own, in bytes.

Oldest first: `_head` (the rest of a frame that was too long for one write), `_prelude`, and then either
`_slot` (one live event, taken only when everything is empty) or `_queue` (several).

Sans-IO; the outbox belongs to one thread, the loop's.
Never: it parses a frame, waits, raises on a full queue, or drops an event without counting it in a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from enum import Enum
from typing import Protocol

from rx_sse.delivery.overflow import Overflow

ENTRY_COST = 64
"""Bytes a queued prelude entry costs beside its frame (measured: 56 for the tuple, 8 in the deque)."""


class Outcome(Enum):
    """What was done with an offered event."""

    QUEUED = "queued"
    """It is queued for the next flush."""
    DROPPED = "dropped"
    """It, or an older event, was dropped; a gap is in the place of the loss."""
    OVERFLOW = "overflow"
    """There is no room and the policy is to disconnect: the connection must be ended. Nothing was queued."""
    EXCEEDED = "exceeded"
    """The prelude would be over its limit: the source has failed. Nothing was queued."""


class Gap:
    """A run of dropped events: how many, and the mark of the last one that has one."""

    __slots__ = ("mark", "missed")

    def __init__(self, missed: int, mark: object) -> None:
        self.missed = missed
        self.mark = mark

    def add(self, mark: object) -> None:
        """Count one more event at the end of the run."""
        self.missed += 1
        self.mark = mark if mark is not None else self.mark


class Teller(Protocol):
    """Makes frames of gaps, and writes to the socket when the outbox is full."""

    def relieve(self) -> None:
        """There is no room: `take` as much as the socket accepts now. The policy applies to the rest."""
        ...

    def render_gap(self, gap: Gap) -> bytes:
        """The frame that announces a gap."""
        ...


CONTROL = object()
"""The mark of a control event in the slot."""


class Control:
    """A frame outside the limits."""

    __slots__ = ("frame",)

    def __init__(self, frame: bytes) -> None:
        self.frame = frame


Event = tuple[
    bytes, object
]  # a frame, and the mark of the id that it carries, if the stream can resume from it
Entry = Event | Gap | Control


class Outbox:
    """The first-in-first-out outbox of the policies `disconnect`, `drop_oldest` and `drop_newest`.

    Args:
        overflow: policy and limits.
        teller: makes the frame that announces a `Gap`; called when the gap is taken, so that it counts the
            whole run.
        prelude_bytes: the limit of the prelude, in bytes of frames plus `ENTRY_COST` each. The outbox starts
            in its prelude; `live()` ends it.
    """

    __slots__ = (
        "_bytes",
        "_events",
        "_head",
        "_prelude",
        "_prelude_bytes",
        "_queue",
        "_slot",
        "_slot_mark",
        "_teller",
        "dropped",
        "idle",
        "is_live",
        "overflow",
        "prelude_limit",
        "pulled",
    )

    def __init__(self, overflow: Overflow, teller: Teller, prelude_bytes: int) -> None:
        self.overflow = overflow
        self.prelude_limit = prelude_bytes
        self.pulled = False  # the source was asked for this item when nothing waited: it meets no limit
        self.dropped = 0
        self._teller: Teller | None = teller
        self.is_live = False
        """The prelude has ended."""
        self.idle = False
        """Live and empty, so the next event takes the slot."""
        self._slot: bytes | None = None
        self._slot_mark: object = None
        self._head: memoryview | None = None
        self._prelude: deque[Entry] | None = None
        self._prelude_bytes = 0
        self._queue: deque[Entry] | None = None
        self._bytes = 0  # of the live events in _queue
        self._events = 0  # their number: gaps and control events do not count against the limits

    def __bool__(self) -> bool:
        return not self.idle and bool(self._slot or self._head or self._prelude or self._waiting())

    def __len__(self) -> int:
        """Entries that wait, gaps and control events included."""
        return (
            (self._slot is not None) + (self._head is not None) + len(self._prelude or ()) + self._waiting()
        )

    @property
    def size(self) -> int:
        """Bytes that wait, without those of gaps and control events."""
        slot = b"" if self._slot is None or self._slot_mark is CONTROL else self._slot
        return len(slot) + len(self._head or b"") + self._prelude_bytes + self._bytes

    def live(self) -> None:
        """The prelude has ended: from now on the limits apply."""
        self.is_live = True
        self.idle = not self

    def offer(self, frame: bytes, mark: object = None, key: Hashable = None) -> Outcome:
        """Queue an event, or apply the policy to it.

        Args:
            frame: the bytes for the socket, opaque.
            mark: identifies the id in the frame, for the gap that may replace it; None without an id.
            key: for the policy `latest`.
        """
        if self.idle:
            self.idle = False
            self._slot = frame
            self._slot_mark = mark
            return Outcome.QUEUED
        if not self.is_live:
            return self._offer_prelude(frame, mark)
        return self._offer_slow(frame, mark, key)

    def control(self, frame: bytes) -> None:
        """Queue a frame outside the limits, in its place in the order."""
        if not self.is_live:
            self._prelude_queue().append(Control(frame))
        elif self.idle:
            self.idle = False
            self._slot = frame
            self._slot_mark = CONTROL
        else:
            self._append_control(frame)

    def take(self, limit: int) -> bytes | memoryview:
        """Remove and return the bytes to write now: at most `limit` bytes, empty when nothing waits."""
        frame = self._slot
        if frame is not None and len(frame) <= limit:
            self._slot = None
            self._slot_mark = None
            self.idle = True
            return frame
        return self._take_slow(limit)

    def clear(self) -> None:
        """Discard everything (the reader has disconnected)."""
        self._slot = self._head = self._prelude = None
        self._prelude_bytes = self._bytes = self._events = 0
        self._forget()
        self.idle = self.is_live

    def release(self) -> None:
        """Discard everything, and the teller: no more gaps will be rendered."""
        self.clear()
        self._teller = None

    # -- the slow half: more than one event waits ------------------------------------------------------------

    def _offer_prelude(self, frame: bytes, mark: object) -> Outcome:
        cost = len(frame) + ENTRY_COST
        if self._prelude_bytes + cost > self.prelude_limit:
            return Outcome.EXCEEDED
        self._prelude_bytes += cost
        self._prelude_queue().append((frame, mark))
        return Outcome.QUEUED

    def _prelude_queue(self) -> deque[Entry]:
        if self._prelude is None:
            self._prelude = deque()
        return self._prelude

    def _offer_slow(self, frame: bytes, mark: object, key: Hashable) -> Outcome:
        queue = self._spill()
        outcome = Outcome.QUEUED
        if self._full(frame) and self._relieved():
            return self.offer(frame, mark, key)
        if self._full(frame):
            if self.overflow.policy == "disconnect":
                return Outcome.OVERFLOW
            outcome = Outcome.DROPPED
            if self.overflow.policy == "drop_newest":
                self._count_dropped(queue, mark)
                return outcome
            while self._full(frame):
                self._drop_oldest(queue)
        self._append(queue, frame, mark)
        return outcome

    def _relieved(self) -> bool:
        """Write to the reader as much as it accepts, before the policy applies; returns whether that was
        everything."""
        if self._teller is not None:
            self._teller.relieve()
        return self.idle

    def promote(self) -> bool:
        """Count everything that waits as prelude: no reader could have received it yet. False if that is full
        too."""
        cost = self._bytes + self._events * ENTRY_COST
        if self._prelude_bytes + cost > self.prelude_limit:
            return False
        prelude = self._prelude_queue()
        while self._waiting():
            prelude.append(self._pop())
        self._prelude_bytes += cost
        return True

    def _full(self, frame: bytes) -> bool:
        """Whether there is no room for `frame`. An event is always accepted when no other event waits."""
        rules = self.overflow
        return (
            self._events > 0
            and not self.pulled
            and (self._events >= rules.max_events or self._bytes + len(frame) > rules.max_bytes)
        )

    def _append_control(self, frame: bytes) -> None:
        self._spill().append(Control(frame))

    def _append(self, queue: deque[Entry], frame: bytes, mark: object) -> None:
        queue.append((frame, mark))
        self._count(frame)

    def _count(self, frame: bytes) -> None:
        """Count `frame` as a waiting live event."""
        self._events += 1
        self._bytes += len(frame)

    def _uncount(self, frame: bytes) -> None:
        self._events -= 1
        self._bytes -= len(frame)

    def _count_dropped(self, queue: deque[Entry], mark: object) -> None:
        """Count one more dropped event, behind the last entry of `queue`."""
        self.dropped += 1
        if queue and isinstance(last := queue[-1], Gap):
            last.add(mark)
        else:
            queue.append(Gap(1, mark))

    def _drop_oldest(self, queue: deque[Entry]) -> None:
        """Drop the oldest live event; a run of dropped events is one gap in its place."""
        for index, entry in enumerate(queue):
            if isinstance(entry, tuple):
                self._uncount(entry[0])
                self.dropped += 1
                if index and isinstance(before := queue[index - 1], Gap):
                    before.add(entry[1])
                    del queue[index]
                else:
                    queue[index] = Gap(1, entry[1])
                return

    def _spill(self) -> deque[Entry]:
        """The queue, with the slot's event moved to its front."""
        if self._queue is None:
            self._queue = deque()
        if self._slot is not None:
            if self._slot_mark is CONTROL:
                self._queue.append(Control(self._slot))
            else:
                self._append(self._queue, self._slot, self._slot_mark)
            self._slot = self._slot_mark = None
        return self._queue

    def _waiting(self) -> int:
        return len(self._queue) if self._queue else 0

    def _forget(self) -> None:
        self._queue = None

    def _pop(self) -> Entry:
        """The oldest entry behind the prelude; there is one."""
        assert self._queue is not None
        entry = self._queue.popleft()
        if isinstance(entry, tuple):
            self._uncount(entry[0])
        return entry

    def _take_slow(self, limit: int) -> bytes | memoryview:
        if self._head is not None:
            return self._take_head(limit)
        if self._slot is not None:
            self._spill()
        frames: list[bytes] = []
        size = 0
        while (entry := self._next()) is not None:
            frame = entry[0] if isinstance(entry, tuple) else self._frame(entry)
            if size + len(frame) > limit:
                self._head = memoryview(frame)  # from now on the policy does not apply to it
                if not frames:
                    return self._take_head(limit)
                break
            frames.append(frame)
            size += len(frame)
        self._settle()
        return b"".join(frames) if len(frames) != 1 else frames[0]

    def _take_head(self, limit: int) -> memoryview:
        assert self._head is not None
        piece, rest = self._head[:limit], self._head[limit:]
        self._head = rest if rest else None
        self._settle()
        return piece

    def _next(self) -> Entry | None:
        if self._prelude:
            entry = self._prelude.popleft()
            if isinstance(entry, tuple):
                self._prelude_bytes -= len(entry[0]) + ENTRY_COST
            return entry
        return self._pop() if self._waiting() else None

    def _frame(self, entry: Gap | Control) -> bytes:
        if isinstance(entry, Control):
            return entry.frame
        return b"" if self._teller is None else self._teller.render_gap(entry)

    def _settle(self) -> None:
        """Return to the common case after everything was taken; an idle reader keeps no queue."""
        if self._head is None and not self._prelude and not self._waiting():
            self._prelude = None
            self._forget()
            self.idle = self.is_live
