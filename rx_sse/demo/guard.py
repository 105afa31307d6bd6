"""Protects the demo: only its own pages, on any name of this machine, and programs may use it.

The demo reads files and accepts messages without a password, so pages of other sites must not reach it. They
could in two ways: by a cross-site request, which a browser marks with `Origin` and `Sec-Fetch-Site`; and by
DNS rebinding, where the other page's name resolves to this machine's address, so that the request is
same-site for the browser, but `Host` differs. An address in digits cannot be rebound, so any of them is as
safe as `localhost`.

Standard: RFC 9110 §7.2 (Host), §15.5.20 (421); RFC 6454 §7 (Origin); Fetch Metadata Request Headers.
Never: it authenticates a user.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from rx_sse.web.sse import is_streaming

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]
OWN = frozenset({"same-origin", "none"})
"""Values of `Sec-Fetch-Site` for the demo's own page, and for an address that the user has typed."""


def own_pages(*names: str) -> Middleware:
    """A middleware that accepts requests to this machine from its own pages, or from no page.

    Args:
        *names: further names of this machine; ``localhost`` and addresses in digits are always accepted.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Next) -> web.StreamResponse:
        if not _is_ours(request, names):
            raise web.HTTPMisdirectedRequest(
                text="the demo is reached as localhost, by an address in digits, or under its --host"
            )
        if not _is_own(request):
            raise web.HTTPForbidden(text="the demo answers its own pages alone")
        return await handler(request)

    return guard


def _is_ours(request: web.Request, names: tuple[str, ...]) -> bool:
    try:
        name = request.url.host or ""
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost") or name in names:
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_own(request: web.Request) -> bool:
    host = request.headers.get(hdrs.HOST, "")
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get(hdrs.ORIGIN)
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        return False
    if site is None or site in OWN:
        return True
    # A link on another site may open the page, and nothing else: it must not start a job.
    leads = request.method == hdrs.METH_GET and request.headers.get("Sec-Fetch-Mode") == "navigate"
    return leads and not is_streaming(request.match_info.handler)
