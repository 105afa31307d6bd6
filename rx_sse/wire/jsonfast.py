"""JSON by msgspec (the extra ``fast``), for the values that it writes exactly as the standard library does.

Standard: RFC 8259. No other file imports msgspec, and only `jsontext` imports this file.

msgspec differs from `repr` and from this library's rules: NaN becomes ``null``, bytes become base64, ``1e16``
and ``0.00001`` get another text. So it receives plain values only. The check for them runs at C speed where
possible and is the greater part of the time; in all, it is still 1.2 (many small dicts) to 6 (floats) times
as fast as the standard library. Never guesses about other values: the standard library encodes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

__all__ = ["dumps_with", "plain_struct"]

_encode = msgspec.json.Encoder().encode
_kind: Callable[[object], type[object]] = type

_STR = frozenset({str})
_SIMPLE = frozenset({str, int, bool, type(None)})
_OURS = (datetime, date, time, timedelta, UUID, Decimal, bytes, bytearray, memoryview)
_CONTAINERS = frozenset({dict, list, tuple})


def dumps_with(standard: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """The encoder of any value: by msgspec where it writes the same text, otherwise by `standard`."""

    def dumps_utf8(value: Any) -> bytes:
        """`value` as compact JSON, in UTF-8."""
        try:
            if _kind(value) is dict and _STR.issuperset(map(_kind, value)):  # as most events are
                parts = value.values()
                plain = _SIMPLE.issuperset(map(_kind, parts)) or _are_plain(parts)
            else:
                plain = _is_plain(value)
            if plain:
                return _encode(value)
        except (ValueError, OverflowError, RecursionError):  # a lone surrogate, an int of 65 bits, a circle
            pass
        return standard(value)

    return dumps_utf8


def plain_struct(value: Any, simpler: Callable[[Any], Any]) -> Any:
    """A `msgspec.Struct` as msgspec itself would write it, in types that `jsontext` knows: values that
    msgspec encodes in its own way (times, numbers, bytes) stay as they are.

    Args:
        value: a struct.
        simpler: converts the values that msgspec does not know.
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
    return _SIMPLE.issuperset(map(type, value)) or _are_plain(value)


def _are_plain(parts: Iterable[Any]) -> bool:
    for part in parts:
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
    # The range in which repr() writes no exponent; NaN is never in it.
    return 1e-4 <= abs(value) < 1e16 or value == 0
