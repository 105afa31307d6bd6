"""What happened in a run, line by line."""

from __future__ import annotations

from collections.abc import Callable


class Trace:
    """The record of one run. Lines are made only when they are read.

    Args:
        time: the loop's.
    """

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._notes: list[tuple[float, str, str, tuple[object, ...]]] = []

    def note(self, who: str, what: str, *args: object) -> None:
        """Something happened; `what` is a format for `args`."""
        self._notes.append((self._time(), who, what, args))

    def lines(self, begin: float = 0.0) -> list[str]:
        """All of it."""
        return [f"{at - begin:9.4f}  {who:<9} {what.format(*args)}" for at, who, what, args in self._notes]
