"""The fields of an event, each checked on its own.

Standard: WHATWG HTML §9.2.6 for what a line can hold, RFC 9110 §5.5 for what a ``Last-Event-ID`` header can.

Refuses a value that the format cannot carry unchanged, with the value in the message; never repairs it.
"""

from __future__ import annotations

import re
from typing import Final

from rx_sse.errors import EncodeError

__all__ = [
    "ENDED_ID",
    "MAX_ID_BYTES",
    "MAX_RETRY",
    "event_name",
    "id_text",
    "newlines",
    "refuse_ended",
    "retry_ms",
    "shown",
    "string",
    "utf8",
]

# The client sends the id back in a request header. aiohttp takes 8,190 bytes of a header, others 8 KB for all
# together; a request that is refused for its size ends a browser's EventSource for good.
MAX_ID_BYTES: Final = 4096

# The longest delay that a browser's timer takes: 32 bits of milliseconds, 24.8 days.
MAX_RETRY: Final = 2**31 - 1

# The ids that say "this stream has ended" (`control.ended_id`): from a user, one would stop a client for
# good.
ENDED_ID: Final = re.compile(r"0_[0-9a-f]{16}")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_BREAKS_LINE = re.compile(r"[\r\n\0]")


def shown(value: object) -> str:
    """`value` as an error message shows it: its repr, shortened."""
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__} whose repr() raised {type(error).__name__}>"
    return text if len(text) <= 120 else f"{text[:100]}… ({len(text):,} characters)"


def string(field: str, value: object) -> str:
    """`value`, which must be a str. For a subclass, only its characters: an enum would format as its name."""
    if type(value) is str:
        return value
    if not isinstance(value, str):
        raise EncodeError(f"{field}: {shown(value)} is of type {type(value).__name__}; give a str")
    return str.__str__(value)


def newlines(text: str) -> str:
    """`text` with every line end as LF, as a client receives it."""
    # [spec] Lines are separated by CR LF, LF or CR, and by nothing else: str.splitlines() cuts at U+2028 too.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def utf8(field: str, text: str) -> bytes:
    """`text` as UTF-8; refused if it holds a lone surrogate, which UTF-8 cannot encode."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise EncodeError(
            f"{field}: {shown(text)} has a lone surrogate at index {error.start}, which UTF-8 cannot carry; "
            "repair the text where it was read"
        ) from None


def event_name(value: object) -> str | None:
    """The event field: one line without NUL, None when empty."""
    text = string("event", value)
    if broken := _BREAKS_LINE.search(text):
        raise EncodeError(f"event: {shown(text)} holds {broken[0]!r}, which would break the line; remove it")
    # [spec] If the event type buffer is not the empty string, initialize type to it; otherwise it is
    # "message".
    return text or None


def id_text(value: object) -> str:
    """The id field: text that a request header can carry."""
    text = string("id", value)
    if broken := _CONTROL.search(text):
        raise EncodeError(
            f"id: {shown(text)} holds the control character {broken[0]!r}, which no Last-Event-ID header "
            "can carry back; remove it"
        )
    if len(text) > MAX_ID_BYTES or len(utf8("id", text)) > MAX_ID_BYTES:
        raise EncodeError(
            f"id: {shown(text)} is over {MAX_ID_BYTES:,} bytes, too long for a Last-Event-ID header; "
            "keep the state on the server and send a short key"
        )
    return text


def refuse_ended(value: object) -> None:
    """Refuse an id of the form that the library reserves for itself."""
    if ENDED_ID.fullmatch(string("id", value)):
        raise EncodeError(f"id: {value!r} has the form that tells a client to stop for good; use another")


def retry_ms(value: object) -> int:
    """The retry field: milliseconds."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_RETRY:
        raise EncodeError(f"retry: {shown(value)} is not an int of milliseconds from 0 to {MAX_RETRY:,}")
    return int(value)
