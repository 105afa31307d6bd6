"""Text for a terminal: harmless, and JSON laid out without changing it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rx_sse.terminal.text import Palette, as_json
from rx_sse.wire.harmless import harmless

PLAIN = Palette(False)

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)


@given(values, st.booleans(), st.sampled_from([None, 3]), st.integers(1, 100))
def test_json_stays_what_it_is(value: Any, ascii: bool, indent: int | None, width: int) -> None:
    shown = as_json(json.dumps(value, ensure_ascii=ascii, indent=indent), PLAIN, width)
    assert shown is not None
    if shown == harmless(shown) and "\\x" not in shown:  # C1 characters are spelt in a way that JSON has not
        assert json.loads(shown) == value


@pytest.mark.parametrize(
    "text",
    ['{"a": 1.10, "b": 123456789012345678901234567890.5, "c": 1E400}', "[1e5, -0.0]"],
)
def test_numbers_keep_their_digits(text: str) -> None:
    assert as_json(text, PLAIN, 100) == text


def test_what_fits_is_on_one_line_and_the_rest_is_indented() -> None:
    text = '{"name":"ada","tags":["a","b"],"empty":{},"more":{"long":"' + "x" * 30 + '"}}'
    assert as_json(text, PLAIN, 40) == (
        '{\n  "name": "ada",\n  "tags": ["a", "b"],\n  "empty": {},\n'
        '  "more": {\n    "long": "' + "x" * 30 + '"\n  }\n}'
    )
    assert as_json(text, PLAIN, 200) == (
        '{"name": "ada", "tags": ["a", "b"], "empty": {}, "more": {"long": "' + "x" * 30 + '"}}'
    )


@pytest.mark.parametrize("text", ["", "plain", "{", "[DONE]", "{'a': 1}", "1" * 5000, "[" * 100_000])
def test_what_is_no_json_is_said_to_be_none(text: str) -> None:
    assert as_json(text, PLAIN, 80) is None


def test_colours_tell_keys_from_values() -> None:
    shown = as_json('{"a": "b", "c": 1, "d": null}', Palette(True), 80)
    assert shown == (
        '{\x1b[34m"a"\x1b[0m: \x1b[32m"b"\x1b[0m, \x1b[34m"c"\x1b[0m: \x1b[33m1\x1b[0m, '
        '\x1b[34m"d"\x1b[0m: \x1b[35mnull\x1b[0m}'
    )
