"""From a token to its principal, or the reason why it is refused.

Requirements for every token, beyond its signature: an ``exp`` in the future, a ``sub`` that is a non-empty
string, the audience and the issuer of the configuration, and claims of the right type. A token with an
``aud`` is refused where no audience is configured: it was issued for some audience, and none is configured
here (RFC 7519 §4.1.3).

Standard: RFC 7519 §4.1, RFC 8725; scopes from ``scope`` (RFC 8693 §4.2) or else ``scp``.
Never: an exception or a log of this module holds a part of a token.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

import jwt

from rx_sse.arguments import seconds
from rx_sse.errors import UsageError
from rx_sse.web.auth.keys import Key
from rx_sse.web.auth.reasons import Refused, expired, kind_of, refused
from rx_sse.web.principal import Carrier, Principal

_YEAR_10000 = 253_402_300_800.0  # datetime ends before it


@dataclass(frozen=True, slots=True)
class Rules:
    """The required claims of a token.

    Args:
        audience: one of these must be in ``aud``; None: the token must have none.
        issuer: ``iss`` must be one of these; None: not checked.
        leeway: seconds by which the issuer's clock may be ahead of this machine's (``nbf``, ``iat``).
        max_life: seconds between ``iat`` and ``exp``; None: not checked. With it, ``aud`` must be a single
            string.
    """

    audience: tuple[str, ...] | None
    issuer: tuple[str, ...] | None
    leeway: float
    max_life: float | None = None

    def __post_init__(self) -> None:
        seconds("leeway", self.leeway)


def texts(name: str, given: str | Iterable[str] | None) -> tuple[str, ...] | None:
    """Return one string or several as a tuple.

    Raises:
        UsageError: there is none, or an empty one, which an unset variable gives.
    """
    if given is None:
        return None
    found = (given,) if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
    if not found or not all(isinstance(text, str) and text for text in cast("tuple[object, ...]", found)):
        raise UsageError(
            f"{name}={given!r} must be a text or several, none of them empty; leave it out for none"
        )
    return found


def header(token: str) -> tuple[object, str]:
    """Return the ``kid`` and ``alg`` of a token's header, unverified: only for selecting among known keys.

    Raises:
        Refused: it is not a token.
    """
    try:
        found = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise refused(error, token, audience=True) from None
    algorithm = found.get("alg")
    if not isinstance(algorithm, str):
        raise Refused("no alg", "its header names no alg")
    return found.get("kid"), algorithm


def claimed_birth(token: str) -> float:
    """Return the ``iat`` of a token, unverified; infinity if it has none."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
        return _seconds(claims, "iat") or math.inf
    except (jwt.PyJWTError, Refused):
        return math.inf


def verify(
    token: str, keys: Sequence[Key], algorithms: frozenset[str], rules: Rules, carrier: Carrier
) -> Principal:
    """Return the principal of a token.

    Args:
        token: the value of the carrier.
        keys: the keys that may have signed it.
        algorithms: the algorithms of the configuration.
        rules: the required claims.
        carrier: the carrier of the token.

    Raises:
        Refused: it is not valid.
    """
    reason = Refused("unknown key", "no key that it names is known")
    for key in keys:
        try:
            claims = jwt.decode(
                token,
                key.material,
                algorithms=sorted(key.algorithms & algorithms),
                audience=rules.audience,
                issuer=rules.issuer,
                leeway=rules.leeway,
                options={
                    "require": ["exp", "sub"],
                    "enforce_minimum_key_length": True,
                },
            )
            return _principal(claims, key, rules, carrier)
        except jwt.InvalidSignatureError as error:
            reason = refused(error, token, audience=True)  # another key of this name may verify it
        except jwt.PyJWTError as error:
            raise refused(error, token, audience=rules.audience is not None) from None
        except RecursionError:
            raise Refused("nested too deeply", "its JSON is nested too deeply") from None
    raise reason


def _principal(claims: dict[str, Any], key: Key, rules: Rules, carrier: Carrier) -> Principal:
    user, ends, made = claims["sub"], _seconds(claims, "exp"), _seconds(claims, "iat")
    if not user or not _encodable(user):
        raise Refused("bad sub", "its sub is empty, or half of a character")
    # Without the leeway that PyJWT granted: a stream ends at `exp`, so none may begin after it.
    if ends is None or ends <= time.time():
        raise expired(ends or 0.0)
    if rules.max_life is not None:
        if made is None or ends - made > rules.max_life:
            raise Refused("lives too long", "it lives longer than lifetime=, or has no iat")
        if not isinstance(claims["aud"], str):
            raise Refused("more than one audience", "its aud is a list, so it is no ticket")
    return Principal(
        user=user,
        scopes=_scopes(claims.get("scope", claims.get("scp"))),
        claims=_frozen(claims),
        expires_at=ends,
        token_id=claims.get("jti") or None,
        issued_at=made,
        carrier=carrier,
        voucher=key,
    )


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a NumericDate. PyJWT accepts a string for one too, and any size."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _YEAR_10000:
        raise Refused(f"bad {name}", f"its {name} is {_wrong(value)}")
    return float(value)


def _wrong(value: object) -> str:
    return "a number that is no time" if kind_of(value) == "a number" else f"{kind_of(value)}, no number"


def _encodable(text: str) -> bool:
    # "\ud800" is a string in JSON and in Python, and nowhere else: not in UTF-8, not in Redis.
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _scopes(value: object) -> frozenset[str]:
    if isinstance(value, str):
        return frozenset(value.split())
    if isinstance(value, list):
        return frozenset(scope for scope in cast("list[object]", value) if isinstance(scope, str))
    return frozenset()


def _frozen(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return immutable JSON: one principal serves many requests."""
    return MappingProxyType({name: _frozen_value(value) for name, value in claims.items()})


def _frozen_value(value: Any) -> Any:
    match value:
        case dict():
            return _frozen(cast("dict[str, Any]", value))
        case list():
            return tuple(_frozen_value(item) for item in cast("list[object]", value))
        case _:
            return value
