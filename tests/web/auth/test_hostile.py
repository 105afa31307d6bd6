"""Tokens and headers that no issuer would make: never an exception of any other kind, never a principal."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from rx_sse.web.auth.credentials import MAX_TOKEN, find_credential
from rx_sse.web.auth.keys import Key, checked_algorithms, key_set, static_key
from rx_sse.web.auth.reasons import Refused
from rx_sse.web.auth.verify import Rules, claimed_birth, header, verify
from rx_sse.web.principal import Principal

from .support import SECRET, ec_key, ed_key, jwk, rsa_key, token, with_signature

RULES = Rules(None, None, 5.0)
HMAC = checked_algorithms("HS256", public=False)
PUBLIC = checked_algorithms(["RS256", "ES256", "EdDSA"], public=True)
KEYS: list[tuple[Key, frozenset[str]]] = [
    (static_key(SECRET, HMAC), HMAC),
    *((key, PUBLIC) for key in key_set({"keys": [jwk(rsa_key()), jwk(ec_key()), jwk(ed_key())]})),
]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
headers = st.fixed_dictionaries(
    {"alg": st.sampled_from(["HS256", "RS256", "ES256", "EdDSA", "none", ""]) | values},
    optional={name: values for name in ("kid", "typ", "crit", "b64", "jku", "jwk", "zip", "cty")},
)
claims = st.dictionaries(
    st.sampled_from(["sub", "exp", "iat", "nbf", "aud", "iss", "jti", "scope", "scp", "x"]), values
)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def judge(text: str) -> list[Principal]:
    """The principal that any key admits; any error but a refusal propagates."""
    let_in: list[Principal] = []
    claimed_birth(text)
    with suppress(Refused):
        header(text)
    for key, algorithms in KEYS:
        try:
            let_in.append(verify(text, [key], algorithms, RULES, "header"))
        except Refused as refused:
            assert refused.__suppress_context__ or refused.__context__ is None
    return let_in


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=200))
def test_any_ascii(text: str) -> None:
    assert judge(text) == []


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=5))
def test_any_parts(parts: list[bytes]) -> None:
    assert judge(".".join(map(b64, parts))) == []


@given(headers, claims, st.binary(max_size=300))
def test_any_header_and_claims_with_any_signature(
    head: dict[str, Any], body: dict[str, Any], mac: bytes
) -> None:
    assert judge(".".join(map(b64, (json.dumps(head).encode(), json.dumps(body).encode(), mac)))) == []


@given(claims)
def test_any_claims_of_a_trusted_issuer(body: dict[str, Any]) -> None:
    """Signed with the right key: let in only with a user and an end that are what they should be."""
    bare = f"{b64(json.dumps({'alg': 'HS256'}).encode())}.{b64(json.dumps(body).encode())}"
    for who in judge(with_signature(bare, SECRET)):
        assert who.user and who.user == body["sub"]
        assert who.user.encode()
        assert isinstance(who.expires_at, float) and who.expires_at == body["exp"]
        assert who.issued_at is None or isinstance(who.issued_at, float)
        assert who.token_id is None or isinstance(who.token_id, str)
        assert all(isinstance(scope, str) for scope in who.scopes)
        hash(who)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_bit_of_a_good_token_may_change(position: int, flip: int) -> None:
    good = token()
    at = position % len(good)
    changed = good[:at] + chr((ord(good[at]) ^ flip) & 127) + good[at + 1 :]
    assert judge(changed) == [] or changed == good


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Authorization", "Cookie", "Origin"]),
            st.text(max_size=30)
            | st.text(max_size=30).map("Bearer {}".format)
            | st.text().map("__Host-s={}".format),
        ),
        max_size=5,
    )
)
def test_any_headers(lines: list[tuple[str, str]]) -> None:
    found = find_credential(CIMultiDict(lines), "__Host-s")
    if found is not None and found.token is not None:
        assert found.token.isascii() and 0 < len(found.token) <= MAX_TOKEN


def test_what_the_configuration_does_not_allow_no_key_makes_good() -> None:
    (key,) = key_set({"keys": [jwk(rsa_key())]})
    assert {"RS256", "RS384"} < key.algorithms
    assert verify(token(rsa_key(), "RS256"), [key], PUBLIC, RULES, "header").user == "7"
    with pytest.raises(Refused, match="its alg"):
        verify(token(rsa_key(), "RS384"), [key], PUBLIC, RULES, "header")


def test_the_judge_lets_a_good_token_in() -> None:
    assert [who.user for who in judge(token())] == ["7"]
    assert [who.user for who in judge(token(ec_key(), "ES256"))] == ["7"]
    with pytest.raises(Refused):
        header("")
