"""Short-lived tokens for the query, for pages whose EventSource can send neither a header nor a cookie.

A page on another site holds an access token, and a native EventSource sends no custom headers. The page
exchanges the token for a ticket, and opens its stream with the ticket::

    tickets = Tickets(auth, key=SECRET)

    @routes.post("/ticket")
    async def ticket(request):
        return web.json_response({"ticket": tickets.issue(await auth(request))})

    @routes.get("/stream")                                  # new EventSource("/stream?ticket=…")
    @rx_sse.sse(auth=tickets)
    def stream(request):
        return rx.of(rx_sse.principal(request).user)

The cost: a ticket is part of URLs, and so of the access logs of this server and of every proxy before it.
That is why an access token must never be in a URL, and why a ticket lives for minutes, has an audience of its
own, opens streams and does nothing else, and is revoked with the token that it was made from. It may be used
repeatedly until it expires, because an EventSource reconnects with the same URL; after that it is answered
401, and the page fetches a new ticket.

Standard: RFC 9700 §4.3.2 (no access token in the query), RFC 7519.
Never: a ticket outlives its token, or is valid for anything but a GET that accepts ``text/event-stream``.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import jwt
from aiohttp import web

from rx_sse.errors import UsageError
from rx_sse.web.auth.authenticator import JWTAuth, revoked
from rx_sse.web.auth.challenge import invalid_token
from rx_sse.web.auth.credentials import fault_of
from rx_sse.web.auth.keys import checked_algorithms, static_key
from rx_sse.web.auth.reasons import Refused
from rx_sse.web.auth.refusals import Refusals
from rx_sse.web.auth.scopes import Scoped, Withdrawn
from rx_sse.web.auth.verify import Rules, texts, verify
from rx_sse.web.negotiation import is_event_source
from rx_sse.web.principal import PRINCIPAL, Principal

_OURS = frozenset({"aud", "exp", "iat", "iss", "jti", "nbf", "scope", "scp", "sub"})


class Tickets:
    """Admits requests with a ticket, and those that ``auth`` admits. Use it as ``sse(auth=…)`` of the
    streams.

    A header or a cookie that ``auth`` checks comes first, and is not replaced by a ticket if it is refused.

    Args:
        auth: the authenticator of all other requests; its principals get tickets.
        key: the secret of this application that signs its tickets: at least 32 random bytes.
        query: the parameter of the URL that carries a ticket.
        audience: distinguishes a ticket from every other token; ``auth`` must not accept it.
        lifetime: seconds that a ticket lives at most.
        claims: names of claims that a ticket copies from its token.

    Raises:
        UsageError: the configuration is unsafe or invalid.
    """

    def __init__(
        self,
        auth: JWTAuth,
        *,
        key: str | bytes,
        query: str = "ticket",
        audience: str = "rx_sse:ticket",
        lifetime: float = 300.0,
        claims: Iterable[str] = (),
    ) -> None:
        if not (math.isfinite(lifetime) and lifetime >= 1):
            raise UsageError(f"lifetime={lifetime!r} must be at least one second")
        if not query:
            raise UsageError("query='' is no parameter of a URL")
        audiences = texts("audience", audience)
        if audience in auth.audience:
            raise UsageError(f"audience={audience!r} is that of access tokens: tickets need one of their own")
        self._claims = frozenset(claims)
        if self._claims & _OURS:
            raise UsageError(f"claims={sorted(self._claims & _OURS)} are the ticket's own")
        self._auth = auth
        self._refusals = Refusals()
        self._algorithms = checked_algorithms("HS256", public=False)
        self._key = static_key(key, self._algorithms)
        self._query = query
        self._lifetime = lifetime
        self._audience = audience
        # iat and exp are whole seconds, which extends a life by one second at most.
        self._rules = Rules(audiences, None, leeway=5.0, max_life=lifetime + 1)

    def issue(self, principal: Principal) -> str:
        """Return a ticket for ``principal``, which expires with its token if that expires first.

        Args:
            principal: the principal of a request that was authenticated.

        Returns:
            The ticket, for the URL of a stream: ``?ticket=…``.
        """
        now = time.time()
        ends = now + self._lifetime
        if principal.expires_at is not None:
            ends = min(ends, principal.expires_at)
        claims = {name: _thawed(value) for name, value in principal.claims.items() if name in self._claims}
        claims |= {
            "sub": principal.user,
            "aud": self._audience,
            "iat": int(now),
            "exp": int(ends),
            "jti": principal.token_id or secrets.token_hex(8),
            "scope": sorted(principal.scopes),
        }
        return jwt.encode(claims, self._key.material, algorithm="HS256")

    async def __call__(self, request: web.Request) -> Principal:
        """Return the principal of ``request``, and keep it with the request.

        Raises:
            web.HTTPException: raised by ``auth``; 401 for a ticket that is invalid, or not valid for this
                request.
        """
        values = request.query.getall(self._query, [])
        if not values or self._auth.presented(request):
            return await self._auth(request)
        principal = self._verified(values) if is_event_source(request) else _NO_STREAM
        reason = principal if isinstance(principal, Refused) else revoked(request, principal)
        if reason is not None:
            self._refusals.tell(request, 401, f"the ticket was refused: {reason}", kind=reason.kind)
            raise invalid_token()
        assert isinstance(principal, Principal)
        request[PRINCIPAL] = principal
        return principal

    def require(self, *scopes: str) -> Scoped:
        """Return an authenticator that also requires these scopes."""
        return Scoped(self, scopes)

    def watch(self, callback: Withdrawn) -> Callable[[], None]:
        """Call ``callback`` when the issuer of access tokens withdraws a key. Tickets end by themselves."""
        return self._auth.watch(callback)

    def _verified(self, values: list[str]) -> Principal | Refused:
        if fault := fault_of(values):
            return Refused("no ticket can be so", f"it is {fault}")
        try:
            return verify(values[0], (self._key,), self._algorithms, self._rules, "query")
        except Refused as refused:
            return refused


_NO_STREAM = Refused("no stream", "it opens streams alone: a GET whose Accept names text/event-stream")


def _thawed(value: Any) -> Any:
    """Return frozen claims as types that the JSON encoder of PyJWT accepts."""
    match value:
        case Mapping():
            return {name: _thawed(member) for name, member in cast("Mapping[str, Any]", value).items()}
        case tuple():
            return [_thawed(item) for item in cast("tuple[object, ...]", value)]
        case _:
            return value
