"""README.md: short, a server on its first screen. What it shows is executed in tests/docs."""

from __future__ import annotations

from .docs.blocks import README


def test_it_has_at_most_1500_words() -> None:
    """Code, tables and links included. What takes more belongs into a page of docs/."""
    assert len(README.text.split()) <= 1_500


def test_the_first_screen_has_a_server_by_line_12() -> None:
    program = next(block for block in README.blocks if block.kind == "program")
    assert program.line <= 12
