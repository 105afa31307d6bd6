"""JSON by msgspec (the extra ``fast``), for the values that it writes exactly as the standard library does.

Standard: RFC 8259. msgspec is the only import of its kind here, and only `jsontext` imports this file.

msgspec has opinions of its own: NaN becomes ``null``, bytes become base64, ``1e16`` and ``0.00001`` are not
what `repr` gives. So it gets plain values alone, and which those are is found out at C speed where
possible: the check is the greater part of the time, and all in all it is still 1.2 (many small dicts) to 6
(floats) times as fast as the standard library. Never guesses about the rest: it answers None.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

__all__ = ["plain_json", "plain_struct"]

_encode = msgspec.json.Encoder().encode
_kind: Callable[[object], type[object]] = type

_STR = frozenset({str})
_SIMPLE = frozenset({str, int, bool, type(None)})
_OURS = (datetime, date, time, timedelta, UUID, Decimal, bytes, bytearray, memoryview)
_CONTAINERS = frozenset({dict, list, tuple})


def plain_json(value: Any) -> bytes | None:
    """`value` as JSON, or None if the standard library has to do it (or to refuse it)."""
    try:
        return _encode(value) if _is_plain(value) else None
    except (ValueError, OverflowError, RecursionError):  # a lone surrogate, an int of over 64 bits, a circle
        return None


def plain_struct(value: Any, simpler: Callable[[Any], Any]) -> Any:
    """A `msgspec.Struct` as msgspec itself would write it, in terms of what `jsontext` knows: what it has an
    opinion of its own on (times, numbers, bytes) stays as it is.

    Args:
        value: a struct.
        simpler: makes something else of what msgspec does not know.
    """
    return msgspec.to_builtins(value, builtin_types=_OURS, enc_hook=simpler)


def _is_plain(value: Any) -> bool:
    kind = _kind(value)
    if kind is dict:
        if not _STR.issuperset(map(type, value)):
            return False
        value = value.values()
    elif kind is not list and kind is not tuple:
        return kind in _SIMPLE or (kind is float and _is_plain_float(value))
    if _SIMPLE.issuperset(map(type, value)):
        return True
    for part in value:
        kind = _kind(part)
        if kind in _SIMPLE:
            continue
        if kind is float:
            if not (1e-4 <= part < 1e16 or _is_plain_float(part)):
                return False
        elif not (kind in _CONTAINERS and _is_plain(part)):
            return False
    return True


def _is_plain_float(value: float) -> bool:
    # Where repr() writes no exponent; NaN is never in the range.
    return 1e-4 <= abs(value) < 1e16 or value == 0
