"""An authenticator that requires scopes.

Standard: RFC 6749 §3.3 (the syntax of a scope), RFC 6750 §3.1 (403 ``insufficient_scope``).
Never: it uses anything but `Principal.scopes`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from aiohttp import web

from rx_sse.errors import UsageError
from rx_sse.web.auth.challenge import insufficient_scope
from rx_sse.web.auth.refusals import Refusals
from rx_sse.web.principal import Principal

Withdrawn = Callable[[Callable[[Principal], bool]], None]
"""Called when an authenticator withdraws a key, with a predicate for the key's principals."""

_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


class Authenticator(Protocol):
    """The interface of `JWTAuth` and other authenticators beyond being called."""

    def __call__(self, request: web.Request, /) -> Awaitable[Principal]:
        """Return the request's principal, or raise the answer that refuses it."""
        ...

    def watch(self, callback: Withdrawn, /) -> Callable[[], None]:
        """Call ``callback`` when a key is withdrawn; the returned function ends the watch."""
        ...


class Scoped:
    """Admits requests that another authenticator admits and whose token has all scopes; 403 for others."""

    __slots__ = ("_auth", "_refusals", "_scopes")

    def __init__(self, auth: Authenticator, scopes: tuple[str, ...]) -> None:
        if not scopes:
            raise UsageError(
                "require() without a scope asks for nothing: give one, as in require('events:read')"
            )
        for scope in scopes:
            _check(scope)
        self._auth = auth
        self._scopes = frozenset(scopes)
        self._refusals = Refusals()

    async def __call__(self, request: web.Request) -> Principal:
        """Return the principal of ``request``.

        Raises:
            web.HTTPForbidden: a scope is missing.
            web.HTTPException: raised by the inner authenticator.
        """
        principal = await self._auth(request)
        if missing := self._scopes - principal.scopes:
            names = ", ".join(map(repr, sorted(missing)))
            self._refusals.tell(request, 403, f"the token lacks the scope {names}")
            raise insufficient_scope(self._scopes)
        return principal

    def require(self, *scopes: str) -> Scoped:
        """Return an authenticator that also requires these scopes."""
        return Scoped(self._auth, (*self._scopes, *scopes))

    def watch(self, callback: Withdrawn) -> Callable[[], None]:
        """Call ``callback`` when the inner authenticator withdraws a key."""
        return self._auth.watch(callback)


def _check(scope: Any) -> None:
    if not isinstance(scope, str) or not _SCOPE.fullmatch(scope):
        raise UsageError(
            f'{scope!r} is not a scope: one or more visible characters, without blanks, " and \\'
        )
