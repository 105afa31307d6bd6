"""What a request says about its client.

Standard: RFC 9110 §12.5.1 (Accept) and §12.5.3 (Accept-Encoding), HTML Living Standard §9.2.3 (what an
EventSource sends).
Never: it looks at User-Agent.
"""

from __future__ import annotations

from aiohttp import hdrs, web
from multidict import MultiMapping

EVENT_STREAM = "text/event-stream"
LAST_EVENT_ID_QUERY = "lastEventId"
"""The query parameter that EventSource polyfills use where they may not set a header. The header wins."""


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def accepts_events(headers: MultiMapping[str]) -> bool:
    """True unless `Accept` excludes event streams: the most specific range that matches decides, q=0
    excludes."""
    ranges = [value for value in headers.getall(hdrs.ACCEPT, []) if value.strip()]
    best = -1
    quality = 1.0 if not ranges else 0.0
    for item in ",".join(ranges).split(","):
        name, *parameters = item.split(";")
        rank = (
            ("*/*", "text/*", EVENT_STREAM).index(n)
            if (n := name.strip().lower()) in ("*/*", "text/*", EVENT_STREAM)
            else -1
        )
        if rank > best:
            best, quality = rank, _quality(parameters)
    return quality > 0


def accepts_zstd(headers: MultiMapping[str]) -> bool:
    """True if `Accept-Encoding` names zstd, and does not prefer what is not encoded. `*` is not enough: some
    who send it know zstd only by name, or stop after its first frame."""
    qualities: dict[str, float] = {}
    for item in ",".join(headers.getall(hdrs.ACCEPT_ENCODING, [])).split(","):
        name, *parameters = item.split(";")
        qualities[name.strip().lower()] = _quality(parameters)
    quality = qualities.get("zstd", 0.0)
    return quality > 0 and quality >= qualities.get("identity", 0.0)


def is_event_source(request: web.BaseRequest) -> bool:
    """True for what may be a browser's EventSource: a GET whose `Accept` names `text/event-stream`."""
    return request.method == hdrs.METH_GET and EVENT_STREAM in request.headers.get(hdrs.ACCEPT, "").lower()


def raw_last_event_id(request: web.BaseRequest) -> str | None:
    """The `Last-Event-ID` header, or else the query parameter `lastEventId`; None if there is neither."""
    header = request.headers.get("Last-Event-ID")
    if header is not None or LAST_EVENT_ID_QUERY not in request.query_string:
        return header
    return request.query.get(LAST_EVENT_ID_QUERY)


def resource_of(request: web.BaseRequest) -> tuple[str, str, str]:
    """Method, path and query that make a stream the same stream; a polyfill's `lastEventId` is no part of
    it."""
    query = request.rel_url.raw_query_string
    if LAST_EVENT_ID_QUERY in query:
        query = request.rel_url.without_query_params(LAST_EVENT_ID_QUERY).raw_query_string
    return request.method, request.rel_url.raw_path, query
