"""Permissions to see the admin page, and to act on it.

The authenticator decides who may see the page. Acting also needs the scope, and so does reading the content
of topics. Both are for the page itself: a request from a page of another site, even one in
`setup(allow_origins=)`, is refused, whatever cookie the browser sends.

Standard: Fetch Metadata Request Headers §2.3, RFC 6454 §7, RFC 6750 §3.1.
Never: an action without a scope, unless the application sets `scope=None`.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from rx_sse.web.auth.challenge import insufficient_scope, invalid_token, not_meant
from rx_sse.web.origin import SEC_FETCH_SITE, meant, origin_refused
from rx_sse.web.principal import PRINCIPAL, Principal
from rx_sse.web.registry import registry_of
from rx_sse.web.sse import Auth, authenticate


class Access:
    """The guard of one admin application.

    Args:
        auth: the authenticator of the page; None for no authentication.
        scope: the scope that actions need; None if seeing the page suffices.
    """

    def __init__(self, auth: Auth | None, scope: str | None) -> None:
        self.auth = auth
        self.scope = scope

    async def viewer(self, request: web.Request) -> Principal | None:
        """The principal that sees the page.

        Raises:
            web.HTTPException: the request is not permitted.
            Overloaded: the permission cannot be checked now.
        """
        if self.auth is None:
            return None
        edge = registry_of(request)
        who = request[PRINCIPAL] = await authenticate(self.auth, request)
        if (reason := edge.refused(who)) is not None:
            edge.refusals.tell(request, 401, f"the token was refused: {reason}", kind="revoked")
            raise invalid_token()
        return who

    def may_act(self, who: Principal | None) -> bool:
        """Whether a viewer may act."""
        return self.scope is None or (who is not None and self.scope in who.scopes)

    def check_scope(self, request: web.Request) -> None:
        """Refuse a viewer without the scope.

        Raises:
            web.HTTPForbidden: the scope is missing.
        """
        if not self.may_act(request.get(PRINCIPAL)):
            assert self.scope is not None
            registry_of(request).refusals.tell(request, 403, f"the token lacks the scope {self.scope!r}")
            raise insufficient_scope([self.scope])

    def check_origin(self, request: web.Request) -> None:
        """Refuse a request from any page but the application's own.

        A program sends no `Origin` and no `Sec-Fetch-Site`, and no cookie either: its token is in a header.

        Raises:
            web.HTTPForbidden: it comes from another page.
        """
        headers = request.headers
        host = headers.get(hdrs.HOST, "")
        if meant(request.method, headers, {f"http://{host}", f"https://{host}"}):
            return
        a_program = not any(name in headers for name in (hdrs.ORIGIN, SEC_FETCH_SITE, hdrs.COOKIE))
        if not a_program:
            registry_of(request).refusals.tell(request, 403, origin_refused(request), kind="origin")
            raise not_meant()

    async def actor(self, request: web.Request) -> Principal | None:
        """The principal that acts.

        Raises:
            web.HTTPException: the request is not permitted.
            Overloaded: the permission cannot be checked now.
        """
        self.check_origin(request)
        who = await self.viewer(request)
        self.check_scope(request)
        return who
