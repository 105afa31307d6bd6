"""What waits for the writer, in order: lists of drafts as they were handed over, and works.

Never: a step for each draft where one for each list is enough.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue

from rx_sse.bus.log.entry import Draft
from rx_sse.bus.sqlite.work import Work

Item = list[Draft] | Work
"""What waits for the writer: drafts that were handed over together, or a work."""


def in_rows(items: Iterable[Item]) -> Iterator[Item]:
    """Consecutive drafts as one list, and the works between them."""
    row: list[Draft] = []
    copied = False
    for item in items:
        if isinstance(item, Work):
            if row:
                yield row
            yield item
            row, copied = [], False
        elif not row:
            row = item
        elif copied:
            row += item
        else:
            row, copied = row + item, True
    if row:
        yield row


def drained(waiting: SimpleQueue[Item | None]) -> list[Item | None]:
    """Everything that waits in a queue."""
    found: list[Item | None] = []
    with suppress(Empty):
        while True:
            found.append(waiting.get_nowait())
    return found


def drafts_in(items: Iterable[Item | None]) -> list[Draft]:
    """The drafts among items, in their order."""
    return [draft for item in items if isinstance(item, list) for draft in item]


def without(items: Iterable[Item], gone: Container[Draft | Work]) -> deque[Item]:
    """Items without some drafts and works."""
    kept: deque[Item] = deque()
    for item in items:
        if isinstance(item, Work):
            if item not in gone:
                kept.append(item)
        elif row := [draft for draft in item if draft not in gone]:
            kept.append(row)
    return kept


def front(items: deque[Item], count: int, size: int) -> list[Item]:
    """The first items, up to `count` drafts and works, or `size` bytes; but at least one draft or work. A
    list that is over the limits is cut in the queue too.
    """
    taken: list[Item] = []
    for item in items:
        if isinstance(item, Work):
            count -= 1
        elif len(item) > count or sum([draft.size for draft in item]) > size:
            fit = _fitting(item, count, size) or int(not taken)
            if fit:
                taken.append(item[:fit])
            if 0 < fit < len(item):
                items[len(taken) - 1] = item[fit:]
                items.insert(len(taken) - 1, taken[-1])
            break
        else:
            count -= len(item)
            size -= sum([draft.size for draft in item])
        taken.append(item)
        if count <= 0 or size <= 0:
            break
    return taken


def _fitting(drafts: list[Draft], count: int, size: int) -> int:
    """How many drafts, from the first on, are no more than `count`, and no more than `size` bytes."""
    for at, draft in enumerate(drafts[:count]):
        size -= draft.size
        if size < 0:
            return at
    return min(count, len(drafts))
