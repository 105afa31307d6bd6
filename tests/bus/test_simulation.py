"""The whole bus in virtual time: 200 seeds. `python -m tests.simulate --seeds 10000` plays more."""

from __future__ import annotations

import pytest

from tests.simulate.scenario import LOGS, play

SEEDS = 200
PART = 20


@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_everything_reaches_every_client_once_or_is_told(first: int) -> None:
    outcomes = [play(seed) for seed in range(first, first + PART)]
    for outcome in outcomes:
        assert outcome.failure is None, "\n".join(
            [
                *outcome.trace[-60:],
                f"seed {outcome.seed} over {outcome.log}: {outcome.failure}",
                f"replay it: python -m tests.simulate --seed {outcome.seed} --log {outcome.log}",
            ]
        )
    # A run in which nothing happens proves nothing.
    assert sum(outcome.events for outcome in outcomes) > 500
    assert sum(outcome.gaps for outcome in outcomes) > 10


@pytest.mark.parametrize("log", LOGS)
def test_a_seed_replays_to_the_letter(log: str) -> None:
    assert play(1, log, traced=True).trace == play(1, log, traced=True).trace
