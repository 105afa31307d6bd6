"""The reason why a token is refused, in words for the developer of the application.

The client gets the same answer for every reason (`challenge`); these words go only to the log. They name the
claim and the configured value. They hold no text of the token: how long ago it expired and the JSON type of a
claim, but never the claim.

Standard: RFC 7519 §4.1 (the claims).
Never: a part of a token, of a key, or of an error's text, which may quote one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import jwt
from jwt import exceptions as failed


class Refused(Exception):
    """A token is refused.

    Args:
        kind: a fixed word or two, by which equal reasons are counted.
        words: the reason for the log; `kind` if it suffices.
    """

    def __init__(self, kind: str, words: str = "") -> None:
        super().__init__(words or kind)
        self.kind = kind


_WORDS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (failed.InvalidSignatureError, "its signature does not fit the key"),
    (failed.InvalidAlgorithmError, "its alg is none of algorithms="),
    (failed.ImmatureSignatureError, "its nbf or iat lies in the future, by more than leeway="),
    (failed.InvalidIssuedAtError, "its iat is no number of seconds"),
    (failed.InvalidAudienceError, "its aud is none of audience="),
    (failed.InvalidIssuerError, "its iss is none of issuer="),
    (failed.DecodeError, "it is no JSON Web Token, or a claim of it is of the wrong type"),
    (failed.InvalidTokenError, "its header asks for something that is not understood"),
)
_TYPES = (
    (str, "a text"),
    (bool, "a boolean"),
    (int | float, "a number"),
    (list, "a list"),
    (dict, "an object"),
)


def expired(ends: float) -> Refused:
    """The refusal of a token that expired at `ends`, in seconds of the epoch."""
    return Refused("expired", f"it expired {max(0.0, time.time() - ends):.0f} s ago")


def refused(error: jwt.PyJWTError, token: str, *, audience: bool) -> Refused:
    """The refusal for an error of PyJWT, for a token whose signature has been checked.

    Args:
        error: PyJWT's error.
        token: the token; only types and times of its claims are used.
        audience: whether the configuration names an audience.
    """
    kind = type(error).__name__
    if isinstance(error, failed.MissingRequiredClaimError):
        claim = error.claim if error.claim in ("exp", "sub", "aud", "iss") else "claim"
        return Refused(f"no {claim}", f"it has no {claim}, which is required")
    if isinstance(error, failed.ExpiredSignatureError):
        ends = _claims(token).get("exp")
        return expired(float(ends)) if isinstance(ends, int | float) else Refused("expired", "it expired")
    if isinstance(error, failed.InvalidSubjectError):
        said = kind_of(_claims(token).get("sub"))
        return Refused(kind, f"its sub is {said}, and RFC 7519 wants a text: sign the user's id as a string")
    if isinstance(error, failed.InvalidAudienceError) and not audience:
        return Refused(kind, "it has an aud, and no audience= says that this is for us")
    if isinstance(error, failed.InvalidJTIError):
        return Refused(kind, f"its jti is {kind_of(_claims(token).get('jti'))}, and RFC 7519 wants a text")
    return Refused(kind, next((words for of, words in _WORDS if isinstance(error, of)), kind))


def kind_of(value: object) -> str:
    """The type of a JSON value, in words."""
    return next((words for of, words in _TYPES if isinstance(value, of)), "null")


def _claims(token: str) -> Mapping[str, Any]:
    """The claims of a token whose signature is verified."""
    try:
        return jwt.decode(token, options={"verify_signature": False})
    except (jwt.PyJWTError, RecursionError):
        return {}
