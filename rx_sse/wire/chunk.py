"""HTTP/1.1 chunk framing, for the one write that carries a frame, compressed or not.

Standard: RFC 9112 §7.1. Never writes the last chunk (``0 CRLF CRLF``): ending a response is aiohttp's.
"""

from __future__ import annotations

__all__ = ["chunk", "zstd_chunk"]


def chunk(frame: bytes) -> bytes:
    """One HTTP/1.1 chunk around `frame`; nothing for an empty one, because an empty chunk ends the body."""
    # [spec] chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF; last-chunk = 1*("0") [ chunk-ext ] CRLF
    return b"%x\r\n%b\r\n" % (len(frame), frame) if frame else b""


def zstd_chunk(frame: bytes) -> bytes:
    """The same around `frame` compressed with zstd.

    Raises:
        ImportError: the extra is not installed.
    """
    from .zstd import compressed

    return chunk(compressed(frame)) if frame else b""
