"""The reason of a failed connect, in one line that a person can act on.

The texts of aiohttp name its classes and settings; the cause is the system's error.
"""

from __future__ import annotations

import os

import aiohttp

__all__ = ["unreachable"]


def unreachable(error: aiohttp.ClientConnectorError) -> str:
    """The address of a failed connect, and the cause: ``cannot connect to host:443: Connection refused``."""
    return f"cannot connect to {error.host}:{error.port}: {_cause(error)}"


def _cause(error: aiohttp.ClientConnectorError) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        return f"its certificate is not accepted: {getattr(cause, 'verify_message', '') or cause}"
    cause = error.os_error
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"no address is known for this name ({cause.strerror or cause})"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        reason = str(getattr(cause, "reason", None) or cause)
        plain = "; does it speak http without TLS?" if reason in _NO_TLS else ""
        return f"no TLS with it: {reason.replace('_', ' ').lower()}{plain}"
    # asyncio puts its own text after the number, addresses included.
    return os.strerror(cause.errno) if cause.errno else str(cause.strerror or cause)


# OpenSSL's errors for an answer that is no TLS record, by its version.
_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}
)
