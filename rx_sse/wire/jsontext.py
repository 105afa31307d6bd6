"""The one JSON encoder: any value that a handler may emit → compact JSON text.

Standard: RFC 8259. The text is canonical with every encoder: no spaces, members in their order, non-ASCII
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
dataclass, attrs                  object, one member per field
msgspec.Struct                    as msgspec writes it: ``rename``, ``tag``, ``array_like``, ``UNSET``
pydantic model                    the result of ``model_dump(mode="json")``
numpy scalar and array            the result of ``tolist()``
================================  ==========================================================================

Never guesses: bytes, NaN, NaT, Infinity, lone surrogates and unknown types are refused, and the message says
where in the value they are and what to do.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import operator
import uuid
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from rx_sse.errors import EncodeError
from rx_sse.wire.fields import shown

__all__ = ["dumps", "dumps_utf8", "shown"]

_dumps_with: Callable[[Callable[[Any], bytes]], Callable[[Any], bytes]] | None
_struct: Callable[[Any, Callable[[Any], Any]], Any] | None
try:
    from rx_sse.wire.jsonfast import dumps_with as _dumps_with
    from rx_sse.wire.jsonfast import plain_struct as _struct
except ImportError:
    _dumps_with = _struct = None


class _Refused(Exception):
    """A value that JSON cannot carry; its text is the advice."""


def _refuse(advice: str) -> Callable[[Any], Any]:
    def refuse(value: Any) -> Any:
        raise _Refused(advice)

    return refuse


_NO_NUMBER = "JSON has no such number; send None instead"
_NO_TIME = "it is not a time; send None instead"


def _decimal(value: decimal.Decimal) -> str:
    if not value.is_finite():
        raise _Refused(_NO_NUMBER)
    return str(value)


def _time(value: Any) -> str:
    if value != value:  # pandas.NaT is a datetime
        raise _Refused(_NO_TIME)
    return str(value.isoformat())


# The table above, for types that the encoder does not know by itself; the first match wins.
_KNOWN: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (type, _refuse("this is a class; send an instance of it")),
    (enum.Enum, operator.attrgetter("value")),
    ((datetime.datetime, datetime.date, datetime.time), _time),
    (datetime.timedelta, _refuse("send its total_seconds()")),
    (uuid.UUID, str),
    (decimal.Decimal, _decimal),
    ((set, frozenset), list),
    (Mapping, dict),
    ((bytes, bytearray, memoryview), _refuse("decode it or send base64; a finished frame is a RawFrame")),
)


def _simpler(value: Any) -> Any:
    """`value`, converted by one step towards types that JSON knows; called for types unknown to the
    encoder."""
    for kind, simpler in _KNOWN:
        if isinstance(value, kind):
            return simpler(value)
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return _foreign(value)


def _foreign(value: Any) -> Any:
    """Convert values of other libraries, recognised by the attributes of their type, so that none of these
    libraries is imported. The type is inspected, not the value: many proxies and mocks have every
    attribute."""
    kind: type[Any] = type(cast(object, value))
    if hasattr(kind, "model_dump"):  # pydantic
        return value.model_dump(mode="json")
    if hasattr(kind, "dtype"):  # numpy, and libraries that follow its interface
        letter = getattr(value.dtype, "kind", "")
        if letter == "M":
            if _any(value != value):
                raise _Refused(_NO_TIME)
            return value.astype(str).tolist()  # tolist() alone gives nanoseconds as a bare integer
        if letter == "m":
            raise _Refused("send its number of seconds")
    if hasattr(kind, "tolist"):
        simple = value.tolist()
        if type(simple) is not kind:  # numpy.longdouble returns itself
            return simple
    if _struct is not None and hasattr(kind, "__struct_config__"):
        return _struct(value, _simpler)
    attributes = getattr(kind, "__attrs_attrs__", None)
    if attributes is not None:
        return {attribute.name: getattr(value, attribute.name) for attribute in attributes}
    raise _Refused(_advice(value))


def _advice(value: Any) -> str:
    """What to do with a value of an unknown type."""
    if hasattr(type(cast(object, value)), "subscribe"):
        return "this is an Observable: emit its values (flat_map, switch_latest, merge_all)"
    if isinstance(value, Awaitable):
        return "await it, and emit what it returns"
    if isinstance(value, (AsyncIterable, Iterator)):
        return "emit its items one by one, or a list of them"
    return "give a dict, a dataclass or a str, or pass dumps="


def _any(outcome: Any) -> bool:
    """Whether a comparison is true, for one value or for some element of an array."""
    return bool(outcome.any() if hasattr(outcome, "any") else outcome)


_encode = json.JSONEncoder(
    ensure_ascii=False,
    allow_nan=False,
    check_circular=False,  # a circle ends as a RecursionError, which is refused as well
    separators=(",", ":"),
    default=_simpler,
).encode


def dumps(value: Any) -> str:
    """`value` as compact JSON text, without a line feed in it.

    Raises:
        EncodeError: some part of it cannot be sent as JSON; the message says which and why.
    """
    return dumps_utf8(value).decode()


def standard(value: Any) -> bytes:
    """`value` as compact JSON in UTF-8, encoded by the standard library alone."""
    try:
        return _encode(value).encode()
    except Exception as error:  # also an error raised by a property or a model_dump() of the user's
        raise _explained(value, error) from error


dumps_utf8: Callable[[Any], bytes] = standard if _dumps_with is None else _dumps_with(standard)
"""`value` as compact JSON, in UTF-8."""


def _explained(value: Any, error: Exception) -> EncodeError:
    """The error that names the smallest part of `value` that fails. Not hot: it encodes the parts again."""
    path = "data"
    for _ in range(32):  # a circle has no smallest part
        inner = _failing_part(value)
        if inner is None:
            break
        step, value, error = inner
        path += step
    if isinstance(error, UnicodeError):
        why = "it has a lone surrogate, which UTF-8 cannot carry; repair the text where it was read"
    elif isinstance(error, RecursionError):
        why = "it is nested too deeply, or contains itself"
    elif isinstance(value, float):
        why = _NO_NUMBER
    elif isinstance(error, (_Refused, TypeError, ValueError)):
        why = str(error)
    else:
        why = f"{type(error).__name__}: {error}"
    return EncodeError(f"{path}: {shown(value)} of type {type(value).__name__} cannot be sent as JSON: {why}")


def _failing_part(value: Any) -> tuple[str, Any, Exception] | None:
    """The first member that fails by itself: its place, the member, and how it fails."""
    for key, part in _members(value):
        try:
            _encode(part).encode()
        except Exception as error:
            return f"[{key!r}]", part, error
    return None


def _members(value: Any) -> list[tuple[Any, Any]]:
    try:
        for kind, members in _CONTAINERS:
            if isinstance(value, kind):
                return list(members(value))
        return _members(_simpler(value))
    except Exception:  # the value itself fails, not one of its members
        return []


def _numbered(parts: Iterable[Any]) -> Iterable[tuple[Any, Any]]:
    return enumerate(parts)


_CONTAINERS: tuple[tuple[type | tuple[type, ...], Callable[[Any], Iterable[tuple[Any, Any]]]], ...] = (
    (dict, lambda value: value.items()),
    ((list, tuple), _numbered),
    ((str, int, float, type(None)), lambda value: ()),
)
