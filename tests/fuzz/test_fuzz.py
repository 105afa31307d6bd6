"""The short form: every input of the corpus, and some hundred that are put together from a target's words."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .corpus import FOLDER, inputs_of
from .mutate import MOST, mutated
from .targets import TARGETS

KEPT = [(target, name) for target in TARGETS for name in inputs_of(target)]


@pytest.mark.parametrize(("target", "name"), KEPT)
def test_an_input_that_is_kept_breaks_nothing(target: str, name: str) -> None:
    TARGETS[target].run(inputs_of(target)[name])


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_breaks_it(name: str) -> None:
    target = TARGETS[name]
    inputs = list(inputs_of(name).values())
    pieces = st.sampled_from(target.words) | st.binary(max_size=4)
    made = st.lists(pieces, max_size=20).map(b"".join)
    like = st.integers(0, 2**32).map(lambda seed: mutated(random.Random(seed), inputs, target.words))

    @settings(max_examples=150, deadline=None)
    @given(made | like)
    def try_it(data: bytes) -> None:
        target.run(data)

    try_it()


def test_every_target_has_a_corpus_and_the_other_way_round() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(TARGETS)
    assert all(len(data) <= 10 * MOST for name in TARGETS for data in inputs_of(name).values())


def test_what_is_mutated_comes_from_its_seed_alone() -> None:
    first, second = (
        [mutated(random.Random(seed), [b"1_aaaaaa.1.1"], [b"_", b"."]) for seed in range(50)]
        for _ in range(2)
    )
    assert first == second and len(set(first)) > 25
