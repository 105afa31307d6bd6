"""The JSON encoder of the application, where a value becomes an event: `dumps=` holds at every door.

`setup(dumps=)` and `sse(dumps=)` set it for what the handler and its pipeline do; a bus and a publisher have
one of their own, and `ServerSentEvent(value, dumps=)` names one for a single event. Without any of them the
library's own encoder is used (`jsontext`).

Standard: RFC 8259, as far as the user's function keeps to it.
Never: what the library itself says (`stream-…`, problem details) goes through it.
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
"""The encoder of the stream that is being served here, None for the library's."""


def json_of(value: Any, dumps: Dumps | None = None) -> str:
    """`value` as JSON text, by `dumps`, else by the encoder of the stream, else by the library's.

    Raises:
        EncodeError: it cannot be sent.
    """
    if dumps is None and (dumps := DUMPS.get()) is None:
        return library_dumps(value)
    return dumped(value, dumps)


def dumped(value: Any, dumps: Callable[[Any], object]) -> str:
    """`value` as `dumps` writes it.

    Raises:
        EncodeError: it refused, or returned something that is no text.
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
        raise EncodeError(f"data: dumps= gave {shown(text)} for {shown(value)}; it must give str or bytes")
    return text
