"""HTTP/1.1 chunk framing, for the one write that carries a frame, compressed or not.

Standard: RFC 9112 §7.1.
"""

from __future__ import annotations

__all__ = ["LAST_CHUNK", "chunk", "zstd_chunk"]

LAST_CHUNK = b"0\r\n\r\n"
"""The last chunk: it ends a chunked body."""


def chunk(frame: bytes) -> bytes:
    """One HTTP/1.1 chunk that holds `frame`; empty for an empty frame, because an empty chunk ends the
    body."""
    # [spec] chunk = chunk-size [ chunk-ext ] CRLF chunk-data CRLF; last-chunk = 1*("0") [ chunk-ext ] CRLF
    return b"%x\r\n%b\r\n" % (len(frame), frame) if frame else b""


def zstd_chunk(frame: bytes) -> bytes:
    """One HTTP/1.1 chunk that holds `frame` compressed with zstd.

    Raises:
        ImportError: the extra is not installed.
    """
    from rx_sse.wire.zstd import compressed

    return chunk(compressed(frame)) if frame else b""
