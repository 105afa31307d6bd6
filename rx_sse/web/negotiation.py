"""The properties of a client, from its request.

Standard: RFC 9110 §12.5.1 (Accept) and §12.5.3 (Accept-Encoding), HTML Living Standard §9.2.3 (what an
EventSource sends).
Never: it reads User-Agent.
"""

from __future__ import annotations

from functools import lru_cache

from aiohttp import hdrs, web
from multidict import MultiMapping, istr

EVENT_STREAM = "text/event-stream"
LAST_EVENT_ID_QUERY = "lastEventId"
"""The query parameter that EventSource polyfills use where they cannot set a header. The header wins."""


LAST_EVENT_ID = istr("Last-Event-ID")
RANGES = ("*/*", "text/*", EVENT_STREAM)
"""The media ranges that contain event streams, the most specific last."""


STRICT: web.RequestKey[bool] = web.RequestKey("rx_sse.strict", bool)
"""Whether the client of the stream accepts only its own protocol."""


def _quality(parameters: list[str], malformed: float = 0.0) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return malformed
    return 1.0


def accepts_events(headers: MultiMapping[str]) -> bool:
    """True unless `Accept` excludes event streams by q=0, in the most specific range that contains them.

    A header that merely names another type excludes nothing: the SDKs of OpenAI, Anthropic and others send
    `Accept: application/json` for all requests, streams included. RFC 9110 allows a server to answer with the
    type that it has.
    """
    return _accepts_events(",".join(headers.getall(hdrs.ACCEPT, ())))


@lru_cache(maxsize=64)
def _accepts_events(accept: str) -> bool:
    best, quality = -1, 1.0
    for item in accept.split(","):
        name, *parameters = item.split(";")
        rank = RANGES.index(found) if (found := name.strip().lower()) in RANGES else -1
        if rank > best:
            best, quality = rank, _quality(parameters, malformed=1.0)
    return quality > 0


def accepts_zstd(headers: MultiMapping[str]) -> bool:
    """True if `Accept-Encoding` names zstd, and does not prefer the identity coding. `*` is not enough: some
    clients that send it do not decode zstd, or stop after its first frame."""
    qualities: dict[str, float] = {}
    for item in ",".join(headers.getall(hdrs.ACCEPT_ENCODING, [])).split(","):
        name, *parameters = item.split(";")
        qualities[name.strip().lower()] = _quality(parameters)
    quality = qualities.get("zstd", 0.0)
    return quality > 0 and quality >= qualities.get("identity", 0.0)


def is_event_source(request: web.BaseRequest) -> bool:
    """True for requests that may be a browser's EventSource: a GET whose `Accept` names
    `text/event-stream`."""
    return request.method == hdrs.METH_GET and EVENT_STREAM in request.headers.get(hdrs.ACCEPT, "").lower()


def comes_back(request: web.BaseRequest) -> bool:
    """True for clients that may reconnect after the time of a `retry:`, or have done so."""
    return EVENT_STREAM in request.headers.get(hdrs.ACCEPT, "").lower() or bool(raw_last_event_id(request))


def raw_last_event_id(request: web.BaseRequest) -> str | None:
    """The `Last-Event-ID` header, or else the query parameter `lastEventId`; None if there is neither."""
    header = request.headers.get(LAST_EVENT_ID)
    if header is not None or not request.rel_url.raw_query_string:
        return header
    if LAST_EVENT_ID_QUERY not in request.query_string:
        return None
    return request.query.get(LAST_EVENT_ID_QUERY)


def resource_of(request: web.BaseRequest) -> tuple[str, str, str]:
    """Method, path and query, which identify a stream; without a polyfill's `lastEventId`."""
    query = request.rel_url.raw_query_string
    if LAST_EVENT_ID_QUERY in query:
        query = request.rel_url.without_query_params(LAST_EVENT_ID_QUERY).raw_query_string
    return request.method, request.rel_url.raw_path, query
