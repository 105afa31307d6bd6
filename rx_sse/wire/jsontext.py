"""The one JSON encoder: any value that a handler may emit → compact JSON text.

Standard: RFC 8259. The text is canonical, whoever makes it: no spaces, members in their order, non-ASCII
characters as they are, floats as Python's ``repr`` gives them.

================================  ==========================================================================
a value of type                   is sent as
================================  ==========================================================================
dict, any Mapping                 object; keys str, int, float, bool or None, written as JSON names
list, tuple, set, frozenset       array (a set in no particular order)
datetime, date, time              ISO 8601, as ``isoformat()`` writes it
Decimal                           string, because a browser's number would lose digits
UUID                              string
Enum                              its value
dataclass, attrs, msgspec.Struct  object, one member per field
pydantic model                    what ``model_dump(mode="json")`` gives
numpy scalar and array            what ``tolist()`` gives
================================  ==========================================================================

Never guesses: bytes, NaN, Infinity, lone surrogates and unknown types are refused, and the message says where in
the value they are and what to do.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import uuid
from collections.abc import Mapping
from typing import Any

from ..errors import EncodeError

__all__ = ["dumps", "shown"]


def shown(value: object) -> str:
    """`value` as an error message shows it: its repr, shortened."""
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__} whose repr() raised {type(error).__name__}>"
    return text if len(text) <= 120 else f"{text[:100]}… ({len(text)} characters)"


class _Refused(Exception):
    """A value that JSON cannot carry; its text is the advice."""


def _simpler(value: Any) -> Any:
    """`value` in terms of what the JSON encoder knows, one step; called only for types that it does not know."""
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, decimal.Decimal):
        if not value.is_finite():
            raise _Refused("JSON has no such number; send None instead")
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise _Refused("JSON has no bytes; decode them, or send base64.b64encode(…).decode()")
    if isinstance(value, type):
        raise _Refused("this is a class; send an instance of it")
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime.timedelta):
        raise _Refused("send its total_seconds()")
    return _foreign(value)


def _foreign(value: Any) -> Any:
    """Values of libraries that are known by what they offer, so that none of them is imported."""
    dump = getattr(value, "model_dump", None)  # pydantic
    if dump is not None:
        return dump(mode="json")
    kind = getattr(getattr(value, "dtype", None), "kind", "")  # numpy, and what follows it
    if kind == "m":
        raise _Refused("send its number of seconds")
    if kind == "M":
        return value.astype(str).tolist()  # tolist() alone gives nanoseconds as a bare integer
    plain = getattr(value, "tolist", None)
    if plain is not None:
        simple = plain()
        if type(simple) is not type(value):  # numpy.longdouble answers with itself
            return simple
    names = getattr(value, "__struct_fields__", None)  # msgspec.Struct
    if names is None:
        names = [attribute.name for attribute in getattr(type(value), "__attrs_attrs__", ())]  # attrs
    if names:
        return {name: getattr(value, name) for name in names}
    raise _Refused("give a dict, a dataclass or a str, or pass dumps=")


_encode = json.JSONEncoder(
    ensure_ascii=False,
    allow_nan=False,
    check_circular=False,  # a circle ends as a RecursionError, which is refused as well
    separators=(",", ":"),
    default=_simpler,
).encode


def dumps(value: Any) -> str:
    """`value` as compact JSON text.

    Raises:
        EncodeError: some part of it cannot be sent as JSON; the message says which and why.
    """
    try:
        text = _encode(value)
        if not text.isascii():
            text.encode()
    except (TypeError, ValueError, RecursionError, _Refused) as error:
        raise _explained(value, error) from error
    return text


def _explained(value: Any, error: Exception) -> EncodeError:
    """The error that names the smallest part of `value` that fails. Not hot: it encodes the parts again."""
    path = "data"
    for _ in range(64):  # a circle has no smallest part
        inner = _failing_part(value)
        if inner is None:
            break
        step, value, error = inner
        path += step
    if isinstance(error, UnicodeError):
        why = "it holds a lone surrogate, which UTF-8 cannot carry; repair the text where it was read"
    elif isinstance(error, RecursionError):
        why = "it is nested too deeply, or contains itself"
    elif isinstance(value, float):
        why = "JSON has no such number; send None instead"
    else:
        why = str(error)
    return EncodeError(f"{path}: {shown(value)} of type {type(value).__name__} cannot be sent as JSON: {why}")


def _failing_part(value: Any) -> tuple[str, Any, Exception] | None:
    if not isinstance(value, (dict, list, tuple)):
        try:
            value = _simpler(value)
        except Exception:
            return None
    if isinstance(value, dict):
        parts = [(f"[{key!r}]", part) for key, part in value.items()]
    elif isinstance(value, (list, tuple)):
        parts = [(f"[{index}]", part) for index, part in enumerate(value)]
    else:
        parts = []
    for step, part in parts:
        try:
            _encode(part).encode()
        except (TypeError, ValueError, RecursionError, _Refused) as error:
            return step, part, error
    return None
