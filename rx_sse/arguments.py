"""What users hand over, checked the same way in every room: durations, numbers of things, functions.

A value that cannot work is refused where it is handed over, with its name, the value and what would do. Later
it would be an exception in another client's event, or a limit that is none: no number is under `nan`.

Never: a value is changed to one that would do. A bool is no number.
"""

from __future__ import annotations

import sys
from typing import overload

from rx_sse.errors import UsageError

LONGEST = sys.float_info.max


@overload
def seconds(name: str, value: object, *, zero: str = "") -> float: ...
@overload
def seconds(name: str, value: object, *, zero: str = "", optional: bool) -> float | None: ...
def seconds(name: str, value: object, *, zero: str = "", optional: bool = False) -> float | None:
    """A duration.

    Args:
        name: what the user calls it.
        value: what was given.
        zero: what is wrong with 0, in words that follow it; empty if 0 would do.
        optional: whether None would do.

    Raises:
        UsageError: not a finite number of at least 0, or a 0 that would not do.
    """
    if value is None and optional:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST:
        raise UsageError(f"{name}={value!r} must be a number of seconds" + (" or None" if optional else ""))
    if value == 0 and zero:
        raise UsageError(f"{name}=0 {zero}; give a positive number of seconds")
    return float(value)


def number(name: str, value: object, *, least: float, most: float = LONGEST) -> float:
    """A finite number.

    Args:
        name: what the user calls it.
        value: what was given.
        least, most: the range, with its ends.

    Raises:
        UsageError: no number, or one outside the range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        upto = f"from {least:g} to {most:g}" if most < LONGEST else f"of at least {least:g}"
        raise UsageError(f"{name}={value!r} must be a number {upto}")
    return float(value)


def count(name: str, value: object, *, least: int = 1) -> int:
    """A number of things.

    Args:
        name: what the user calls it.
        value: what was given.
        least: the smallest that would do.

    Raises:
        UsageError: not an integer, or a smaller one.
    """
    if type(value) is not int or value < least:
        raise UsageError(f"{name}={value!r} must be an integer of at least {least}")
    return value


def function(name: str, value: object, what: str) -> None:
    """A function, or None for none.

    Args:
        name: what the user calls it.
        value: what was given.
        what: what it must be, in words.

    Raises:
        UsageError: it cannot be called.
    """
    if value is not None and not callable(value):
        raise UsageError(f"{name}={value!r} must be {what}, or None")


def shown_url(url: object) -> str:
    """A URL as an error message shows it: without what may be secret in it, which is everything before its
    last ``@`` (a password may hold any character) and its query.
    """
    if not isinstance(url, str):
        return f"a {type(url).__name__}"
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    if "@" in rest:
        rest = "…@" + rest.rpartition("@")[2]
    place, query, _ = rest.partition("?")
    return repr((scheme + separator + place + ("?…" if query else ""))[:200])
