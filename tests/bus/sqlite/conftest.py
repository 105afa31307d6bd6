"""A file for a test, and its clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rx_sse.bus.sqlite import file_clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


@pytest.fixture
def forward(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets seconds pass in the file."""
    passed = [0]
    real = file_clock.since_boot
    monkeypatch.setattr(file_clock, "since_boot", lambda: real() + passed[0])

    def forward(seconds: float) -> None:
        passed[0] += int(seconds * 1000)

    return forward
