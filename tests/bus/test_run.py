"""A run against a plain list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rx_sse.bus.cursor import Position
from rx_sse.bus.entry import TEXT, Entry
from rx_sse.bus.run import Budget, Run


def entry(prev: Position, nonce: int, size: int = 1) -> Entry:
    return Entry(Position(prev.seq + 1, nonce), prev, TEXT, "x" * size)


@given(st.lists(st.sampled_from("aaad"), max_size=80), st.integers(1, 5), st.integers(0, 400))
def test_it_is_a_list_with_a_front_that_goes(steps: list[str], max_entries: int, max_bytes: int) -> None:
    run = Run(Position(7, 99))
    plain: list[Entry] = []
    base = run.base
    for number, step in enumerate(steps):
        if step == "a":
            plain.append(entry(plain[-1].position if plain else base, number + 1, number % 5))
            run.append(plain[-1])
        elif plain:
            assert run.drop_first() == plain[0].size
            base = plain.pop(0).position
        assert len(run) == len(plain) and run.size == sum(e.size for e in plain) and run.base == base
        assert list(run.positions()) == [base, *(e.position for e in plain)]
        assert run.head == (plain[-1].position if plain else base)
    for index, position in enumerate(run.positions()):
        assert run.find(position) == index and run.position(index) == position
        assert run.find(Position(position.seq, 10**6)) is None
        page = list(run.slice(index, max_entries, max_bytes))
        assert page == plain[index : index + len(page)] and len(page) <= max_entries
        assert bool(page) == (index < len(plain)), "one at least, if there is one"
        assert len(page) <= 1 or sum(e.size for e in page) <= max_bytes
        assert run.after(position.seq) == index
    assert (
        run.find(Position(base.seq - 1, 1)) is None
        and run.find(Position(base.seq + len(plain) + 1, 1)) is None
    )


def test_a_budget_takes_from_whoever_was_used_least_recently() -> None:
    budget = Budget(max_bytes=entry(Position(0, 1), 1, 100).size * 3)
    one, two = Run(Position(0, 1)), Run(Position(0, 2))
    for run in (one, one, two, two):
        budget.append(run, entry(run.head, 5, 100))
    assert (len(one), len(two)) == (1, 2) and budget.size <= budget.max_bytes
    budget.append(two, entry(two.head, 6, 100))
    budget.append(two, entry(two.head, 7, 100))
    assert (len(one), len(two)) == (0, 3)
    budget.clear(two, Position(0, 3))
    assert budget.size == 0
