"""Checks of users' arguments, the same in every room: durations, numbers, functions.

An invalid value is refused where it is given, with its name, the value and what is allowed. Later it would be
an exception in another client's event, or a limit that never applies: no number is under `nan`.

Never: a value is replaced by a valid one. A bool is not a number.
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
        name: the argument's name.
        value: the argument.
        zero: the reason why 0 is refused, in words that follow it; empty if 0 is allowed.
        optional: whether None is allowed.

    Raises:
        UsageError: not a finite number of at least 0, or a 0 that is not allowed.
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
        name: the argument's name.
        value: the argument.
        least, most: the range, both ends included.

    Raises:
        UsageError: not a number, or outside the range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        upto = f"from {least:g} to {most:g}" if most < LONGEST else f"of at least {least:g}"
        raise UsageError(f"{name}={value!r} must be a number {upto}")
    return float(value)


def count(name: str, value: object, *, least: int = 1) -> int:
    """An integer.

    Args:
        name: the argument's name.
        value: the argument.
        least: the smallest allowed value.

    Raises:
        UsageError: not an integer, or a smaller one.
    """
    if type(value) is not int or value < least:
        raise UsageError(f"{name}={value!r} must be an integer of at least {least}")
    return value


def function(name: str, value: object, what: str) -> None:
    """A function, or None.

    Args:
        name: the argument's name.
        value: the argument.
        what: the expected type, in words.

    Raises:
        UsageError: it is not callable.
    """
    if value is not None and not callable(value):
        raise UsageError(f"{name}={value!r} must be {what}, or None")


def shown_url(url: object) -> str:
    """A URL for an error message, without the parts that may be secret: everything before its last ``@`` (a
    password may hold any character), and its query.
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
