"""Many appends as one call.

A batch is sent in one step and settled in one step: no later append of its queue is sent before its outcome
is known. A refusal by Redis is certain, because a refused script has not begun. A lost reply leaves the
outcome unknown; then the same batch is sent again with a window, and the script searches for the entries that
it stored the first time.

Standard: docs/resume.md §4.
Never: an entry is stored twice because a reply was lost.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

from rx_sse.bus.log.entry import Draft, Entry, TracedEntry
from rx_sse.bus.log.position import Position, new_nonce, new_position, nonce_of, seq_of
from rx_sse.bus.redis.protocol.call import ScriptCall, refusal
from rx_sse.bus.redis.protocol.codec import fingerprint, pack, position_of
from rx_sse.bus.redis.protocol.fence import Fence
from rx_sse.bus.redis.protocol.keys import Keys
from rx_sse.bus.redis.protocol.scripts import APPEND
from rx_sse.errors import PublishRefused, PublishUnknown, RxSseError

MAX_ENTRIES = 512
MAX_BYTES = 1_048_576
"""Entries of a batch: some 4 ms of Redis's time, for which other clients wait. A single entry over it is sent
alone."""
MARGIN = 60.0
"""Seconds added to the window, because clocks are read late."""

Stored = tuple[Draft, Position]
Outcome = Position | RxSseError | str
"""The position, the final error, or the code of the refusal after which it may be sent again."""


class AppendBatch:
    """Drafts that are sent together.

    Args:
        drafts: in order.
        keys: names of keys.

    Attributes:
        drafts: the drafts that are not settled.
        unknown: whether it was sent and the reply was lost.
    """

    __slots__ = ("_first_sent", "_keys", "drafts", "topics", "unknown")

    def __init__(self, drafts: list[Draft], keys: Keys) -> None:
        self.drafts = drafts
        self.topics: list[str] = []
        self.unknown = False
        self._keys = keys
        self._first_sent: float | None = None

    def call(self, announce: str, fence: Fence, *, clock: Callable[[], float] = time.monotonic) -> ScriptCall:
        """The call.

        Args:
            announce: ``PUBLISH``, or ``SPUBLISH`` on a cluster.
            fence: the publisher's.
            clock: monotonic seconds.
        """
        names, numbers = self._keys, dict[str, int]()
        keys: list[str] = []
        heads: list[Any] = []
        kept = {draft.topic: draft.retention for draft in self.drafts}
        for number, (topic, retention) in enumerate(kept.items(), 1):
            numbers[topic] = number
            log, meta, channel = names.places(topic)
            keys += (log, meta)
            age = max(int(retention.age * 1000), 1)
            heads += (channel, new_nonce(), max(retention.entries, 1), retention.bytes, age)
        entries: list[Any] = []
        claims: dict[tuple[str, int], tuple[int, str, int]] = {}  # an owner has one for all of its entries
        for draft in self.drafts:
            number, text, trace = numbers[draft.topic], pack(draft), draft.trace or ""
            if (claim := draft.claim) is not None:
                place = draft.topic, id(claim)
                if (claimed := claims.get(place)) is None:
                    keys.append(names.run(draft.topic))
                    said, life = f"#{claim.fence}:{claim.end or ''}", max(int(claim.life * 1000), 1)
                    claimed = claims[place] = len(keys), said, life
                entries += (number, draft.nonce, text, *claimed, trace)
            elif draft.key is None:
                entries += (number, draft.nonce, text, 0, "", 0, trace)
            else:
                keys.append(names.key(draft.topic, draft.key))
                life = max(int(draft.key_life * 1000), 1)
                entries += (number, draft.nonce, text, len(keys), fingerprint(draft), life, trace)
        now = clock()
        window = 0
        if self._first_sent is None:
            self._first_sent = now
        elif self.unknown:
            window = int((now - self._first_sent + MARGIN) * 1000)
        self.topics = list(numbers)
        leave = 1 if fence.is_missing(self.topics) else 0
        args = (len(numbers), announce, window, fence.name, fence.number, leave, *heads, *entries)
        return ScriptCall(APPEND, keys, args)

    def lost(self, fence: Fence) -> None:
        """The reply was lost: fence off the call in flight; the batch has to be sent again."""
        self.unknown = True
        fence.lost(self.topics)

    def outcomes(self, answer: Any, fence: Fence) -> tuple[dict[str, tuple[int, int]], list[Outcome]]:
        """The lineage of each topic and the nonce before its new entries, and the outcome of each draft.

        Raises:
            ValueError: `answer` is not an answer of the script.
        """
        count = len(self.topics)
        said_all = cast("list[bytes]", answer) if isinstance(answer, list) else []
        if len(said_all) != count + len(self.drafts):
            raise ValueError(f"not an answer to a batch: {str(said_all)[:80]}")
        before: dict[str, tuple[int, int]] = {}
        for topic, said in zip(self.topics, said_all, strict=False):
            lineage, nonce = said.split()
            before[topic] = int(lineage), int(nonce)
        outcomes = [_outcome(text) for text in said_all[count:]]
        if fence.number:
            pairs = zip(self.drafts, outcomes, strict=True)
            fence.stands(draft.topic for draft, outcome in pairs if isinstance(outcome, int))
        return before, outcomes

    def refused(self, said: object) -> list[Outcome]:
        """The outcome of each draft when the call as a whole was refused."""
        outcome = refusal(said)
        return [outcome] * len(self.drafts)

    def split(self, *, one: bool = False) -> list[AppendBatch]:
        """The same drafts as batches with fewer topics each, in order; itself if it has one topic.

        Args:
            one: the first with one topic; otherwise two halves.
        """
        topics = list(dict.fromkeys(draft.topic for draft in self.drafts))
        if len(topics) < 2:
            return [self]
        first = set(topics[: 1 if one else len(topics) // 2])
        return [
            self._part([it for it in self.drafts if it.topic in first]),
            self._part([it for it in self.drafts if it.topic not in first]),
        ]

    def _part(self, drafts: list[Draft]) -> AppendBatch:
        part = AppendBatch(drafts, self._keys)
        part.unknown, part._first_sent = self.unknown, self._first_sent
        return part


def entries_of(row: Sequence[Stored], before: int, at: float) -> list[Entry]:
    """Drafts that were stored in a row of one topic, as entries.

    Args:
        row: the drafts and their positions.
        before: the nonce of the entry before them.
        at: the time, by this process's clock.
    """
    entries: list[Entry] = []
    for draft, position in row:
        prev = new_position(seq_of(position) - 1, before)
        if draft.trace is None:
            entries.append(Entry(position, prev, draft.kind, draft.data, draft.event, at))
        else:
            entries.append(TracedEntry(position, prev, draft.kind, draft.data, draft.event, at, draft.trace))
        before = nonce_of(position)
    return entries


def _outcome(text: bytes) -> Outcome:
    if not text.startswith(b"!"):
        try:
            return position_of(text)
        except ValueError:
            return PublishRefused(f"what is stored under this idempotency key is no position: {text[:40]!r}")
    if text == b"!used":
        return PublishRefused("this idempotency key was used with another payload")
    return refusal(text[1:].decode("utf-8", "replace"))


def take(waiting: deque[Draft], expired: set[Draft]) -> list[Draft]:
    """The drafts of the next batch, from the front of a queue; `expired` drafts are removed without being
    sent."""
    drafts: list[Draft] = []
    size = 0
    while waiting and len(drafts) < MAX_ENTRIES:
        if waiting[0] in expired:
            expired.discard(waiting.popleft())
            continue
        size += waiting[0].size
        if size > MAX_BYTES and drafts:
            break
        drafts.append(waiting.popleft())
    return drafts


def maybe_stored(why: str = "") -> PublishUnknown:
    """The error for a draft that was sent and not answered."""
    return PublishUnknown(
        f"it was sent and no answer came{f' ({why})' if why else ''}: it may have been stored. "
        "Repeat it with the same idempotency_key"
    )
