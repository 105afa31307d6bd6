"""What is taken from the document of an issuer, and what is left."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from rx_sse.web.auth.keys import MAX_KEYS, BadKeySet, key_set

from .support import ec_key, ed_key, jwk, rsa_key

RSA_ALGORITHMS = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
GOOD = jwk(rsa_key(), kid="good")


def algorithms(member: object) -> set[str] | None:
    """What one member may be used for; None if it is left out (another one keeps the set usable)."""
    found = key_set({"keys": [GOOD, member]})
    assert found[0].kid == "good"
    return set(found[1].algorithms) if len(found) > 1 else None


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (jwk(rsa_key("b"), kid="b"), RSA_ALGORITHMS),
        (jwk(rsa_key("b"), kid="b", alg="RS256"), {"RS256"}),
        (jwk(rsa_key("b"), kid="b", use="sig", key_ops=["verify"]), RSA_ALGORITHMS),
        (jwk(rsa_key("b")), RSA_ALGORITHMS),
        (jwk(ec_key(), kid="b"), {"ES256"}),
        (jwk(ec.generate_private_key(ec.SECP384R1()), kid="b"), {"ES384"}),
        (jwk(ec.generate_private_key(ec.SECP521R1()), kid="b"), {"ES512"}),
        (jwk(ed_key(), kid="b"), {"EdDSA"}),
        # Not for verifying.
        (jwk(rsa_key("b"), use="enc"), None),
        (jwk(rsa_key("b"), key_ops=["encrypt"]), None),
        (jwk(rsa_key("b"), key_ops="verify"), None),
        # What the key is and what it says it is for do not go together.
        (jwk(rsa_key("b"), alg="ES256"), None),
        (jwk(rsa_key("b"), alg="HS256"), None),
        (jwk(rsa_key("b"), alg="none"), None),
        (jwk(rsa_key("b"), alg=["RS256"]), None),
        (jwk(rsa_key("b"), alg="RSA-OAEP"), None),
        (jwk(ec_key(), alg="ES384"), None),
        (jwk(ec_key(), crv="P-384"), None),
        # Secrets that are public.
        (
            {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "kid": "b", "alg": "HS256"},
            None,
        ),
        (jwk(rsa_key("b")) | {"d": "AQAB"}, None),
        # Weak, broken, strange.
        (jwk(rsa.generate_private_key(public_exponent=65537, key_size=1024)), None),
        (jwk(rsa_key("b"), kid=7), None),
        (jwk(rsa_key("b"), n=7), None),
        (jwk(rsa_key("b"), n=""), None),
        (jwk(rsa_key("b"), e="AA"), None),
        (jwk(rsa_key("b"), n="é"), None),
        (jwk(ec_key(), x="AAAA"), None),
        (jwk(ec_key(), y=jwk(ec_key())["x"]), None),
        (jwk(ed_key(), x="AAAA"), None),
        (jwk(ed_key(), crv="X25519"), None),
        ({"kty": "RSA"}, None),
        ({"kty": ["RSA"]}, None),
        ({"kty": None}, None),
        ({}, None),
        ("RSA", None),
        (None, None),
        ([GOOD], None),
    ],
)
def test_members(member: object, expected: set[str] | None) -> None:
    assert algorithms(member) == expected


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "keys",
        {},
        {"keys": []},
        {"keys": {}},
        {"keys": None},
        {"keys": "RSA"},
        [GOOD],
        {"keys": [{"kty": "oct", "k": "AAAA"}]},
        {"keys": [None, 1, "x", []]},
        GOOD,
    ],
)
def test_a_document_without_a_usable_key_is_an_error(document: object) -> None:
    with pytest.raises(BadKeySet):
        key_set(document)


def test_a_published_private_key_is_not_used_and_told(caplog: pytest.LogCaptureFixture) -> None:
    assert algorithms(jwk(rsa_key("b")) | {"d": "AQAB"}) is None
    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
        (logging.WARNING, "a key set publishes a private key; it is not used")
    ]


def test_keys_of_one_name_are_all_kept_and_there_is_a_limit() -> None:
    both = key_set({"keys": [jwk(rsa_key(), kid="a"), jwk(rsa_key("b"), kid="a")]})
    assert [key.kid for key in both] == ["a", "a"]
    assert len(key_set({"keys": [GOOD] * (MAX_KEYS + 10)})) == MAX_KEYS


def test_a_key_does_not_show_itself() -> None:
    (key,) = key_set({"keys": [GOOD]})
    assert GOOD["n"] not in repr(key)
    assert "RSAPublicKey" not in repr(key)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(
    base=st.sampled_from([GOOD, jwk(ec_key()), jwk(ed_key()), {}]),
    changed=st.dictionaries(
        st.sampled_from(["kty", "kid", "alg", "crv", "use", "key_ops", "n", "e", "x", "y", "d"]), json_values
    ),
)
def test_no_member_can_break_the_reading(base: dict[str, Any], changed: dict[str, Any]) -> None:
    found = key_set({"keys": [GOOD, base | changed]})
    assert found[0].kid == "good"
    for key in found:
        assert key.algorithms and not any(name.startswith("HS") or name == "none" for name in key.algorithms)
