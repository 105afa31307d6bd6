"""Why no connection came about, in a line that a person can act on.

The texts of aiohttp name its classes and its settings; the cause is what the system said.
"""

from __future__ import annotations

import os

import aiohttp

__all__ = ["unreachable"]


def unreachable(error: aiohttp.ClientConnectorError) -> str:
    """Where there was no connecting to, and why: ``cannot connect to host:443: Connection refused``."""
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
    # asyncio puts its own text beside the number, addresses included.
    return os.strerror(cause.errno) if cause.errno else str(cause.strerror or cause)


# What OpenSSL says of an answer that is no record of TLS, by its version.
_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}
)
