"""A topic's history over HTTP: `GET /topics/{name}/history` of the mount.

    {"entries": [{"id": "1_…", "event": null, "data": "…", "time": "2026-01-02T03:04:05.678Z"}, …],
     "position": "1_…", "next": "1_…" or null, "gap": null or {"reason": "trimmed", …}}

`id`, `event` and `data` are those of the stream's events, so a page handles both with one function. With
`?lastEventId=<position>` a stream continues exactly after the page.

Standard: RFC 9110 §8.8.3 (ETag) and §13.1.2 (If-None-Match), RFC 9111 (private, no-cache), RFC 3339 (times).
Never: a shared cache stores it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from aiohttp import ETag, hdrs, web

from rx_sse.bus.asking import MOST, Wish
from rx_sse.bus.history import HistoryPage
from rx_sse.bus.since import Since
from rx_sse.errors import UsageError

MAX_BYTES = 262_144
"""Bytes of a page's entries; a single entry over it is returned alone. Encoding it takes the loop a
millisecond."""
PARAMETERS = frozenset({"after", "last", "since", "limit"})
HEADERS = {hdrs.CACHE_CONTROL: "private, no-cache", hdrs.VARY: "Authorization, Cookie"}
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?", re.ASCII)
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{5,15}(?:Z|[+ -][0-9]{2}:?[0-9]{2})", re.ASCII)


def wish_of(topic: str, query: Mapping[str, str]) -> Wish:
    """The request's query, checked.

    Raises:
        TopicNameError, UsageError: the query is not valid; the message says why.
    """
    if unknown := sorted(query.keys() - PARAMETERS):
        raise UsageError(f"{unknown[0][:40]!r} is no parameter: give after, last, since and limit")
    given = {name: number_of(name, query[name], 1, MOST) for name in ("last", "limit") if name in query}
    since = since_of(query["since"]) if "since" in query else None
    return Wish(topic, after=query.get("after"), since=since, max_bytes=MAX_BYTES, **given)


def number_of(name: str, text: str, least: int, most: int) -> int:
    """A number in a query.

    Raises:
        UsageError: it is not a number, or out of range.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and least <= int(text) <= most):
        raise UsageError(f"{name}={text[:20]!r} must be a number from {least} to {most}")
    return int(text)


def since_of(text: str) -> Since:
    """A time in a query: seconds back from now, or a moment.

    Raises:
        UsageError: it is neither.
    """
    if _SECONDS.fullmatch(text):
        return timedelta(seconds=float(text))
    try:
        if _MOMENT.fullmatch(text):
            day, clock = text[:10], text[11:].replace(" ", "+")  # the client did not encode the `+`
            return datetime.fromisoformat(f"{day}T{clock}")
    except ValueError:
        pass
    raise UsageError(
        f"since={text[:40]!r} must be seconds back from now, or a moment with its zone like "
        "2026-01-02T03:04:05Z"
    )


def answer(request: web.Request, page: HistoryPage) -> web.Response:
    """A page as the answer to a request; 304 if the client has it."""
    tag = _tag(page)
    if any(known.value in (tag.value, "*") for known in request.if_none_match or ()):
        made = web.Response(status=304, headers=HEADERS)
    else:
        body = json.dumps(_body(page), ensure_ascii=False, separators=(",", ":")).encode()
        made = web.Response(body=body, content_type="application/json", headers=HEADERS)
    made.etag = tag
    return made


def _tag(page: HistoryPage) -> ETag:
    """The ETag of a page: an id always identifies the same entry. Weak, because two processes may give the
    time of an entry with a difference of a millisecond."""
    told = [page.topic, page.position, page.next, page.gap and page.gap.reason, *(it.id for it in page)]
    return ETag(hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32], is_weak=True)


def _body(page: HistoryPage) -> dict[str, Any]:
    gap = page.gap
    return {
        "entries": [{"id": it.id, "event": it.event, "data": it.data, "time": _text(it.time)} for it in page],
        "position": page.position,
        "next": page.next,
        "gap": None if gap is None else {"reason": gap.reason, "missed": gap.missed},
    }


def _text(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
