"""The JSON encoder of the application (`dumps=`), used wherever a value becomes an event.

`setup(dumps=)` and `sse(dumps=)` set it for the values that a handler and its pipeline emit; a bus and a
publisher each have their own, and `ServerSentEvent(value, dumps=)` sets one for a single event. Without any
of
them, the library's own encoder is used (`jsontext`).

Standard: RFC 8259, as far as the user's function complies with it.
Never: the library's own messages (`stream-…`, problem details) are encoded with it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from rx_sse.errors import EncodeError
from rx_sse.wire.fields import shown
from rx_sse.wire.jsontext import dumps as library_dumps

__all__ = ["DUMPS", "Dumps", "json_of"]

Dumps = Callable[[Any], "str | bytes"]

DUMPS: ContextVar[Dumps | None] = ContextVar("rx_sse.dumps", default=None)
"""The encoder of the stream that is being served, None for the library's own."""


def json_of(value: Any, dumps: Dumps | None = None) -> str:
    """`value` as JSON text: by `dumps`, else by the encoder of the stream, else by the library's own.

    Raises:
        EncodeError: `value` cannot be encoded.
    """
    if dumps is None and (dumps := DUMPS.get()) is None:
        return library_dumps(value)
    return dumped(value, dumps)


def dumped(value: Any, dumps: Callable[[Any], object]) -> str:
    """`value` as `dumps` writes it.

    Raises:
        EncodeError: `dumps` raised an error, or returned neither str nor bytes.
    """
    try:
        text = dumps(value)
        if isinstance(text, bytes):
            text = text.decode()
    except EncodeError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise EncodeError(f"data: {shown(value)} was refused by dumps=: {why}") from error
    if not isinstance(text, str):
        raise EncodeError(
            f"data: dumps= returned {shown(text)} for {shown(value)}; it must return str or bytes"
        )
    return text
