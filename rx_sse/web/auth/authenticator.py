"""JSON Web Tokens as an authenticator: which user does a request act for?

::

    auth = JWTAuth(key=SECRET, algorithms="HS256", cookie="__Host-session")
    issued = JWTAuth(jwks_url="https://issuer/.well-known/jwks.json", algorithms="RS256", audience="chat",
                     issuer="https://issuer/")

    @routes.get("/stream")
    @rx_sse.sse(auth=auth)
    def stream(request):
        return rx.of(rx_sse.principal(request).user)

    @routes.post("/messages")
    async def send(request):
        principal = await auth(request)                     # the same, in an ordinary handler
        return web.Response(text=principal.user)

    @routes.get("/events")
    @rx_sse.sse(auth=auth.require("events:read"))           # 403 without the scope
    def events(request):
        return rx.of("for those who may")

The token comes from ``Authorization: Bearer``, or from the cookie; with the cookie, the request must be
same-site (`rx_sse.web.origin`). The required claims are in `rx_sse.web.auth.verify`, the keys of an issuer in
`rx_sse.web.auth.jwks`; `rx_sse.web.auth.tickets` is for pages that can send neither header nor cookie.

Cost: the first use of a token takes 75 µs (HS256) to 200 µs (EdDSA), the next ones 10 µs; measured.

Standard: RFC 7519 (JWT), RFC 6750 (Bearer), RFC 8725 (best practice).
Never: a token from the query; a token, or a part of one, in a log, an error or a repr; an algorithm from a
token.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType

from aiohttp import hdrs, web
from yarl import URL

from rx_sse.errors import Overloaded, UsageError
from rx_sse.web.auth.cache import TokenCache, fingerprint
from rx_sse.web.auth.challenge import Unavailable, invalid_token, no_credentials, not_meant
from rx_sse.web.auth.credentials import Credential, checked_cookie_name, find_credential
from rx_sse.web.auth.jwks import JWKS, JWKSStats
from rx_sse.web.auth.keys import Key, checked_algorithms, static_key
from rx_sse.web.auth.reasons import Refused
from rx_sse.web.auth.refusals import Refusals
from rx_sse.web.auth.scopes import Scoped, Withdrawn
from rx_sse.web.auth.verify import Rules, claimed_birth, header, texts, verify
from rx_sse.web.origin import allowed_origins, meant, origin_refused
from rx_sse.web.principal import PRINCIPAL, REVOKED, Principal

_IN_QUERY = frozenset({"access_token", "token", "jwt"})


@dataclass(frozen=True, slots=True)
class AuthStats:
    """Counters of a `JWTAuth`.

    Args:
        cached: tokens whose principal is cached.
        hits: requests answered from the cache.
        verified: tokens whose signature was verified successfully.
        refused: requests with a token that was refused.
        jwks: counters of the key set; None with a fixed key.
    """

    cached: int
    hits: int
    verified: int
    refused: int
    jwks: JWKSStats | None


class JWTAuth:
    """Admits requests with a valid JSON Web Token. Give it to ``sse(auth=…)``, or call it with a request.

    Args:
        key: the key that verifies the tokens: an HMAC secret of at least 32 random bytes, or a public key as
            PEM.
        jwks_url: instead of ``key``, the URL at which the issuer publishes its keys; a
            `rx_sse.web.auth.jwks.JWKS` to change its times.
        algorithms: the issuer's signing algorithms, one name or several for one type of key. Never read from
            a token.
        audience: the issuer's names for this application; ``aud`` must contain one of them. Without it, a
            token with ``aud`` is refused.
        issuer: the required ``iss`` of tokens.
        cookie: the cookie that may carry the token, beside the header; it begins with ``__Host-`` or
            ``__Secure-``.
        leeway: seconds by which the issuer's clock may be ahead of this machine's. ``exp`` is never extended:
            streams end by it.
        insecure_http: for development over plain http only: a cookie without its prefix, and a ``jwks_url``
            without TLS.

    Raises:
        UsageError: the configuration is unsafe or invalid.
    """

    def __init__(
        self,
        *,
        key: object = None,
        jwks_url: str | URL | JWKS | None = None,
        algorithms: str | Iterable[str],
        audience: str | Iterable[str] | None = None,
        issuer: str | Iterable[str] | None = None,
        cookie: str | None = None,
        leeway: float = 5.0,
        insecure_http: bool = False,
    ) -> None:
        if (key is None) == (jwks_url is None):
            raise UsageError("JWTAuth needs key= or jwks_url=, and not both")
        self._algorithms = checked_algorithms(algorithms, public=jwks_url is not None)
        self._rules = Rules(texts("audience", audience), texts("issuer", issuer), leeway)
        self._cookie = None if cookie is None else checked_cookie_name(cookie, insecure_http=insecure_http)
        self._jwks: JWKS | None = None
        self._static: tuple[Key, ...] = ()
        if jwks_url is None:
            self._static = (static_key(key, self._algorithms),)
        else:
            self._jwks = (
                jwks_url if isinstance(jwks_url, JWKS) else JWKS(jwks_url, insecure_http=insecure_http)
            )
        self._cache = TokenCache()
        self._version = 0
        self._hits = self._verified = self._refused = 0
        self._refusals = Refusals()

    async def __call__(self, request: web.Request) -> Principal:
        """Return the principal of ``request``, and keep it with the request.

        Raises:
            web.HTTPUnauthorized: it has no token, or the token is refused.
            web.HTTPForbidden: it has a cookie, but comes from a page that may not act for the user.
            Unavailable: the token cannot be checked now; a stream is refused with 503.
        """
        credential = find_credential(request.headers, self._cookie)
        if credential is None:
            self._refusals.tell(request, 401, self._missing(request), kind="no credentials")
            raise no_credentials()
        if credential.carrier == "cookie" and not meant(
            request.method, request.headers, allowed_origins(request)
        ):
            self._refusals.tell(request, 403, origin_refused(request), kind="origin")
            raise not_meant()
        principal = await self._principal(credential)
        reason = principal if isinstance(principal, Refused) else revoked(request, principal)
        if reason is not None:
            self._refused += 1
            self._refusals.tell(request, 401, f"the token was refused: {reason}", kind=reason.kind)
            raise invalid_token()
        assert isinstance(principal, Principal)
        request[PRINCIPAL] = principal
        return principal

    @property
    def audience(self) -> tuple[str, ...]:
        """The names of this application at the issuer; empty if none are configured."""
        return self._rules.audience or ()

    def presented(self, request: web.Request) -> bool:
        """Return whether ``request`` has a carrier that this authenticator would check, valid or not."""
        return find_credential(request.headers, self._cookie) is not None

    def require(self, *scopes: str) -> Scoped:
        """Return an authenticator that also requires these scopes, and answers 403 without one of them.

        Args:
            *scopes: names that the token's claim `scope` must all contain, as in ``"orders:read"``.
        """
        return Scoped(self, scopes)

    def watch(self, callback: Withdrawn) -> Callable[[], None]:
        """Call back when the issuer withdraws a key.

        While there is a watcher, the key set is kept fresh without any request; with a fixed key the callback
        is never called.

        Args:
            callback: called on the loop with a predicate: a principal for which it is true was verified by a
                withdrawn key, and its streams should end.

        Returns:
            A function that ends the watch; it may be called repeatedly.
        """
        if self._jwks is None:
            return lambda: None
        return self._jwks.watch(lambda gone: callback(lambda who: any(who.voucher is key for key in gone)))

    async def start(self) -> None:
        """Fetch the issuer's keys now and keep them fresh. Optional: without it the first request waits for
        the keys."""
        if self._jwks is not None:
            await self._jwks.start()

    async def close(self) -> None:
        """Stop refreshing, and cancel a fetch in flight."""
        if self._jwks is not None:
            await self._jwks.close()

    async def __aenter__(self) -> JWTAuth:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def stats(self) -> AuthStats:
        """Return the counters."""
        jwks = None if self._jwks is None else self._jwks.stats()
        return AuthStats(len(self._cache), self._hits, self._verified, self._refused, jwks)

    def _missing(self, request: web.Request) -> str:
        """Describe what a request without a token lacks."""
        lacks = "no Authorization: Bearer header"
        if hdrs.AUTHORIZATION in request.headers:
            lacks = "an Authorization header of another scheme than Bearer"
        if self._cookie is not None:
            lacks += f" and no cookie {self._cookie!r}"
        if not request.query.keys().isdisjoint(_IN_QUERY):
            lacks += "; a token in the query is not taken (rx_sse.Tickets issues tickets, which are)"
        return lacks

    async def _principal(self, credential: Credential) -> Principal | Refused:
        # Returns instead of raising, so that the answer's exception has no other as its context: PyJWT's
        # exceptions quote tokens.
        token, carrier = credential.token, credential.carrier
        if token is None:
            return Refused("no token can be so", f"the {carrier}'s is {credential.fault}")
        mark = fingerprint(carrier, token)
        if self._jwks is not None:
            self._jwks.touch()
            self._follow(self._jwks)
        known = self._cache.get(mark, time.time())
        if known is not None:
            self._hits += 1
            return known
        try:
            keys = self._static if self._jwks is None else await self._keys(self._jwks, token)
            principal = verify(token, keys, self._algorithms, self._rules, carrier)
        except Refused as refused:
            return refused
        self._verified += 1
        self._cache.put(mark, principal)
        return principal

    def _follow(self, jwks: JWKS) -> None:
        """Forget tokens that were verified with keys that may have been withdrawn."""
        if self._version != jwks.version:
            self._version = jwks.version
            self._cache.clear()

    async def _keys(self, jwks: JWKS, token: str) -> list[Key]:
        now = time.time()
        kid, algorithm = header(token)
        if algorithm not in self._algorithms:
            raise Refused("InvalidAlgorithmError", "its alg is none of algorithms=")
        found = jwks.find(kid, algorithm)
        if found is None:
            await jwks.ask()
            self._follow(jwks)
            found = jwks.find(kid, algorithm)
        if found is not None:
            return found
        # Unknown is not yet wrong: the key may be newer than the cached set. A set fetched after this
        # request, or after the token was issued, is decisive.
        if jwks.knew(min(now, claimed_birth(token) + self._rules.leeway)):
            raise Refused("unknown key", "it names a key that the issuer does not publish")
        raise Unavailable(jwks.retry_after)


def revoked(request: web.Request, principal: Principal) -> Refused | None:
    """Check the application's revocations, if it keeps any, for ``principal``; return the reason if refused.

    Raises:
        Unavailable: the revocations are not loaded.
    """
    apps = request.match_info.apps  # the outermost first, whose `setup` applies
    ask = next((app[REVOKED] for app in apps if REVOKED in app), None)
    try:
        found = ask is not None and ask(principal)
    except Overloaded as error:
        retry_after = error.retry_after
    else:
        if not found:
            return None
        return Refused("revoked", found if isinstance(found, str) else "it was revoked")
    raise Unavailable(retry_after or 1.0)
