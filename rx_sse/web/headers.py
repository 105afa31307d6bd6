"""The response headers of a stream: the library's, and those of the option `headers=`.

Standard: RFC 9110 §5 (fields), RFC 6265 §3 (`Set-Cookie` may be repeated).
Never: a user's header changes the format of the body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import cast

from aiohttp import hdrs
from multidict import CIMultiDict

from rx_sse.errors import UsageError

Headers = Mapping[str, str] | Iterable[tuple[str, str]]
Pairs = tuple[tuple[str, str], ...]

STREAM_HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
"""The charset is redundant for event streams; a client that decodes `text/*` by the old rule would use
Latin-1 without it."""

FIXED = frozenset(
    {"content-type", "content-length", "content-encoding", "transfer-encoding", "connection", "trailer"}
)
"""Headers that describe the body or the connection."""
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
BREAKS = re.compile(r"[\r\n\0]")


def pairs_of(given: object) -> Pairs:
    """Headers as pairs, checked.

    Raises:
        UsageError: not a valid header, or one that users may not set; the value is not shown, as it may be a
            cookie.
    """
    if given is None:
        return ()
    items: object = cast(Mapping[object, object], given).items() if isinstance(given, Mapping) else given
    if isinstance(items, str) or not isinstance(items, Iterable):
        raise UsageError(f"headers= is a mapping or pairs of names and values, not a {_kind(items)}")
    pairs: list[tuple[str, str]] = []
    for pair in cast(Iterable[object], items):
        kind = _kind(pair)
        if not (isinstance(pair, tuple) and len(cast(tuple[object, ...], pair)) == 2):
            raise UsageError(f"headers= has a {kind} where a pair of name and value belongs")
        name, value = cast(tuple[object, object], pair)
        if not isinstance(name, str) or not TOKEN.fullmatch(name):
            raise UsageError(f"headers= has the name {name!r}, which no header can have")
        if name.lower() in FIXED:
            raise UsageError(f"headers= may not set {name}: the library does, for every stream")
        if not isinstance(value, str) or BREAKS.search(value):
            raise UsageError(f"headers= has a value of {name} that is no text of one line")
        pairs.append((str(name), value))
    return tuple(pairs)


def _kind(value: object) -> str:
    return type(value).__name__


def headers_of(own: Pairs, coding: Mapping[str, str]) -> CIMultiDict[str]:
    """The headers of a stream: the library's, those of the coding, and the user's over both."""
    headers = CIMultiDict(STREAM_HEADERS)
    headers.update(coding)
    vary = [headers[hdrs.VARY]] if hdrs.VARY in headers else []
    for name, _ in own:
        if name.lower() in ("cache-control", "x-accel-buffering"):
            headers.pop(name, None)
    for name, value in own:
        if name.lower() == "vary":
            vary.append(value)
        else:
            headers.add(name, value)
    if vary:
        headers[hdrs.VARY] = ", ".join(vary)
    return headers
