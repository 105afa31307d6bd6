"""Our own client against the vectors that a driver can see from outside."""

from __future__ import annotations

import pytest

from .adapters import ours
from .case import Case
from .harness import driving
from .service import serving
from .vectors import cases

CASES = [case for kind in cases().values() for case in kind]


def test_none_is_left_out() -> None:
    assert {kind: len(found) for kind, found in cases().items()} == {"stream": 37, "http": 17, "reconnect": 8}


@pytest.mark.parametrize("case", CASES, ids=repr)
async def test_vector(case: Case) -> None:
    async with serving(ours) as service, driving(service) as harness, harness.run(case.name) as run:
        await case.steps(run)
