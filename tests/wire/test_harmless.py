"""What is shown to people: nothing in it acts on a terminal, and all of it is XML."""

from __future__ import annotations

import sys
import unicodedata
from xml.etree import ElementTree

import pytest

from rx_sse.wire.harmless import harmless, markup, one_line

EVERYTHING = "".join(map(chr, range(sys.maxunicode + 1)))


def test_no_control_character_passes_but_tab_and_line_feed() -> None:
    passed = harmless(EVERYTHING)
    assert [c for c in passed if unicodedata.category(c) in ("Cc", "Cs") and c not in "\t\n"] == []
    assert not set("\u202e\u2066\u200f\u2028\ufeff") & set(passed)


def test_what_is_caught_is_spelt_out() -> None:
    assert harmless("a\x1b[2J\x07\x9b\r\u202eb\tc\nd") == "a\\x1b[2J\\x07\\x9b\\r\\u202eb\tc\nd"


@pytest.mark.parametrize("text", ["é 豆腐 😀", "👩\u200d👩\u200d👧", "a\u00a0b"])
def test_text_of_people_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text


def test_markup_is_xml_whatever_it_holds() -> None:
    parsed = ElementTree.fromstring(f"<a title='{markup(EVERYTHING)}'>{markup(EVERYTHING)}</a>")
    assert parsed.text == harmless(EVERYTHING)


def test_one_line_is_one_line_and_no_longer_than_it_may_be() -> None:
    assert one_line("a\nb\tc\x1b", 100) == "a⏎b c\\x1b"
    assert one_line("x" * 9, 9) == "x" * 9
    assert one_line("x" * 10, 9) == "x" * 8 + "…"
    assert one_line("\x1b" * 5, 9) == "\\x1b\\x1b…"
