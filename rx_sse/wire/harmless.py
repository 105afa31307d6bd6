"""Text that a stream sent, made safe for a person to read in a terminal, a log or a picture.

Everything that shows untrusted text uses this file: the commands, the notebook helpers, diagrams, the
inspector page, errors that quote an answer.

Standard: ECMA-48 for terminal control sequences, UAX #9 for text direction, XML 1.0 §2.2 for the characters
that a document may hold.
Never: text that a program receives is changed; only printed text is.
"""

from __future__ import annotations

import re
from html import escape
from typing import Final

__all__ = ["harmless", "markup", "one_line"]

# All of C0 except tab and line feed, C1, direction marks, separators at which some terminals break lines, and
# code points that XML does not allow.
_HARMFUL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)


def harmless(text: str) -> str:
    """`text` with escapes, as Python writes them, for whatever a terminal would obey or XML does not
    allow."""
    return _HARMFUL.sub(lambda match: ascii(match[0])[1:-1], text)


def one_line(text: str, most: int) -> str:
    """The same on one line, of at most `most` characters."""
    start = text[: most + 1]
    shown = harmless(start).replace("\n", "⏎").replace("\t", " ")
    return shown if len(shown) <= most and start == text else shown[: most - 1] + "…"


def markup(text: str) -> str:
    """The same as text of HTML, SVG or XML, between tags or in an attribute."""
    return escape(harmless(text))
