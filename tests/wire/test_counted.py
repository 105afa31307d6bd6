from __future__ import annotations

import pytest

from rx_sse.wire.counted import counted


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 values"), (1, "1 value"), (2, "2 values"), (12_345, "12,345 values")]
)
def test_a_noun_stands_in_the_singular_for_one_alone(number: int, text: str) -> None:
    assert counted(number, "value") == text
