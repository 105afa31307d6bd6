"""What is in the JSON of an event: a field of it, and whether a condition holds.

A field is a path of names and indexes with dots between them: ``user.name``, ``items.0.id``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

__all__ = ["Absent", "condition", "field"]

_CONDITION: Final = re.compile(r"(?P<path>[^=!]+?)(?:(?P<sign>!?=)(?P<value>.*))?", re.DOTALL)


class Absent:
    """There is no such field."""


def field(value: Any, path: str) -> Any:
    """What is at the path in a value of JSON; `Absent` if nothing is."""
    for step in path.split("."):
        try:
            value = value[int(step) if isinstance(value, list) and step.isdecimal() else step]
        except (LookupError, TypeError):
            return Absent
    return value


def condition(text: str) -> Callable[[Any], bool]:
    """``path=value``, ``path!=value`` or ``path`` as a predicate of a value of JSON.

    A value is compared as JSON if it is some, and as text.

    Raises:
        ValueError: there is no path.
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no condition; write path=value, path!=value, or path alone")
    path, sign, wanted = found["path"].strip(), found["sign"], found["value"]
    if sign is None:
        return lambda value: field(value, path) is not Absent
    try:
        alternatives = [wanted, json.loads(wanted)]
    except (ValueError, RecursionError):
        alternatives = [wanted]

    def equal(value: Any) -> bool:
        got = field(value, path)
        # True is no 1 here.
        return any(
            got == other and isinstance(got, bool) == isinstance(other, bool) for other in alternatives
        )

    return equal if sign == "=" else lambda value: not equal(value)
