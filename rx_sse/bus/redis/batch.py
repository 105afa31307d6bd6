"""Many appends as one call.

A batch leaves in one step and is settled in one step: nothing goes behind it in its lane before its outcome
is known. What Redis refuses is refused for certain, because a script that is refused has not begun. A lost
reply leaves the outcome unknown; then the same batch is sent again with a window, and the script looks for
what it stored the first time.

Standard: resume rules §4.
Never: an entry is stored twice because a reply was lost.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

from rx_sse.bus.cursor import Position, new_nonce
from rx_sse.bus.entry import Entry
from rx_sse.bus.log import Draft
from rx_sse.bus.redis.codec import fingerprint, pack, position_of
from rx_sse.bus.redis.layout import Layout
from rx_sse.bus.redis.scripts import APPEND, Script
from rx_sse.errors import PublishRefused, RxSseError

MAX_ENTRIES = 512
MAX_BYTES = 1_048_576
"""Of a batch: some 4 ms of Redis's time, which other clients wait for. One entry over it goes alone."""
MARGIN = 60.0
"""Seconds added to the window, for clocks that are read late."""

TRANSIENT = (
    "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "READONLY", "LOADING", "MASTERDOWN", "BUSY", "OOM", "MISCONF",
    "NOREPLICAS", "NOSCRIPT", "UNKILLABLE", "CROSSSLOT",
)  # fmt: skip
"""Refusals that pass: the same call is worth sending again, perhaps elsewhere."""

Stored = tuple[Draft, Position]
Outcome = Position | RxSseError | str
"""Where it was stored, why it never will be, or the transient refusal after which it may be sent again."""


class Batch:
    """Drafts that leave together.

    Args:
        drafts: in order.
        layout: names of keys.

    Attributes:
        drafts: what is not settled yet.
        unknown: whether it was sent and the reply was lost.
    """

    __slots__ = ("_first_sent", "_layout", "drafts", "topics", "unknown")

    def __init__(self, drafts: list[Draft], layout: Layout) -> None:
        self.drafts = drafts
        self.topics: list[str] = []
        self.unknown = False
        self._layout = layout
        self._first_sent: float | None = None

    def call(self, announce: str, *, whole: bool = False, clock: Callable[[], float] = time.monotonic) -> Any:
        """The command.

        Args:
            announce: ``PUBLISH``, or ``SPUBLISH`` on a cluster.
            whole: send the script's text, not its digest.
            clock: monotonic seconds.
        """
        layout, numbers = self._layout, dict[str, int]()
        keys: list[str] = []
        heads: list[Any] = []
        kept = {draft.topic: draft.retention for draft in self.drafts}
        for number, (topic, retention) in enumerate(kept.items(), 1):
            numbers[topic] = number
            log, meta, channel = layout.places(topic)
            keys += (log, meta)
            age = max(int(retention.age * 1000), 1)
            heads += (channel, new_nonce(), max(retention.entries, 1), retention.bytes, age)
        entries: list[Any] = []
        for draft in self.drafts:
            number, text = numbers[draft.topic], pack(draft)
            if draft.key is None:
                entries += (number, draft.nonce, text, 0, "", 0)
            else:
                keys.append(layout.key(draft.topic, draft.key))
                life = max(int(draft.key_life * 1000), 1)
                entries += (number, draft.nonce, text, len(keys), fingerprint(draft), life)
        now = clock()
        window = 0
        if self._first_sent is None:
            self._first_sent = now
        elif self.unknown:
            window = int((now - self._first_sent + MARGIN) * 1000)
        self.topics = list(numbers)
        return eval_command(APPEND, keys, (len(numbers), announce, window, *heads, *entries), whole=whole)

    def outcomes(self, answer: Any) -> tuple[dict[str, tuple[int, int]], list[Outcome]]:
        """The lineage of each topic and the nonce before its new entries, and what became of each draft.

        Raises:
            ValueError: it is not what the script answers.
        """
        count = len(self.topics)
        said_all = cast("list[bytes]", answer) if isinstance(answer, list) else []
        if len(said_all) != count + len(self.drafts):
            raise ValueError(f"not an answer to a batch: {str(said_all)[:80]}")
        before: dict[str, tuple[int, int]] = {}
        for topic, said in zip(self.topics, said_all, strict=False):
            lineage, nonce = said.split()
            before[topic] = int(lineage), int(nonce)
        return before, [_outcome(text) for text in said_all[count:]]


def entries_of(row: Sequence[Stored], before: int, at: float) -> list[Entry]:
    """Drafts that were stored in a row, as entries.

    Args:
        row: of one topic.
        before: the nonce of the entry before them.
        at: when, by this process's clock.
    """
    entries: list[Entry] = []
    for draft, position in row:
        prev = Position(position.seq - 1, before)
        entries.append(Entry(position, prev, draft.kind, draft.data, draft.event, at))
        before = position.nonce
    return entries


def eval_command(script: Script, keys: list[str], args: tuple[Any, ...], *, whole: bool = False) -> Any:
    """A script's call."""
    return ("EVAL" if whole else "EVALSHA", script.text if whole else script.digest, len(keys), *keys, *args)


def refusal(error: object) -> RxSseError | str:
    """What an error reply means: the code of a transient refusal, or the error that it is for good."""
    text = str(error)
    code = text.split(" ", 1)[0].rstrip(":")
    if "non local key" in text:  # a script met a key that has moved
        return "TRYAGAIN"
    if code == "ERR" and ("max number of clients" in text or "user_script" in text):
        return "BUSY"
    return code if code in TRANSIENT else PublishRefused(f"Redis refused it: {text[:200]}")


def _outcome(text: bytes) -> Outcome:
    if not text.startswith(b"!"):
        return position_of(text)
    if text == b"!used":
        return PublishRefused("this idempotency key was used with another payload")
    return refusal(text[1:].decode("utf-8", "replace"))


def take(waiting: deque[Draft], expired: set[Draft]) -> list[Draft]:
    """The drafts of the next batch, from the front of a queue; `expired` ones only leave it."""
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
