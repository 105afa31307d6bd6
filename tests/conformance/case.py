"""One test of the driver."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .endpoint import Failed, Visit
from .harness import Run

Steps = Callable[[Run], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """One test: its name, the capability it needs, and its steps."""

    name: str
    capability: str | None
    steps: Steps

    def __repr__(self) -> str:
        return self.name


def same(awaited: object, got: object, what: str = "") -> None:
    if got != awaited:
        raise Failed(f"awaited {what}{awaited!r}, got {got!r}")


def sends_id(visit: Visit, awaited: str | None) -> None:
    same(awaited, visit.headers.get("Last-Event-Id"), "the Last-Event-Id ")
