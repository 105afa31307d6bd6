"""Encodes any value that a handler emits as an event.

Standard: WHATWG HTML §9.2 for the frame, RFC 8259 for values. A ``dict`` is data, also one with a ``data``
key; an event is a `ServerSentEvent` and nothing else. Never touches a socket: a value that cannot be encoded
is refused before any byte of it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rx_sse.wire.dumps import DUMPS, dumped
from rx_sse.wire.event import ServerSentEvent, from_json, made
from rx_sse.wire.jsontext import dumps_utf8
from rx_sse.wire.raw_frame import RawFrame

__all__ = ["encode"]


def encode(value: Any, dumps: Callable[[Any], str | bytes] | None = None) -> ServerSentEvent | RawFrame:
    """`value` as an event: events and raw frames as they are, a ``str`` as text, anything else as JSON.

    Args:
        value: the emitted value.
        dumps: replaces the library's JSON encoder for everything that is neither event, frame nor ``str``;
            None for the encoder of the current stream (`dumps.DUMPS`), if it has one.

    Raises:
        EncodeError: `value` cannot be encoded.
    """
    if isinstance(value, (ServerSentEvent, RawFrame)):
        return value
    if isinstance(value, str):
        return made(value)
    if dumps is None and (dumps := DUMPS.get()) is None:
        return from_json(dumps_utf8(value))
    return made(dumped(value, dumps))


def chunk_of(value: Any, dumps: Callable[[Any], str | bytes] | None = None) -> bytes:
    """The same bytes as `encode(value, dumps).chunk`, for a value that is sent on one connection only: a JSON
    value is not made an event first."""
    if dumps is not None or isinstance(value, (str, ServerSentEvent, RawFrame)):
        return encode(value, dumps).chunk
    text = dumps_utf8(value)
    return b"%x\r\ndata: %b\n\n\r\n" % (len(text) + 8, text)
