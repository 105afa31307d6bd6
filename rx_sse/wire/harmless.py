"""What a stream sent, as people are shown it in a terminal, a log or a picture: what could act is spelt out.

Every place that shows text from outside shows it through here: the commands, the helpers of notebooks,
diagrams, the inspector page, errors that quote an answer.

Standard: ECMA-48 for what a terminal obeys, UAX #9 for what turns the direction of text, XML 1.0 §2.2 for the
characters that a document may hold.
Never: what a program gets is changed; only what is printed.
"""

from __future__ import annotations

import re
from html import escape
from typing import Final

__all__ = ["harmless", "markup", "one_line"]

# All of C0 but tab and line feed, C1, direction marks, separators that some terminals break lines at, and
# what is not a character, which XML does not allow.
_HARMFUL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)


def harmless(text: str) -> str:
    """`text` with what could act on a terminal, or is no character of XML, spelt out as Python spells it."""
    return _HARMFUL.sub(lambda match: ascii(match[0])[1:-1], text)


def one_line(text: str, most: int) -> str:
    """The same on one line, of at most `most` characters."""
    start = text[: most + 1]
    shown = harmless(start).replace("\n", "⏎").replace("\t", " ")
    return shown if len(shown) <= most and start == text else shown[: most - 1] + "…"


def markup(text: str) -> str:
    """The same as text of HTML, SVG or XML, between tags or in an attribute."""
    return escape(harmless(text))
