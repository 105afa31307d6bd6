"""A principal has a user, or is not made."""

from __future__ import annotations

from typing import Any

import pytest

import rx_sse
from rx_sse.errors import UsageError


@pytest.mark.parametrize(
    "wrong",
    [
        {"user": ""},
        {"user": None},
        {"user": 7},
        {"user": "7", "scopes": "republish"},
        {"user": "7", "scopes": ["publish"]},
        {"user": "7", "expires_at": float("nan")},
        {"user": "7", "expires_at": "tomorrow"},
        {"user": "7", "issued_at": True},
        {"user": "7", "token_id": 7},
    ],
    ids=str,
)
def test_what_would_be_somebody_else_is_refused_with_its_value(wrong: dict[str, Any]) -> None:
    """`"publish" in "republish"` is true; `revoke(user="7")` finds no 7; nothing is after nan."""
    name, value = list(wrong.items())[-1]
    with pytest.raises(UsageError) as caught:
        rx_sse.Principal(**wrong)
    assert f"{name}={value!r}" in str(caught.value)


def test_any_set_of_scopes_will_do() -> None:
    assert "publish" in rx_sse.Principal("7", scopes={"publish"}).scopes  # type: ignore[arg-type]
