"""What waits for the writer: taken from the front up to the limits, in order, nothing twice."""

from __future__ import annotations

import random
from collections import deque

import pytest

from rx_sse.bus.log.entry import Draft
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.sqlite.items import Item, drafts_in, front, in_rows, without
from rx_sse.bus.sqlite.work import Work


def draft(size: int = 1) -> Draft:
    made = Draft("t", "t", "x", None, Retention())
    made.size = size
    return made


def work() -> Work:
    return Work(lambda *_: None, lambda _: None)


def flat(items: deque[Item] | list[Item]) -> list[Draft | Work]:
    return [it for item in items for it in (item if isinstance(item, list) else [item])]


@pytest.mark.parametrize("seed", range(50))
def test_all_are_taken_once_in_order_and_within_the_limits(seed: int) -> None:
    chance = random.Random(seed)
    waiting: deque[Item] = deque(
        work()
        if chance.random() < 0.3
        else [draft(chance.choice((1, 10, 100))) for _ in range(chance.randint(1, 20))]
        for _ in range(chance.randint(1, 12))
    )
    whole, taken = flat(waiting), []
    while waiting:
        items = front(waiting, 8, 50)
        drafts = drafts_in(items)
        assert items and 1 <= len(flat(items)) <= 8
        assert sum(it.size for it in drafts) <= 50 or len(flat(items)) == 1
        assert flat(items) == flat(waiting)[: len(flat(items))]
        for _ in items:
            waiting.popleft()
        taken += flat(list(in_rows(items)))
    assert taken == whole


def test_rows_are_the_drafts_between_works_and_leave_the_lists_as_they_are() -> None:
    one, two, three, four = (draft() for _ in range(4))
    between = work()
    first, second, third = [one], [two], [three]
    assert list(in_rows([first, second, third, between, [four]])) == [[one, two, three], between, [four]]
    assert (first, second, third) == ([one], [two], [three])


def test_what_is_taken_out_leaves_no_empty_list() -> None:
    one, two, between = draft(), draft(), work()
    assert without([[one], between, [one, two]], {one}) == deque([between, [two]])
    assert without([[one], between], {between}) == deque([[one]])
