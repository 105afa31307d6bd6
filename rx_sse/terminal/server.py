"""The server that a command connects to: its URL, and the accepted certificates.

Standard: a URL without a scheme is http for this machine and https for any other host, so that a token is
never sent unencrypted because the scheme was omitted. ``-k`` and ``--cacert`` are curl's.
"""

from __future__ import annotations

import argparse
import re
import ssl
from ipaddress import ip_address
from typing import Final

import aiohttp

__all__ = ["add_options", "connector", "tls", "with_scheme"]

HINT: Final = "; --cacert FILE accepts the certificates of a file, -k accepts any"

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def with_scheme(url: str) -> str:
    """The URL, with ``http://`` or ``https://`` added if it has no scheme."""
    if _SCHEME.match(url) or not url or url[0] in "/?#":
        return url
    authority = re.split(r"[/?#]", url, maxsplit=1)[0].rpartition("@")[2]
    host = authority[1:].partition("]")[0] if authority.startswith("[") else authority.partition(":")[0]
    return f"{'http' if _is_here(host) else 'https'}://{url}"


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a TLS connection."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--cacert", metavar="FILE", help="accept the certificates that this PEM file vouches for"
    )
    group.add_argument("-k", "--insecure", action="store_true", help="accept any certificate: for tests only")


def tls(given: argparse.Namespace) -> ssl.SSLContext | None:
    """The TLS context for the options; None for the system's own certificates.

    Raises:
        ValueError: the file holds no certificate.
        OSError: it cannot be read.
    """
    if given.insecure:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    if given.cacert is None:
        return None
    try:
        return ssl.create_default_context(cafile=given.cacert)
    except ssl.SSLError:
        raise ValueError(f"--cacert {given.cacert}: not a file of certificates in PEM") from None
    except OSError as error:
        raise OSError(error.errno, error.strerror, given.cacert) from None


def connector(context: ssl.SSLContext | None) -> aiohttp.TCPConnector:
    """A connector that accepts these certificates. To be called on the loop."""
    return aiohttp.TCPConnector(ssl=True if context is None else context)
