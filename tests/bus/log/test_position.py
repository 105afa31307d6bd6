from __future__ import annotations

import gc
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rx_sse.bus.log.position import (
    LIVE_ONLY,
    MAX_TOPICS,
    Position,
    cursor_of,
    new_nonce,
    new_position,
    nonce_of,
    parse,
    part_of,
    position_in,
    ref_of,
    seq_of,
)

POSITIONS = st.builds(new_position, st.integers(0, 2**53 - 1), st.integers(0, 2**48 - 1))
REFS = st.text("0123456789ABCabc", min_size=6, max_size=6)


@given(st.dictionaries(REFS, POSITIONS, min_size=1, max_size=MAX_TOPICS))
def test_what_was_written_is_read(positions: dict[str, Position]) -> None:
    text = cursor_of(part_of(ref, position) for ref, position in positions.items())
    assert parse(text) == {ref: (position, None) for ref, position in positions.items()}
    assert set(text) <= set("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-")


@given(st.text() | st.from_regex(r"1(_[0-9a-z]{6}\.[0-9]{1,20}\.[0-9]{1,20}){0,3}", fullmatch=True))
def test_anything_else_is_unknown_and_never_an_exception(text: str) -> None:
    positions = parse(text)
    if positions is not None:
        assert sorted(text[2:].split("_")) == sorted(
            part_of(ref, position)
            for ref, place in positions.items()
            for position in place
            if position is not None
        )


def test_limits() -> None:
    part = "abcdef.{}.{}"
    assert parse("1_" + part.format(2**53 - 1, 2**48 - 1)) is not None
    for seq, nonce in ((2**53, 1), (1, 2**48), ("01", 1), (1, "01"), ("", 1), ("+1", 1), ("١", 1)):
        assert parse("1_" + part.format(seq, nonce)) is None, (seq, nonce)
    assert parse("1" + "".join(f"_{n:06}.1.1" for n in range(33))) is None
    assert parse("1_abcdef.1.1_abcdef.2.2") == {"abcdef": (new_position(1, 1), new_position(2, 2))}
    for twice in ("2.2_abcdef.1.1", "1.1_abcdef.1.2", "1.1_abcdef.2.2_abcdef.3.3"):
        assert parse("1_abcdef." + twice) is None, "the second position of a topic is a higher one"
    for text in ("1_abcdef.1.1\n", " 1_abcdef.1.1", "1_abcdef.1.1 ", LIVE_ONLY, "2_abcdef.1.1"):
        assert parse(text) is None, text


def test_megabytes_take_no_time() -> None:
    hostile = ["1" * 1_000_000, "1" + "_abcdef.1.1" * 100_000, "1_" + "a" * 1_000_000, "_" * 1_000_000]
    began = time.thread_time()  # of the processor: a busy machine does not count
    for text in hostile:
        assert parse(text) is None
    assert time.thread_time() - began < 0.1


def test_references_and_nonces() -> None:
    assert ref_of("user:7") == ref_of("user:7") != ref_of("user:8")
    assert all(len(ref_of(f"t{n}")) == 6 for n in range(100))
    nonces = {new_nonce() for _ in range(1000)}
    assert len(nonces) == 1000 and all(0 < nonce < 2**48 for nonce in nonces)


def test_a_position_is_one_number_in_the_order_of_its_parts() -> None:
    one, two = new_position(1, (1 << 48) - 1), new_position(2, 0)
    assert one < two and (seq_of(one), nonce_of(one), seq_of(two), nonce_of(two)) == (1, (1 << 48) - 1, 2, 0)
    assert not gc.is_tracked(two), "histories hold millions of them"
    with pytest.raises(ValueError, match="at most 54 bits"):
        new_position(1, 1 << 54)


@pytest.mark.parametrize(
    "said", [None, [1], [1, 2, 3], ["1", 2], [[1], 2], [-1, 2], [1, -2], [1, 1 << 48], {}]
)
def test_what_is_no_position_in_json_is_none(said: object) -> None:
    assert position_in(said) is None and position_in([1, 2]) == new_position(1, 2)
