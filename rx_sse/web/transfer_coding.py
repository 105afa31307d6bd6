"""The coding of a stream's bytes on its connection: plain, in chunks, or compressed in chunks.

Which of them is decided once, when the stream begins. After that an event is asked for its bytes in that
form, which it makes once for all streams that have the same.

Standard: RFC 9112 §7.1 (chunked), RFC 9110 §12.5.3 (Accept-Encoding), RFC 8878 (zstd).
Never: a stream changes its coding, or is compressed for a client that does not name zstd.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Any

from aiohttp import HttpVersion11, hdrs, web

from rx_sse.web.negotiation import accepts_zstd
from rx_sse.web.options import Options
from rx_sse.wire.chunk import chunk, zstd_chunk
from rx_sse.wire.control import HEARTBEAT


@dataclass(frozen=True, slots=True)
class Coding:
    """One of the three codings.

    Args:
        event: returns the bytes of an event, a frame or a batch.
        text: returns the bytes of text between events.
        heartbeat: the bytes of a heartbeat.
        content: the `Content-Encoding`.
    """

    event: Callable[[Any], bytes]
    text: Callable[[bytes], bytes]
    heartbeat: bytes
    content: str | None = None


PLAIN = Coding(attrgetter("frame"), bytes, HEARTBEAT)
CHUNKED = Coding(attrgetter("chunk"), chunk, chunk(HEARTBEAT))


@lru_cache(maxsize=1)
def zstd_coding() -> Coding:
    """The compressed coding.

    Raises:
        ImportError: the extra is not installed.
    """
    return Coding(attrgetter("zstd_chunk"), zstd_chunk, zstd_chunk(HEARTBEAT), "zstd")


def coding_of(request: web.BaseRequest, options: Options) -> Coding:
    """The coding for the client of a request."""
    if request.version < HttpVersion11:
        return PLAIN
    if options.compress == "zstd" and accepts_zstd(request.headers):
        return zstd_coding()
    return CHUNKED


def coding_headers(coding: Coding, options: Options) -> dict[str, str]:
    """The response headers of a coding."""
    headers: dict[str, str] = {}
    if options.compress is not None:
        headers[hdrs.VARY] = hdrs.ACCEPT_ENCODING
    if coding.content is not None:
        headers[hdrs.CONTENT_ENCODING] = coding.content
    return headers
