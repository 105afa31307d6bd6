"""A stream's text for a terminal: readable and coloured.

Standard: RFC 8259 for the JSON that is laid out; ECMA-48 for colours.

Never changes a value: JSON is laid out from its own tokens, so a number keeps its digits. Never outputs a
control character, or a character that changes the direction of the text around it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

from rx_sse.wire.harmless import harmless

__all__ = ["Palette", "as_json"]

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


class Palette:
    """Colours, or none."""

    def __init__(self, on: bool) -> None:
        self.faint = _painter("2", on)
        self.name = _painter("1;36", on)
        self.control = _painter("1;35", on)
        self.good = _painter("32", on)
        self.bad = _painter("31", on)
        self.key = _painter("34", on)
        self._text = self.good
        self._word = _painter("35", on)
        self._number = _painter("33", on)

    def value(self, text: str) -> str:
        """A scalar of JSON, coloured by its type."""
        if text.startswith('"'):
            return self._text(text)
        return (self._word if text in ("true", "false", "null") else self._number)(text)


def _painter(code: str, on: bool) -> Callable[[str], str]:
    """A function that gives a text the colour of an ECMA-48 code."""
    return lambda text: f"\x1b[{code}m{text}\x1b[0m" if on and text else text


def as_json(text: str, palette: Palette, width: int) -> str | None:
    """`text` laid out as JSON, each object and array on one line if it fits; None if it is not JSON."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    tokens = _TOKEN.findall(harmless(text).replace("\n", " ").replace("\t", " "))
    lengths = _lengths(tokens)
    parts: list[str] = []
    depth = column = 0
    flat_until = -1  # the token that closes the object or array being written on one line
    for index, token in enumerate(tokens):
        flat = index <= flat_until
        if token in ("{", "["):
            if not flat and column + lengths[index][0] <= width:
                flat_until = lengths[index][1]
                flat = True
            depth += 1
        elif token in ("}", "]"):
            depth -= 1
            if not flat:
                parts.append("\n" + "  " * depth)
        if token == ":":
            parts.append(": ")
        elif token == "," and flat:
            parts.append(", ")
        elif token in "{}[],":
            parts.append(token)
        else:
            is_key = tokens[index + 1 : index + 2] == [":"]
            parts.append((palette.key if is_key else palette.value)(token))
        if token in ("{", "[", ",") and not flat:
            parts.append("\n" + "  " * depth)
            column = 2 * depth
        else:
            column += len(token) + 1
    return "".join(parts)


def _lengths(tokens: list[str]) -> dict[int, tuple[int, int]]:
    """For each opening bracket: its length on one line, with a comma after it; and the index of its closing
    bracket."""
    found: dict[int, tuple[int, int]] = {}
    open_ones: list[tuple[int, int]] = []
    total = 0
    for index, token in enumerate(tokens):
        if token in ("{", "["):
            open_ones.append((index, total))
        total += len(token) + (token in (",", ":"))
        if token in ("}", "]"):
            start, before = open_ones.pop()
            found[start] = (total - before + 1, index)
    return found
