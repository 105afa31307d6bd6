"""Whether a request that a browser has signed with a cookie was meant: the guard against cross-site requests.

A browser sends a cookie with every request to its site, whichever page causes the request, even an
EventSource in another site's page. So wherever a cookie authenticates, `meant` decides first, from the
headers by which the browser describes the page:

======================  =================  ==========================
``Sec-Fetch-Site``      ``Origin``         verdict
======================  =================  ==========================
any                     ``null``           refused
same-origin, none       anything else      meant
anything else           on the list        meant
anything else           not, or absent     refused
absent                  on the list        meant
absent                  not on it          refused
absent                  absent             meant for GET and HEAD only
either twice                               refused
======================  =================  ==========================

The last rows are for clients without ``Sec-Fetch-Site``: programs, old browsers, and browsers on plain http.

Standard: Fetch Metadata Request Headers §2.3 (``Sec-Fetch-Site``), RFC 6454 §7 (``Origin``).
Never: it reads no cookie and no token, and ``null`` or ``*`` is never an origin that may act for a user.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from aiohttp import hdrs, web
from multidict import MultiMapping

from rx_sse.errors import UsageError

ALLOW_ORIGINS: web.AppKey[frozenset[str]] = web.AppKey("rx_sse.allow_origins")
"""Filled by ``setup(app, allow_origins=…)``; read through `allowed_origins`."""

ANY = "*"
SEC_FETCH_SITE = "Sec-Fetch-Site"
SAFE = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
# Any scheme: the pages of apps have their own (capacitor://localhost, tauri://localhost,
# chrome-extension://…).
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?",
    re.ASCII,
)
_IMPLIED = {"http": "80", "https": "443"}


def meant(method: str, headers: MultiMapping[str], allowed: Collection[str]) -> bool:
    """Tell whether a request with a cookie comes from a page that may act for the user.

    Args:
        method: the request's method.
        headers: the request's headers.
        allowed: origins of other pages that may, as `parse_origins` returns them.
    """
    sites = headers.getall(SEC_FETCH_SITE, [])
    origins = headers.getall(hdrs.ORIGIN, [])
    if len(sites) > 1 or len(origins) > 1:
        return False
    origin = origins[0] if origins else None
    if origin == "null":
        return False
    if sites and sites[0] in ("same-origin", "none"):
        return True
    if origin is not None:
        return origin != ANY and origin in allowed
    return not sites and method in SAFE


def origin_refused(request: web.BaseRequest) -> str:
    """Say of which page a request was that `meant` refused, in words for the log."""
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None:
        return (
            "a cookie, and neither an Origin nor a Sec-Fetch-Site header that says which page had it sent: "
            "programs send the token in an Authorization header"
        )
    return f"a cookie, sent for a page of {origin[:100]!r}, which is not in setup(allow_origins=…)"


def allowed_origins(request: web.BaseRequest) -> frozenset[str]:
    """The list that counts for a request: that of the outermost application with a ``setup``."""
    for app in request.match_info.apps if isinstance(request, web.Request) else ():
        if (origins := app.get(ALLOW_ORIGINS)) is not None:
            return origins
    return frozenset[str]()


def parse_origins(origins: Iterable[str]) -> frozenset[str]:
    """Return ``origins`` as browsers write them: lower case, without the port that the scheme implies.

    Args:
        origins: ``scheme://host[:port]`` each, or ``*`` for a public stream; ``*`` never lets a cookie
            through.

    Raises:
        UsageError: something else, such as a path or a trailing slash, which no ``Origin`` header would ever
            equal.
    """
    if isinstance(origins, str):
        raise UsageError(f"allow_origins={origins!r} is one string: give a list of origins, [{origins!r}]")
    if not isinstance(origins, Iterable):
        raise UsageError(f"allow_origins={origins!r} must be a list of origins, () for none")
    return frozenset(map(_parse, origins))


def _parse(origin: object) -> str:
    if origin == ANY:
        return ANY
    found = _ORIGIN.fullmatch(origin.lower()) if isinstance(origin, str) else None
    if found is None:
        raise UsageError(
            f"origin {origin!r} is not one: give scheme://host or scheme://host:port with nothing behind it, "
            "as in 'https://app.example.com'; no patterns, and a name that is not ASCII as the browser sends "
            "it (xn--…)"
        )
    scheme, host, port = found["scheme"], found["host"], found["port"]
    return f"{scheme}://{host}" if port in (None, _IMPLIED.get(scheme)) else f"{scheme}://{host}:{port}"
