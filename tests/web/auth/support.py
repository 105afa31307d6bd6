"""Keys, tokens, an application that asks who is there, and an issuer that can be told to fail in every
way."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import jwt
from aiohttp import ClientResponse, ClientSession, web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from rx_sse.web.auth.authenticator import JWTAuth
from rx_sse.web.auth.jwks import JWKS
from rx_sse.web.origin import ALLOW_ORIGINS
from rx_sse.web.principal import Principal

SECRET = "0123456789abcdef0123456789abcdef"
OTHER_SECRET = "fedcba9876543210fedcba9876543210"
REFUSED = "401: Unauthorized"
NO_CREDENTIALS = 'Bearer realm="rx_sse"'
INVALID_TOKEN = 'Bearer realm="rx_sse", error="invalid_token"'

minted: list[str] = []
"""Every token of the current test; the fixture `nothing_logged` empties it and looks for its entries in the
log."""


@cache
def rsa_key(name: str = "a") -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def ec_key(name: str = "a") -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def ed_key(name: str = "a") -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def pem(key: Any) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def token(key: Any = SECRET, algorithm: str = "HS256", *, kid: str | None = None, **claims: Any) -> str:
    """A token for user 7 that lives a minute, with `claims` on top; a claim that is None is left out."""
    now = int(time.time())
    payload = {"sub": "7", "iat": now, "exp": now + 60} | claims
    payload = {name: value for name, value in payload.items() if value is not None}
    return keep(jwt.encode(payload, key, algorithm, headers={"kid": kid} if kid else None))


def forged(header: object, payload: object, signature: bytes = b"") -> str:
    """A token with any header, payload and signature at all."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    return keep(".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (*parts, signature)))


def with_signature(bare: str, secret: str) -> str:
    """Header and payload as they are, signed with any text at all; PyJWT refuses to use a public key so."""
    signature = hmac.digest(secret.encode(), bare.encode(), "sha256")
    return keep(f"{bare}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}")


def keep(token: str) -> str:
    minted.append(token)
    return token


def jwk(key: Any, **members: Any) -> dict[str, Any]:
    """The public half of a key as an issuer publishes it."""
    public = key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        made = RSAAlgorithm.to_jwk(public, as_dict=True)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        made = ECAlgorithm.to_jwk(public, as_dict=True)
    else:
        made = OKPAlgorithm.to_jwk(public, as_dict=True)
    return made | members


@asynccontextmanager
async def serving(app: web.Application, **options: Any) -> AsyncGenerator[str, None]:
    """The URL of an application on a real socket, with the defaults of production."""
    runner = web.AppRunner(app, **options)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


Auth = Callable[[web.Request], Awaitable[Principal]]


def whoami(auth: Auth, *, allow_origins: tuple[str, ...] = ()) -> web.Application:
    """An application whose one ordinary handler answers with the principal, for any method."""

    async def handler(request: web.Request) -> web.Response:
        who = await auth(request)
        return web.json_response(
            {
                "user": who.user,
                "scopes": sorted(who.scopes),
                "carrier": who.carrier,
                "expires_at": who.expires_at,
                "issued_at": who.issued_at,
                "token_id": who.token_id,
            }
        )

    app = web.Application()
    app[ALLOW_ORIGINS] = frozenset(allow_origins)
    app.router.add_route("*", "/", handler)
    return app


class Client:
    """Asks `whoami` with a token in the header, or with whatever headers a test gives."""

    def __init__(self, session: ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def ask(
        self, token: str | None = None, *, method: str = "GET", query: str = "", **headers: str
    ) -> tuple[int, Any, ClientResponse]:
        """Status, body (JSON if it is 200, else text) and the response."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        async with self._session.request(method, self.url + query, headers=sent) as response:
            body = await (response.json() if response.status == 200 else response.text())
            return response.status, body, response

    async def status(self, token: str | None = None, **rest: Any) -> int:
        return (await self.ask(token, **rest))[0]

    async def says(self, status: int, token: str) -> bool:
        return await self.status(token) == status

    async def user(self, token: str, **rest: Any) -> str:
        status, body, _ = await self.ask(token, **rest)
        assert status == 200, body
        return body["user"]


@asynccontextmanager
async def asking(app_or_auth: web.Application | Auth, **options: Any) -> AsyncGenerator[Client, None]:
    app = app_or_auth if isinstance(app_or_auth, web.Application) else whoami(app_or_auth)
    async with serving(app, **options) as url, ClientSession() as session:
        yield Client(session, url + "/")


async def send(url: str, *lines: bytes, method: bytes = b"GET") -> tuple[int, bytes]:
    """Status and body for header lines as they are: twice the same, beyond ASCII, anything."""
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"\r\n".join([method + b" / HTTP/1.1", b"Host: x", b"Connection: close", *lines, b"", b""]))
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


async def until(condition: Callable[[], bool | Awaitable[bool]], timeout: float = 20.0) -> None:
    """Wait until something has come true that depends on the clock or a socket, and has no event to wait
    for."""
    async with asyncio.timeout(timeout):
        while True:
            met = condition()
            if met if isinstance(met, bool) else await met:
                return
            await asyncio.sleep(0.005)


class Issuer:
    """Publishes keys on a real socket. `answer` replaces its good behaviour."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.keys = list(keys)
        self.asked = 0
        self.answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
        self.hanging = asyncio.Event()
        """Set when a request hangs."""
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.answer is not None:
            return await self.answer(request)
        return web.json_response({"keys": self.keys})

    def lie(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(body=body, status=status, headers=headers)

        self.answer = answer

    def fail(self) -> None:
        self.lie(b"out of order", 500)

    def hang(self) -> None:
        async def answer(_: web.Request) -> web.Response:
            self.hanging.set()
            await asyncio.Event().wait()
            raise AssertionError

        self.answer = answer

    def recover(self) -> None:
        self.answer = None


@asynccontextmanager
async def issuing(*keys: dict[str, Any]) -> AsyncGenerator[Issuer, None]:
    issuer = Issuer(*keys)
    app = web.Application()
    app.router.add_get("/jwks.json", issuer.handle)
    app.router.add_get("/elsewhere", issuer.handle)
    # A hanging answer must not hold up the end of the test.
    async with serving(app, handler_cancellation=True, shutdown_timeout=0.1) as url:
        issuer.url = url + "/jwks.json"
        yield issuer


A, B = jwk(rsa_key("a"), kid="a"), jwk(rsa_key("b"), kid="b")


def by(kid: str | None, key: str | None = None, **claims: Any) -> str:
    """A token of the key `kid`, or of another one under its name."""
    return token(rsa_key(key or kid or "a"), "RS256", kid=kid, **claims)


def trusting(issuer: Issuer, *, algorithms: Any = "RS256", **times: Any) -> JWTAuth:
    return JWTAuth(jwks_url=JWKS(issuer.url, **times), algorithms=algorithms)


def jwks_of(auth: JWTAuth) -> JWKS:
    found = vars(auth)["_jwks"]
    assert isinstance(found, JWKS)
    return found
