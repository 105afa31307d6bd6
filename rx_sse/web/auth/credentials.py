"""The part of a request that carries its token.

``Authorization: Bearer`` first, then the cookie, if one is configured. The first carrier that is present
decides: a bad token in the header is never replaced by a good one in the cookie. A value that cannot be a
token (too long, not ASCII, given twice) is returned as a `Credential` without a token, and refused like any
bad token.

Standard: RFC 6750 §2.1 (the header), RFC 6265bis §4.1.3 (``__Secure-`` and ``__Host-``).
Never: a token is part of a repr, or read from the query: URLs are logged (RFC 9700 §4.3.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from aiohttp import hdrs
from multidict import MultiMapping

from rx_sse.errors import UsageError
from rx_sse.web.principal import Carrier

MAX_TOKEN = 8192
"""The longest token in bytes. A longer value is refused before any work; aiohttp's own default limit for a
header (8,190 with the word ``Bearer``) is just below, so by default every header that arrives is checked
here."""

_COOKIE_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_SAFE_COOKIE_NAME = re.compile(r"__(?:Host|Secure)-.+")


@dataclass(frozen=True, slots=True)
class Credential:
    """The value of a carrier.

    Args:
        carrier: the carrier.
        token: its value; None if that cannot be a token.
        fault: the reason, in a word or two.
    """

    carrier: Carrier
    token: str | None = field(repr=False)
    fault: str = field(default="", repr=False, compare=False)


def find_credential(headers: MultiMapping[str], cookie: str | None) -> Credential | None:
    """Return the value of the first carrier that is present, or None if there is none.

    Args:
        headers: the request's headers.
        cookie: the name of the cookie that may carry a token; None if none may.
    """
    if bearer := _bearers(headers.getall(hdrs.AUTHORIZATION, ())):
        return Credential("header", only_token(bearer), fault_of(bearer))
    if cookie is not None and (baked := _cookies(headers.getall(hdrs.COOKIE, ()), cookie)):
        return Credential("cookie", only_token(baked), fault_of(baked))
    return None


def only_token(values: list[str]) -> str | None:
    """Return the single value if it may be a token, else None."""
    return None if fault_of(values) else values[0]


def fault_of(values: list[str]) -> str:
    """Return why the values are not one token; empty if they may be."""
    token = values[0]
    if len(values) > 1:
        return "given twice"
    if not token:
        return "empty"
    if len(token) > MAX_TOKEN:
        return f"longer than {MAX_TOKEN} bytes"
    return "" if token.isascii() else "not ASCII"


def _bearers(values: Iterable[str]) -> list[str]:
    # Another scheme is not a token: a proxy's Basic must not hide the cookie.
    parts = [value.partition(" ") for value in values]
    return [token.strip(" ") for scheme, _, token in parts if scheme.lower() == "bearer"]


def _cookies(headers: Iterable[str], wanted: str) -> list[str]:
    # Not request.cookies: it keeps the last of two cookies of one name, and logs cookies that it cannot
    # parse.
    pairs = [pair.partition("=") for header in headers for pair in header.split(";")]
    values = [value.strip().strip('"') for name, _, value in pairs if name.strip() == wanted]
    return [value for value in values if value]  # a cookie is deleted by setting it to an empty value


def checked_cookie_name(name: str, *, insecure_http: bool) -> str:
    """Return ``name`` if it is allowed for a cookie that authenticates.

    Args:
        name: the cookie's name.
        insecure_http: allow it without the prefix.

    Raises:
        UsageError: it is not valid, or has no prefix that makes browsers require ``Secure``.
    """
    if not isinstance(name, str) or not _COOKIE_NAME.fullmatch(name):
        raise UsageError(f"cookie={name!r} is not the name of a cookie")
    if not insecure_http and not _SAFE_COOKIE_NAME.fullmatch(name):
        raise UsageError(
            f"cookie={name!r} must begin with __Host- or __Secure-, or other sites and plain http could "
            "set it; insecure_http=True lifts this for development"
        )
    return name
