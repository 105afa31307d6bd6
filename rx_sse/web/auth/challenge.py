"""The answers to a refused request.

Every refused token gets the same answer, byte for byte: it does not reveal whether the token was expired,
forged or issued for another audience. The reason goes to the log of `rx_sse.web.auth` (`refusals`).

Standard: RFC 6750 §3 (``WWW-Authenticate: Bearer``; no ``error`` if no credentials were given), §3.1 (its
codes).
Never: an answer holds no part of a token.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from aiohttp import hdrs, web

from rx_sse.errors import Overloaded

_REALM = 'Bearer realm="rx_sse"'
# A refusal is for one request; on routes with a cookie it also depends on the Origin.
_HEADERS = {hdrs.CACHE_CONTROL: "no-store", hdrs.VARY: hdrs.ORIGIN}


class Told:
    """An answer whose reason has been logged (`refusals`)."""


class Unauthorized(Told, web.HTTPUnauthorized):
    """401, with its challenge."""


class Forbidden(Told, web.HTTPForbidden):
    """403."""


def no_credentials() -> web.HTTPUnauthorized:
    """The answer to a request without a token."""
    return Unauthorized(headers={**_HEADERS, hdrs.WWW_AUTHENTICATE: _REALM})


def invalid_token() -> web.HTTPUnauthorized:
    """The answer to an invalid token, whatever the reason."""
    return Unauthorized(headers={**_HEADERS, hdrs.WWW_AUTHENTICATE: f'{_REALM}, error="invalid_token"'})


def insufficient_scope(needed: Iterable[str]) -> web.HTTPForbidden:
    """The answer to a valid token without the required scope."""
    scope = " ".join(sorted(needed))
    challenge = f'{_REALM}, error="insufficient_scope", scope="{scope}"'
    return Forbidden(headers={**_HEADERS, hdrs.WWW_AUTHENTICATE: challenge})


def not_meant() -> web.HTTPForbidden:
    """The answer to a cross-site request that a browser sent with its cookie."""
    return Forbidden(headers=_HEADERS)


class Unavailable(web.HTTPServiceUnavailable, Overloaded):
    """No token can be checked now, so none is refused: 401 would end a browser's EventSource for good.

    An ordinary handler answers with 503 and ``Retry-After``; a stream is refused, as for any `Overloaded`.
    """

    def __init__(self, retry_after: float) -> None:
        seconds = max(1, math.ceil(retry_after))
        web.HTTPServiceUnavailable.__init__(self, headers={**_HEADERS, hdrs.RETRY_AFTER: str(seconds)})
        self.retry_after = float(seconds)
