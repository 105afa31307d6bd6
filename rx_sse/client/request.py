"""The request of an `EventSource`: checked once, when it is made, and turned into headers for every attempt.

Standard: WHATWG HTML §9.2.2 and Fetch for the headers of the request, RFC 6750 for the token.

Never keeps a token, and never shows one: it prints only scheme, host and path of a URL.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from io import BytesIO
from typing import Any, Final

from aiohttp import hdrs
from multidict import CIMultiDict
from yarl import URL

from rx_sse.errors import ConnectionFailed, UsageError
from rx_sse.wire.jsontext import dumps_utf8

__all__ = ["NO_HEADER", "Request", "Token", "http_url", "without_secrets"]

Token = str | Callable[[], str | Awaitable[str]] | None

# Characters that no header can carry (RFC 9110 §5.5); aiohttp refuses them too, but without naming the
# header.
NO_HEADER: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

# RFC 9110 §5.6.2: the characters of a method's name.
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

# The forbidden host code points of the URL standard that yarl lets through.
_NO_HOST: Final = re.compile(r"[\x00-\x20\x7f#<>?@\\^|]")


class Request:
    """Method, URL, headers and body; the same for every attempt except for the token and the last event ID.

    Attributes:
        method: as given, in capitals.
        url: as given, absolute.
        title: the request for messages: ``GET http://host/path``.
    """

    def __init__(
        self, url: str | URL, *, method: str, headers: Mapping[str, str] | None, body: Any, token: Token
    ) -> None:
        self.url = http_url(url)
        if not isinstance(method, str) or not _TOKEN.fullmatch(method):
            raise UsageError(f"method={method!r} is not the name of a method, as 'GET' is")
        if not isinstance(headers, Mapping | None):
            raise UsageError("headers: give a mapping of names to values")
        self.method = method.upper()
        self.title = f"{self.method} {without_secrets(self.url)}"
        self._token = token
        # [spec] Set (`Accept`, `text/event-stream`) in request's header list; set request's cache mode to
        # "no-store", which makes Fetch send `Cache-Control: no-cache`.
        self._headers = CIMultiDict({hdrs.ACCEPT: "text/event-stream", hdrs.CACHE_CONTROL: "no-cache"})
        for name, value in (headers or {}).items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise UsageError(f"headers: {name!r} and its value must be texts")
            if name.lower() == "last-event-id":
                raise UsageError(f"headers: {name} changes with every event; pass last_event_id={value!r}")
            if NO_HEADER.search(name) or NO_HEADER.search(value):
                raise UsageError(f"headers: the value of {name!r} holds a character that no header can carry")
            self._headers[name] = value
        carriers = [token is not None, self.url.user is not None, hdrs.AUTHORIZATION in self._headers]
        if sum(carriers) > 1:
            raise UsageError("authorization: give it once, as token=, in headers= or in the url")
        self._body = self._encoded(body)

    def _encoded(self, body: Any) -> bytes | None:
        if body is None or isinstance(body, bytes):
            return body
        if isinstance(body, str):
            self._headers.setdefault(hdrs.CONTENT_TYPE, "text/plain; charset=utf-8")
            return body.encode()
        self._headers.setdefault(hdrs.CONTENT_TYPE, "application/json")
        return dumps_utf8(body)

    @property
    def is_safe(self) -> bool:
        """Whether repeating it has no further effect: a safe method (RFC 9110 §9.2.1) that may stream."""
        return self.method in (hdrs.METH_GET, hdrs.METH_HEAD)

    @property
    def body(self) -> BytesIO | None:
        """The body for one attempt. aiohttp warns of bare bytes over 1 MB, as it would write them at once."""
        return None if self._body is None else BytesIO(self._body)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Headers that aiohttp must not add: the type of an absent body."""
        return (hdrs.CONTENT_TYPE,) if self._body is None else ()

    async def headers(self, last_event_id: str) -> CIMultiDict[str]:
        """The headers of the next attempt, with a fresh token.

        Raises:
            ConnectionFailed: the stream set an id that no request can carry.
        """
        headers = self._headers.copy()
        # [spec] If the EventSource object's last event ID string is not the empty string, then set
        # (`Last-Event-ID`, lastEventIDValue) in request's header list, encoded as UTF-8.
        if last_event_id:
            if NO_HEADER.search(last_event_id):
                # A browser sends it and is refused by the server; to leave it out would lose events silently.
                reason = f"the last event ID {last_event_id!r} cannot be sent in a header"
                raise ConnectionFailed(f"{self.title}: {reason}", reason=reason)
            headers[hdrs.LAST_EVENT_ID] = last_event_id
        if self._token is not None:
            token = self._token() if callable(self._token) else self._token
            if isawaitable(token):
                token = await token
            if not isinstance(token, str) or not token or NO_HEADER.search(token):
                raise UsageError("token: not a text that a header can carry")  # and not shown
            headers[hdrs.AUTHORIZATION] = f"Bearer {token}"
        return headers


def without_secrets(url: URL) -> str:
    """A URL without user, password and query, for a message or a log."""
    return str(url.with_user(None).with_query(None).with_fragment(None))


def http_url(url: str | URL) -> URL:
    """An absolute http or https URL.

    Raises:
        UsageError: it is not a valid URL.
    """
    # [spec] If urlRecord is failure, then throw a "SyntaxError" DOMException. Another scheme would fail with
    # the first request, and for good; here the error is immediate.
    try:
        parsed = URL(url)
    except (ValueError, TypeError) as error:
        raise UsageError(f"url: not a URL: {error}") from None
    host = parsed.raw_host
    if parsed.scheme not in ("http", "https") or not host:
        raise UsageError(
            f"url: scheme {parsed.scheme!r}, host {host!r}; give an absolute URL that begins with http:// or https://"
        )
    if _NO_HOST.search(host):
        raise UsageError(f"url: {host!r} is not a host")
    return parsed
