"""The outbox of the policy `latest`: of a slow reader's events only the newest of each key waits.

Never: it holds two events of one key, or loses one for lack of room without a gap.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable

from rx_sse.delivery.outbox import CONTROL, Control, Entry, Event, Outbox, Outcome, Teller
from rx_sse.delivery.overflow import Overflow


class LatestOutbox(Outbox):
    """The outbox of the policy `latest`: one waiting event per key, the newest, in the order of the newest.

    Entries that have reached the front for good (gaps, and control events before them) are in the inherited
    queue; the events follow, by key.
    """

    __slots__ = ("_keyed", "_slot_key", "conflated")

    def __init__(self, overflow: Overflow, teller: Teller, prelude_bytes: int) -> None:
        super().__init__(overflow, teller, prelude_bytes)
        self.conflated = 0
        self._slot_key: Hashable = None
        self._keyed: OrderedDict[Hashable, Event | Control] = OrderedDict()

    def offer(self, frame: bytes, mark: object = None, key: Hashable = None) -> Outcome:
        if self.idle:
            self._slot_key = key
        return super().offer(frame, mark, key)

    def _append_control(self, frame: bytes) -> None:
        self._move_slot()
        self._keyed[object()] = Control(frame)

    def _offer_slow(self, frame: bytes, mark: object, key: Hashable) -> Outcome:
        self._move_slot()
        if isinstance(old := self._keyed.pop(key, None), tuple):
            self.conflated += 1
            self._uncount(old[0])
        outcome = Outcome.QUEUED
        if self._full(frame) and self._relieved():
            return self.offer(frame, mark, key)
        while self._full(frame):
            self._drop_first()
            outcome = Outcome.DROPPED
        self._keyed[key] = (frame, mark)
        self._count(frame)
        return outcome

    def _drop_first(self) -> None:
        """More keys than room: drop the oldest event, and put a gap in its place."""
        front = self._queue = self._queue or deque()
        while True:
            _, entry = self._keyed.popitem(last=False)
            if isinstance(entry, tuple):
                self._uncount(entry[0])
                self._count_dropped(front, entry[1])
                return
            front.append(entry)

    def _move_slot(self) -> None:
        if self._slot is not None:
            if self._slot_mark is CONTROL:
                self._keyed[object()] = Control(self._slot)
            else:
                self._keyed[self._slot_key] = (self._slot, self._slot_mark)
                self._count(self._slot)
            self._slot = self._slot_mark = self._slot_key = None

    def _spill(self) -> deque[Entry]:
        self._move_slot()
        return super()._spill()

    def _waiting(self) -> int:
        return super()._waiting() + len(self._keyed)

    def _forget(self) -> None:
        super()._forget()
        self._keyed.clear()

    def _pop(self) -> Entry:
        if self._queue:
            return self._queue.popleft()
        _, entry = self._keyed.popitem(last=False)
        if isinstance(entry, tuple):
            self._uncount(entry[0])
        return entry


def make_outbox(overflow: Overflow, teller: Teller, prelude_bytes: int) -> Outbox:
    """The outbox for an `Overflow`."""
    return (LatestOutbox if overflow.policy == "latest" else Outbox)(overflow, teller, prelude_bytes)
