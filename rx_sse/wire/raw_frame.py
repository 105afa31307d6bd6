"""A finished frame of server-sent events, made by other code.

Standard: WHATWG HTML §9.2 (server-sent events): an event ends with a blank line.
Never: its bytes are changed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NoReturn, final

from rx_sse.errors import EncodeError
from rx_sse.wire.fields import shown, string, utf8

if not TYPE_CHECKING:  # used by what type checkers do not see
    from rx_sse.wire.chunk import chunk, zstd_chunk

_BLANK_LINE = re.compile(rb"(?:\r\n|\r(?!\n)|\n)(?:\r\n|\r|\n)\Z")


@final
class RawFrame:
    """A finished frame from elsewhere (Datastar, AG-UI, a proxy): sent untouched.

    Args:
        frame: complete SSE text, ending in a blank line.

    Raises:
        EncodeError: it does not end in a blank line, so the next event would become part of it.
    """

    __slots__ = ("chunk", "frame", "zstd_chunk")

    chunk: bytes
    frame: bytes
    zstd_chunk: bytes

    def __init__(self, frame: bytes | str) -> None:
        finished = frame if type(frame) is bytes else utf8("frame", string("frame", frame))
        if not _BLANK_LINE.search(finished[-4:]):
            raise EncodeError(f"frame: {shown(frame)} does not end in a blank line; finish it with '\\n\\n'")
        object.__setattr__(self, "frame", finished)

    if not TYPE_CHECKING:  # made at first use; later it is an attribute like any other

        def __getattr__(self, name: str) -> Any:
            if name not in ("chunk", "zstd_chunk"):
                raise AttributeError(f"'RawFrame' object has no attribute {name!r}")
            filled = chunk(self.frame) if name == "chunk" else zstd_chunk(self.frame)
            object.__setattr__(self, name, filled)
            return filled

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a frame is immutable")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError("a frame is immutable")

    def __eq__(self, other: object) -> bool:
        return self.frame == other.frame if isinstance(other, RawFrame) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.frame)

    def __repr__(self) -> str:
        return f"RawFrame({shown(self.frame)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return RawFrame, (self.frame,)
