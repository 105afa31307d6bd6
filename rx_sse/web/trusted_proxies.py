"""The address of a client, even behind proxies.

A proxy appends the address of its peer to `X-Forwarded-For`; everything left of that was sent by the peer,
which may be any client. So the header counts only if the connection comes from a configured proxy, and it is
read from the right: the first address that is not a configured proxy is the client's.

Standard: RFC 7239 §5.2 and §8.1, for the older header of the same purpose.
Never: an address sent by an unknown peer counts; more than `MOST` hops are read.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import cast

from aiohttp import web

from rx_sse.errors import UsageError

FORWARDED_FOR = "X-Forwarded-For"
UNIX = "unix"
"""Instead of a network: peers on a Unix socket."""
MOST = 20
"""Hops of the header that are read, from the right."""
SITE = 64
"""Bits of an IPv6 address that identify a site, which owns all addresses with this prefix (RFC 6177)."""

Address = IPv4Address | IPv6Address


class TrustedProxies:
    """The proxies whose `X-Forwarded-For` counts.

    Args:
        networks: the value of `setup(trusted_proxies=)`.

    Raises:
        UsageError: not a list of networks, or a network that contains every address.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        given = _listed(networks)
        self._networks = tuple(_network(entry) for entry in given if entry != UNIX)
        self._unix = UNIX in given
        self._trusts = lru_cache(maxsize=4096)(self._trusts_address)

    def __bool__(self) -> bool:
        return bool(self._networks) or self._unix

    def client(self, peer: str | None, forwarded: Iterable[str]) -> str | None:
        """The address of the client.

        Args:
            peer: the address at the other end of the connection; empty or None on a Unix socket.
            forwarded: the values of `X-Forwarded-For`, in the order of the header lines.
        """
        found = peer
        if not (self._trusts(peer) if peer else self._unix):
            return found
        for hop in reversed(",".join(forwarded).rsplit(",", MOST)[-MOST:]):
            address = _parsed(hop)
            if address is None:  # no address: addresses further left are not trustworthy
                return found
            found = str(address)
            if not self._trusts(found):
                return found
        return found

    def _trusts_address(self, address: str) -> bool:
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._networks)


TRUSTED_PROXIES: web.AppKey[TrustedProxies] = web.AppKey("rx_sse.trusted_proxies", TrustedProxies)
"""Filled by ``setup(app, trusted_proxies=…)``; read through `address_of`."""


def address_of(request: web.BaseRequest) -> str | None:
    """The address of a request's client, as reported by the configured proxies. The list of the outermost
    application with a ``setup`` applies.
    """
    for app in request.match_info.apps if isinstance(request, web.Request) else ():
        if (proxies := app.get(TRUSTED_PROXIES)) is not None:
            if not proxies:
                break
            return proxies.client(request.remote, request.headers.getall(FORWARDED_FOR, ()))
    return request.remote


@lru_cache(maxsize=4096)
def site_of(address: str | None) -> str:
    """The key by which streams of one address are counted: the address, or the /64 network of an IPv6
    address, because a site with one of these addresses has all of them."""
    parsed = _parsed(address or "")
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, SITE), strict=False))
    return address or "" if parsed is None else str(parsed)


def _parsed(text: str) -> Address | None:
    """An address in the forms that proxies write: with a port, in brackets, with a zone, or IPv4 mapped into
    IPv6."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _listed(networks: object) -> list[object]:
    if isinstance(networks, str) or not isinstance(networks, Iterable):
        raise UsageError(
            f"trusted_proxies={networks!r} must be a list of networks, as in ['10.0.0.0/8'], () for none"
        )
    return list(cast("Iterable[object]", networks))


def _network(entry: object) -> IPv4Network | IPv6Network:
    try:
        if not isinstance(entry, str):
            raise ValueError("it is no text")
        network = ip_network(entry)
    except ValueError as error:
        raise UsageError(
            f"trusted_proxies: {entry!r} is no network ({error}): give an address ('10.0.0.5'), a network "
            f"('10.0.0.0/8'), or {UNIX!r} for the peers on a Unix socket"
        ) from None
    if network.prefixlen == 0:
        raise UsageError(
            f"trusted_proxies: {entry!r} holds every address, so any client could name any address as its own"
        )
    return network
