"""The answers to a request that is not let in.

Every reason for refusing a token gives the same answer, byte for byte: nothing in it says whether the token
was expired, forged or for somebody else. The reason goes to the log of `rx_sse.web.auth` (`refusals`).

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
# A refusal is for one request; on routes with a cookie the Origin takes part in it.
_HEADERS = {hdrs.CACHE_CONTROL: "no-store", hdrs.VARY: hdrs.ORIGIN}


class Told:
    """An answer of which the developer has been told (`refusals`)."""


class Unauthorized(Told, web.HTTPUnauthorized):
    """401, with its challenge."""


class Forbidden(Told, web.HTTPForbidden):
    """403."""


def no_credentials() -> web.HTTPUnauthorized:
    """The answer to a request that brought no token."""
    return Unauthorized(headers={**_HEADERS, hdrs.WWW_AUTHENTICATE: _REALM})


def invalid_token() -> web.HTTPUnauthorized:
    """The answer to a token that is not good, whatever is wrong with it."""
    return Unauthorized(headers={**_HEADERS, hdrs.WWW_AUTHENTICATE: f'{_REALM}, error="invalid_token"'})


def insufficient_scope(needed: Iterable[str]) -> web.HTTPForbidden:
    """The answer to a good token that was not issued for this."""
    scope = " ".join(sorted(needed))
    challenge = f'{_REALM}, error="insufficient_scope", scope="{scope}"'
    return Forbidden(headers={**_HEADERS, hdrs.WWW_AUTHENTICATE: challenge})


def not_meant() -> web.HTTPForbidden:
    """The answer to a request that a stranger's page had a browser send along with its cookie."""
    return Forbidden(headers=_HEADERS)


class Unavailable(web.HTTPServiceUnavailable, Overloaded):
    """Nobody can be let in for now, and nobody is refused: 401 would end a browser's EventSource for good.

    An ordinary handler answers it with 503 and ``Retry-After``; a stream is shed, as for any `Overloaded`.
    """

    def __init__(self, retry_after: float) -> None:
        seconds = max(1, math.ceil(retry_after))
        web.HTTPServiceUnavailable.__init__(self, headers={**_HEADERS, hdrs.RETRY_AFTER: str(seconds)})
        self.retry_after = float(seconds)
