"""A configuration that is not safe does not start, and says why without saying the key."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from rx_sse.errors import UsageError
from rx_sse.web.auth.authenticator import JWTAuth
from rx_sse.web.auth.jwks import JWKS

from .support import SECRET, asking, ec_key, ed_key, pem, rsa_key, token

URL = "https://issuer.example/jwks.json"


def private_pem(key: Any) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def der(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def ssh(key: Any) -> bytes:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)


UNSAFE: dict[str, tuple[dict[str, Any], str]] = {
    "no key": ({"algorithms": "HS256"}, "key= or jwks_url="),
    "two sources of keys": ({"key": SECRET, "jwks_url": URL, "algorithms": "HS256"}, "not both"),
    "no algorithm": ({"key": SECRET, "algorithms": []}, "is empty"),
    "none": ({"key": SECRET, "algorithms": ["none"]}, "'none'"),
    "none beside another": ({"key": SECRET, "algorithms": ["HS256", "none"]}, "'none'"),
    "None": ({"key": SECRET, "algorithms": ["None"]}, "'None'"),
    "an unknown algorithm": ({"key": SECRET, "algorithms": ["HS1"]}, "known are HS256"),
    "HMAC beside RSA": ({"key": SECRET, "algorithms": ["HS256", "RS256"]}, "one type of key"),
    "HMAC from a key set": ({"jwks_url": URL, "algorithms": ["HS256"]}, "one type of key"),
    "HMAC with an RSA PEM": ({"key": pem(rsa_key()), "algorithms": "HS256"}, "not a PEM"),
    "HMAC with an EC PEM": ({"key": pem(ec_key()), "algorithms": "HS256"}, "not a PEM"),
    "HMAC with a private PEM": ({"key": private_pem(rsa_key()), "algorithms": "HS256"}, "not a PEM"),
    "HMAC with DER": ({"key": der(rsa_key()), "algorithms": "HS256"}, "not a PEM"),
    "HMAC with SSH": ({"key": ssh(rsa_key()), "algorithms": "HS256"}, "not a PEM"),
    "HMAC with a JWK": ({"key": '{"kty":"oct","k":"' + SECRET + '"}', "algorithms": "HS256"}, "or a JWK"),
    "HMAC with a key object": ({"key": rsa_key().public_key(), "algorithms": "HS256"}, "not a key for HS256"),
    "an empty secret": ({"key": "", "algorithms": "HS256"}, "not a key for HS256"),
    "a short secret": ({"key": SECRET[:31], "algorithms": "HS256"}, "31 bytes long"),
    "a secret short for one of two": (
        {"key": SECRET, "algorithms": ["HS256", "HS512"]},
        "too short for HS512",
    ),
    "a secret where a PEM is meant": ({"key": SECRET, "algorithms": "RS256"}, "BEGIN PUBLIC KEY"),
    "a PEM of another type": ({"key": pem(ec_key()), "algorithms": "RS256"}, "not a key for RS256"),
    "a PEM of another curve": (
        {"key": pem(ec.generate_private_key(ec.SECP384R1())), "algorithms": "ES256"},
        "not a key for ES256",
    ),
    "algorithms of two curves": ({"key": pem(ec_key()), "algorithms": ["ES256", "ES384"]}, "one curve"),
    "a private RSA key": ({"key": private_pem(rsa_key()), "algorithms": "RS256"}, "private key"),
    "a private EC key": ({"key": private_pem(ec_key()), "algorithms": "ES256"}, "private key"),
    "a private Ed25519 key": ({"key": private_pem(ed_key()), "algorithms": "EdDSA"}, "private key"),
    "a private key object": ({"key": rsa_key(), "algorithms": "RS256"}, "private key"),
    "a short RSA key": (
        {"key": pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)), "algorithms": "RS256"},
        "1024 bits long",
    ),
    "a broken PEM": ({"key": pem(rsa_key())[:200], "algorithms": "RS256"}, "not a key for RS256"),
    "a number": ({"key": 7, "algorithms": "HS256"}, "not a key for HS256"),
    "an empty audience": ({"key": SECRET, "algorithms": "HS256", "audience": ""}, "audience=''"),
    "no audience in a list": ({"key": SECRET, "algorithms": "HS256", "audience": []}, "audience="),
    "an empty issuer": ({"key": SECRET, "algorithms": "HS256", "issuer": [""]}, "issuer="),
    "leeway below zero": ({"key": SECRET, "algorithms": "HS256", "leeway": -1.0}, "leeway=-1.0"),
    "endless leeway": ({"key": SECRET, "algorithms": "HS256", "leeway": float("inf")}, "leeway=inf"),
    "a cookie without a prefix": ({"key": SECRET, "algorithms": "HS256", "cookie": "session"}, "__Host-"),
    "a cookie that is a prefix": ({"key": SECRET, "algorithms": "HS256", "cookie": "__Host-"}, "__Host-"),
    "a cookie in small letters": ({"key": SECRET, "algorithms": "HS256", "cookie": "__host-a"}, "__Host-"),
    "a cookie that is no name": (
        {"key": SECRET, "algorithms": "HS256", "cookie": "__Host-a b"},
        "not the name",
    ),
    "leeway that is none": (
        {"key": SECRET, "algorithms": "HS256", "leeway": None},
        "leeway=None must be",
    ),
    "algorithms that are none": ({"key": SECRET, "algorithms": None}, "algorithms= holds None"),
    "a number as audience": (
        {"key": SECRET, "algorithms": "HS256", "audience": 7},
        "audience=7 must",
    ),
    "a cookie that is a number": ({"key": SECRET, "algorithms": "HS256", "cookie": 7}, "cookie=7 is not"),
    "keys from a number": ({"jwks_url": 7, "algorithms": "RS256"}, "jwks_url= is a int, no https URL"),
    "a URL with a password": (
        {"jwks_url": "ftp://me:s3c:1/ret@issuer/keys?key=s3cret", "algorithms": "RS256"},
        r"jwks_url='ftp://…@issuer/keys\?…' is no https URL",
    ),
    "the key for an algorithm": ({"key": b"HS256", "algorithms": SECRET}, "algorithms= holds something that"),
    "keys over plain http": ({"jwks_url": "http://issuer.example/jwks", "algorithms": "RS256"}, "plain http"),
    "keys from a file": ({"jwks_url": "file:///etc/keys", "algorithms": "RS256"}, "no https URL"),
    "keys from a path": ({"jwks_url": "/jwks.json", "algorithms": "RS256"}, "no https URL"),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_what_is_not_safe_does_not_start(name: str) -> None:
    options, why = UNSAFE[name]
    with pytest.raises(UsageError, match=why) as refusal:
        JWTAuth(**options)
    told = f"{refusal.value!r} {refusal.value.__cause__!r}"
    key = options.get("key")
    if isinstance(key, str) and key:
        assert key not in told
    assert SECRET[:16] not in told
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@pytest.mark.parametrize(
    "options",
    [
        {"key": SECRET, "algorithms": "HS256"},
        {"key": SECRET.encode(), "algorithms": {"HS256"}},
        {"key": pem(rsa_key()), "algorithms": ("RS256", "PS256")},
        {"key": rsa_key().public_key(), "algorithms": "RS256"},
        {"key": ssh(rsa_key()), "algorithms": "RS256"},
        {"key": pem(ec_key()), "algorithms": "ES256"},
        {"key": pem(ed_key()), "algorithms": "EdDSA"},
        {"key": SECRET, "algorithms": "HS256", "cookie": "__Host-session"},
        {"key": SECRET, "algorithms": "HS256", "cookie": "__Secure-session"},
        {"key": SECRET, "algorithms": "HS256", "cookie": "session", "insecure_http": True},
        {"jwks_url": URL, "algorithms": ["RS256", "ES256"]},
        {"jwks_url": "http://localhost:8080/jwks", "algorithms": "RS256"},
        {"jwks_url": "http://127.0.0.1/jwks", "algorithms": "RS256"},
        {"jwks_url": "http://[::1]/jwks", "algorithms": "RS256"},
        {"jwks_url": "http://issuer.internal/jwks", "algorithms": "RS256", "insecure_http": True},
        {"jwks_url": JWKS(URL, refresh=60), "algorithms": "EdDSA"},
    ],
)
def test_what_is_safe_starts(options: dict[str, Any]) -> None:
    JWTAuth(**options)


@pytest.mark.parametrize("name", ["refresh", "cooldown", "max_age", "timeout"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), None, "60"])
def test_times_of_a_key_set_are_positive(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=name):
        JWKS(URL, **{name: value})


async def test_a_cookie_without_its_prefix_is_for_development() -> None:
    auth = JWTAuth(key=SECRET, algorithms="HS256", cookie="session", insecure_http=True)
    async with asking(auth) as client:
        assert await client.status(Cookie=f"session={token()}") == 200
