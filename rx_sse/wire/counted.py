"""A number with its noun, for messages and pictures: `1 value`, `2 values`, `1,000 values`."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, noun: str) -> str:
    """`number`, with thousands separated, and `noun`, in the plural unless the number is 1.

    Args:
        number: how many there are.
        noun: the singular; its plural is formed with an `s`.
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
