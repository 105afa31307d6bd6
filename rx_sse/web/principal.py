"""The user of a request: a `Principal`, and the places where the rest of the web edge finds one.

An authenticator is any ``(request) -> Principal | None``, plain or awaitable; `rx_sse.JWTAuth` is one. Its
answer is kept with the request, so that a handler, a bus and a limit all get the same from
`principal(request)`.

Standard: the fields carry the registered claims of RFC 7519 §4.1 (``sub``, ``exp``, ``jti``, ``iat``) and the
scopes of RFC 8693 §4.2.
Never: a principal holds its token, or shows the token's contents in its repr.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from aiohttp import web

from rx_sse.arguments import seconds
from rx_sse.errors import UsageError

Carrier = Literal["header", "cookie", "query"]
"""The carrier of a token: ``Authorization: Bearer``, a cookie, or the query."""

_NO_CLAIMS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Principal:
    """The user that a request acts for. Immutable, and shared by all requests with the same token.

    Args:
        user: the user's id; never empty. `JWTAuth` uses ``sub``.
        scopes: the scopes of the token.
        claims: all claims of the token, read-only to the last level (lists are tuples).
        expires_at: the token's expiry, in seconds of the epoch. A stream opened with it ends then; None:
            never.
        token_id: the token's id (``jti``), by which it can be revoked.
        issued_at: the token's time of issue, in seconds of the epoch; a token issued before a revocation is
            refused.
        carrier: the carrier of the token.
        voucher: opaque; identifies the key that verified the token, for its withdrawal (`JWTAuth.watch`).

    Raises:
        UsageError: `user` is not a non-empty string, `scopes` is a plain string (substring matches would
            grant access), or a timestamp is not a number.
    """

    user: str
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=lambda: _NO_CLAIMS, repr=False, hash=False)
    expires_at: float | None = None
    token_id: str | None = field(default=None, repr=False)
    issued_at: float | None = field(default=None, repr=False)
    carrier: Carrier | None = None
    voucher: object = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("user", "token_id"):
            value = getattr(self, name)
            if (value is not None or name == "user") and (not isinstance(value, str) or not value):
                raise UsageError(f"Principal({name}={value!r}) must be a text that is not empty")
        if not isinstance(self.scopes, Set):
            raise UsageError(f"Principal(scopes={self.scopes!r}) must be a frozenset of texts")
        for name in ("expires_at", "issued_at"):
            seconds(name, getattr(self, name), optional=True)


PRINCIPAL: web.RequestKey[Principal] = web.RequestKey("rx_sse.principal", Principal)
"""Where a request keeps its principal."""

REVOKED: web.AppKey[Callable[[Principal], str | bool | None]] = web.AppKey("rx_sse.revoked")
"""Filled by ``setup``: says of a principal whether, or in words why, the bus refuses it, and raises
``Overloaded`` while that is not known yet. Authenticators ask it, so that a revoked token is refused in
ordinary handlers as well."""


def principal(request: web.Request) -> Principal:
    """Return the principal of ``request``.

    Args:
        request: the request that a handler with `auth=` got.

    Raises:
        UsageError: the request was not authenticated.
    """
    found: Principal | None = request.get(PRINCIPAL)
    if found is None:
        raise UsageError(
            "principal(request) on a request that was not authenticated: "
            "give the route auth=…, as in @sse(auth=auth), or call `await auth(request)` first"
        )
    return found
