"""The keys that verify tokens, and the algorithms that each of them may be used for.

A `Key` is bound to its algorithms when it is made: by the configuration and by the key itself (its type, its
curve, its ``alg``). A token's header can select among them and never add one, which prevents a public key
from being used as an HMAC secret (RFC 8725 §2.1, §3.1).

Standard: RFC 7517 (JWK, JWK Set), RFC 7518 §3.1 (algorithms), RFC 8037 (EdDSA).
Never: it accepts ``none``, a public secret (an ``oct`` key in a key set), a private key in place of a public
one, or a key that is too short; and no key is part of a repr or an error.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import jwt

from rx_sse.errors import UsageError

logger = logging.getLogger(__name__)

# The keys that an algorithm works with: the type, and for elliptic curves the curve.
_FAMILY = {
    **dict.fromkeys(("HS256", "HS384", "HS512"), ("oct", None)),
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "ES256K": ("EC", "secp256k1"),
    "EdDSA": ("OKP", None),
}
MAX_KEYS = 32
"""Keys of a set that are used. Issuers publish two to four; a token without ``kid`` is tried with every
one."""

LONGEST_NAME = 16
"""Characters of an algorithm's name; no key that is accepted is so short."""

# The members that identify a key of a set. The others (certificates, say) may change under open streams.
_IDENTITY = ("kty", "kid", "alg", "crv", "x", "y", "n", "e")


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """One key. Two keys are equal only if they are the same object; a refreshed set keeps its objects.

    Args:
        material: the key object for PyJWT.
        algorithms: the algorithms that it may be used for.
        kid: its name in a key set.
        identity: all members that identify it.
    """

    material: Any = field(repr=False)
    algorithms: frozenset[str]
    kid: str | None = None
    identity: str = field(default="", repr=False)


class BadKeySet(ValueError):
    """A document is not a usable key set. The message quotes nothing of it."""


def checked_algorithms(algorithms: str | Iterable[str], *, public: bool) -> frozenset[str]:
    """Return the algorithms that tokens may be signed with.

    Args:
        algorithms: one name or several, all for one type of key.
        public: the keys come from a key set, which anyone can read.

    Raises:
        UsageError: none is given, one is unknown, is ``none``, needs cryptography, or does not go with the
            others.
    """
    several = isinstance(algorithms, Iterable) and not isinstance(algorithms, str)
    names: tuple[str, ...] = tuple(algorithms) if several else (cast(str, algorithms),)
    if not names:
        raise UsageError("algorithms= is empty: name what your issuer signs with, as in algorithms=['RS256']")
    for name in names:
        if name not in _FAMILY:
            # A long one is not shown: it may be the key, given in the wrong place.
            said = repr(name) if len(str(name)) <= LONGEST_NAME else "something that is no name"
            raise UsageError(f"algorithms= holds {said}; known are {', '.join(_FAMILY)}")
        try:
            jwt.get_algorithm_by_name(name)
        except NotImplementedError:
            raise UsageError(f"{name} needs cryptography: pip install cryptography") from None
    types = {_FAMILY[name][0] for name in names}
    if "oct" in types and (public or len(types) > 1):
        raise UsageError(
            f"algorithms={sorted(names)} lets an HMAC secret stand beside public keys, so that a public key "
            "could be used as the secret: name the algorithms of one type of key"
        )
    return frozenset(names)


def static_key(key: object, algorithms: frozenset[str]) -> Key:
    """Return the one key of a configuration.

    Args:
        key: an HMAC secret, or a public key: PEM, or an object of cryptography.
        algorithms: what it is used for, as `checked_algorithms` returns it.

    Raises:
        UsageError: it is not a key for these algorithms, is too short, or is private.
    """
    material = key
    for name in sorted(algorithms):
        algorithm = jwt.get_algorithm_by_name(name)
        try:
            material = algorithm.prepare_key(key)
            short = algorithm.check_key_length(material)
        except (
            Exception
        ) as error:  # whatever the parsers of key formats raise; their texts may hold key material
            raise UsageError(
                f"key= is not a key for {name} ({type(error).__name__}); {_EXPECTED[_FAMILY[name][0]]}"
            ) from None
        if short:
            raise UsageError(f"key= is too short for {name}: {short}")
    if hasattr(material, "private_bytes"):
        raise UsageError("key= is a private key: verifying tokens needs only the public key")
    return Key(material, algorithms)


_EXPECTED = {
    "oct": "give a secret of random bytes, not a PEM, a certificate or a JWK",
    "RSA": "give a public RSA key, as PEM (BEGIN PUBLIC KEY)",
    "EC": "give a public key of its curve, as PEM (BEGIN PUBLIC KEY); all algorithms must share one curve",
    "OKP": "give a public Ed25519 or Ed448 key, as PEM (BEGIN PUBLIC KEY)",
}


def key_set(document: object) -> list[Key]:
    """Return the usable keys of a JWK Set. Keys for other uses, and unusable keys, are left out.

    Args:
        document: the issuer's document, parsed.

    Raises:
        BadKeySet: it is not a JWK Set, or holds no usable key.
    """
    members = cast("Mapping[str, Any]", document).get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise BadKeySet("not a JWK Set")
    found = [
        key for member in cast("list[object]", members)[:MAX_KEYS] if (key := _from_jwk(member)) is not None
    ]
    if not found:
        raise BadKeySet("a JWK Set without a usable key")
    return found


def _from_jwk(member: object) -> Key | None:
    if not isinstance(member, dict):
        return None
    jwk = cast("dict[str, Any]", member)
    kid, operations = jwk.get("kid"), jwk.get("key_ops")
    if (
        not (kid is None or isinstance(kid, str))
        or jwk.get("use", "sig") != "sig"
        or not (operations is None or (isinstance(operations, list) and "verify" in operations))
    ):
        return None
    if "d" in jwk:
        logger.warning("a key set publishes a private key; it is not used")
        return None
    material, algorithms = None, set[str]()
    for name, (kind, curve) in _FAMILY.items():
        if (
            kind == "oct"
            or jwk.get("kty") != kind
            or curve not in (None, jwk.get("crv"))
            or jwk.get("alg", name) != name
        ):
            continue
        try:
            algorithm = jwt.get_algorithm_by_name(name)
            material = algorithm.from_jwk(jwk)
            if not algorithm.check_key_length(material):
                algorithms.add(name)
        except Exception:  # any error that the parsers of key formats raise on hostile input
            return None
    if not algorithms:
        return None
    identity = json.dumps([jwk.get(name) for name in _IDENTITY])
    return Key(material, frozenset(algorithms), kid, identity)
