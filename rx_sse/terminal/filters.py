"""Fields of an event's JSON, and conditions on them.

A field is a path of names and indexes with dots between them: ``user.name``, ``items.0.id``.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from typing import Any, Final

__all__ = ["Absent", "condition", "field"]

_CONDITION: Final = re.compile(r"(?P<path>[^=!<>~]+?)(?:(?P<sign>==|[!<>]?=|[<>])(?P<value>.*))?", re.DOTALL)

_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_HOW: Final = "write path=value, path!=value, path<value, path<=value, path>value, path>=value, or path alone"


class Absent:
    """There is no such field."""


def field(value: Any, path: str) -> Any:
    """The value at a path in a value of JSON; `Absent` if there is none."""
    for step in path.split("."):
        try:
            value = value[int(step) if isinstance(value, list) and step.isdecimal() else step]
        except (LookupError, TypeError):
            return Absent
    return value


def condition(text: str) -> Callable[[Any], bool]:
    """``path=value``, ``path<value`` and the like, or ``path``, as a predicate of a value of JSON.

    For equality, a value is compared as JSON if it is valid JSON, and as text. For order, a number is
    compared with fields that are numbers, and any other text with fields that are strings (times in ISO 8601
    among them); the condition is false for a field of another type.

    Raises:
        ValueError: there is no path, the operator is unknown, or the value has no order.
    """
    found = _CONDITION.fullmatch(text)
    if found is None or not (path := found["path"].strip()):
        raise ValueError(f"{text!r} is no condition; {_HOW}")
    sign, wanted = found["sign"], found["value"]
    if sign in ("=", "==") and wanted.startswith(("~", "<", ">")):
        raise ValueError(f"{text!r} has an operator that is not known; {_HOW}")
    if sign is None:
        return lambda value: field(value, path) is not Absent
    if sign in _ORDER:
        return _ordered(text, path, _ORDER[sign], wanted.strip())
    try:
        alternatives = [wanted, json.loads(wanted)]
    except (ValueError, RecursionError):
        alternatives = [wanted]

    def equal(value: Any) -> bool:
        got = field(value, path)
        # True is not 1 here.
        return any(
            got == other and isinstance(got, bool) == isinstance(other, bool) for other in alternatives
        )

    return (lambda value: not equal(value)) if sign == "!=" else equal


def _ordered(text: str, path: str, holds: Callable[[Any, Any], bool], wanted: str) -> Callable[[Any], bool]:
    """A predicate for a field's order relative to a value."""
    try:
        bound = json.loads(wanted)
    except (ValueError, RecursionError):
        bound = wanted
    if not wanted or isinstance(bound, bool) or not isinstance(bound, int | float | str):
        raise ValueError(f"{text!r} compares with no number and no text")
    kind = str if isinstance(bound, str) else int | float

    def ordered(value: Any) -> bool:
        got = field(value, path)
        return isinstance(got, kind) and not isinstance(got, bool) and holds(got, bound)

    return ordered
