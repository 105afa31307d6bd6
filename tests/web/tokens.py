"""Tokens for the tests of the web edge."""

from __future__ import annotations

import time
from typing import Any

import jwt

import rx_sse

KEY = "a secret of thirty-two bytes, or more"


def token(user: str = "ada", seconds: float = 3600.0, **claims: Any) -> str:
    """A token of `user` for so many seconds; an hour outlives any run of the tests."""
    now = time.time()
    return jwt.encode({"sub": user, "iat": now, "exp": now + seconds, **claims}, KEY, algorithm="HS256")


def bearer(user: str = "ada", seconds: float = 3600.0, **claims: Any) -> dict[str, str]:
    """The header that carries such a token."""
    return {"Authorization": f"Bearer {token(user, seconds, **claims)}"}


def jwt_auth() -> rx_sse.JWTAuth:
    """An authenticator that takes them."""
    return rx_sse.JWTAuth(key=KEY, algorithms="HS256")
