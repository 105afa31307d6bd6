"""A history against a plain list."""

from __future__ import annotations

import gc
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rx_sse.bus.log.entry import END, JSON, TEXT, Entry, TracedEntry
from rx_sse.bus.log.history import History, MemoryBudget
from rx_sse.bus.log.position import Position, new_position, seq_of
from rx_sse.bus.log.retention import Retention

REF = "topic0"


def entry(prev: Position, nonce: int, size: int = 1) -> Entry:
    return Entry(new_position(seq_of(prev) + 1, nonce), prev, TEXT, "x" * size)


def parts(of: Entry) -> tuple[Any, ...]:
    """All that an entry says."""
    return of.position, of.prev, of.kind, of.data, of.event, of.at, of.size, of.chunk, of.trace


@given(st.lists(st.sampled_from("aaad"), max_size=80), st.integers(1, 5), st.integers(0, 400))
def test_it_is_a_list_with_a_front_that_goes(steps: list[str], max_entries: int, max_bytes: int) -> None:
    kept = Retention(entries=10**6, bytes=10**9, age=float("inf"))
    budget = MemoryBudget(10**9)
    history = History(REF, new_position(7, 99), kept, budget)
    plain: list[Entry] = []
    base = history.base
    for number, step in enumerate(steps):
        if step == "a":
            plain.append(entry(plain[-1].position if plain else base, number + 1, number % 5))
            history.append(plain[-1], 0.0)
        elif plain:
            history.drop_first()
            base = plain.pop(0).position
        assert budget.size == history.size and bool(plain) == (history in budget.used)
        assert (
            len(history) == len(plain) and history.size == sum(e.size for e in plain) and history.base == base
        )
        assert list(history.positions()) == [base, *(e.position for e in plain)]
        assert history.head == (plain[-1].position if plain else base)
    for index, position in enumerate(history.positions()):
        assert history.find(position) == index and history.position(index) == position
        assert history.find(new_position(seq_of(position), 10**6)) is None
        page = list(history.slice(index, max_entries, max_bytes))
        assert [parts(it) for it in page] == [parts(it) for it in plain[index : index + len(page)]]
        assert len(page) <= max_entries
        assert bool(page) == (index < len(plain)), "one at least, if there is one"
        assert len(page) <= 1 or sum(e.size for e in page) <= max_bytes
        assert history.after(seq_of(position)) == index
    assert (
        history.find(new_position(seq_of(base) - 1, 1)) is None
        and history.find(new_position(seq_of(base) + len(plain) + 1, 1)) is None
    )


def test_a_budget_takes_from_whoever_was_used_least_recently() -> None:
    budget = MemoryBudget(max_bytes=entry(new_position(0, 1), 1, 100).size * 3)
    kept = Retention(age=float("inf"))
    one, two = History(REF, new_position(0, 1), kept, budget), History(REF, new_position(0, 2), kept, budget)
    for history in (one, one, two, two):
        history.append(entry(history.head, 5, 100), 0.0)
    assert (len(one), len(two)) == (1, 2) and budget.size <= budget.max_bytes
    two.append(entry(two.head, 6, 100), 0.0)
    two.append(entry(two.head, 7, 100), 0.0)
    assert (len(one), len(two)) == (0, 3)
    two.clear(new_position(0, 3))
    assert budget.size == 0


def test_a_budget_that_filled_up_takes_from_whoever_was_not_used_since_it_was_half_full() -> None:
    each = entry(new_position(0, 1), 1, 100).size
    budget, kept = MemoryBudget(max_bytes=each * 8), Retention(age=float("inf"))
    one, two, three = (History(REF, new_position(0, nonce), kept, budget) for nonce in (1, 2, 3))
    for history in (one, two, three, one):
        history.append(entry(history.head, 5, 100), 0.0)
    assert list(budget.used) == [one, two, three]  # half of it: in the order of their first entries
    for history in (one, three, one, three, one):
        history.append(entry(history.head, 5, 100), 0.0)
    assert list(budget.used) == [three, one] and (len(one), len(two), len(three)) == (5, 0, 3)


def test_an_entry_comes_back_as_it_was() -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    history = History(REF, base := new_position(0, 1), Retention(), MemoryBudget(10**9))
    one = Entry(new_position(1, 2), base, TEXT, "two\nlines", "told", 3.5)
    two = TracedEntry(new_position(2, 3), one.position, JSON, '{"a":1}', None, 4.5, trace)
    end = Entry(new_position(3, 4), two.position, END, '{"reason":"done"}', None, 5.5)
    for it in (one, two, end):
        history.append(it, 6.0)
    back = history.slice(0, 10, 10**6)
    assert [parts(it) for it in back] == [parts(it) for it in (one, two, end)]
    assert back[1].value() == {"a": 1} and back[2].detail() == {"reason": "done"}


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")),
    st.none() | st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1),
)
def test_a_text_comes_back_as_it_was(text: str, event: str | None) -> None:
    history = History(REF, base := new_position(0, 1), Retention(), MemoryBudget(10**9))
    history.append(Entry(new_position(1, 2), base, TEXT, text, event), 0.0)
    (back,) = history.slice(0, 1, 0)
    assert (back.data, back.event, back.value()) == (text, event, text)


def test_the_garbage_collector_does_not_look_at_what_is_kept() -> None:
    history = History(REF, new_position(0, 1), Retention(), MemoryBudget(10**9))
    for number in range(100):
        history.append(entry(history.head, number + 1), 0.0)
    gc.collect()
    before = len(gc.get_objects())
    for number in range(100):
        history.append(entry(history.head, number + 1), 0.0)
    gc.collect()
    assert len(history) == 200 and len(gc.get_objects()) - before < 5
