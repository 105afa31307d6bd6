"""Our own client against the contract tests: all 113, none of its nine capabilities left out."""

from __future__ import annotations

import pytest

from .adapters import ours
from .case import Case
from .contract import cases
from .harness import driving
from .service import serving

CASES = cases()


def test_there_are_as_many_as_in_the_original() -> None:
    assert len(CASES) == len({case.name for case in CASES}) == 113


def test_no_capability_is_left_out() -> None:
    assert {case.capability for case in CASES} - {None} == ours.capabilities
    assert len(ours.capabilities) == 9


@pytest.mark.parametrize("case", CASES, ids=repr)
async def test_contract(case: Case) -> None:
    async with serving(ours) as service, driving(service) as harness, harness.run(case.name) as run:
        await case.steps(run)
