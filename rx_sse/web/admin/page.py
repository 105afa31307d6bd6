"""The page and its files.

Standard: Content Security Policy Level 3; RFC 9110 §8.8.3 (`ETag`).
Never: a script or a style inline in the page, so that no name of a topic, a user or an event can become one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from importlib.resources import files

from aiohttp import ETag, hdrs, web

from rx_sse.web.admin.access import Access
from rx_sse.web.principal import Principal
from rx_sse.web.script import script_path

TYPES = {".css": "text/css", ".js": "text/javascript"}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    hdrs.CACHE_CONTROL: "no-store",
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page.

    Attributes:
        body: its bytes.
        kind: its content type.
        etag: the ETag of the bytes.
    """

    body: bytes
    kind: str
    etag: ETag


@lru_cache(maxsize=1)
def assets() -> dict[str, Asset]:
    """The styles and scripts by name, read once."""
    found: dict[str, Asset] = {}
    for file in (files("rx_sse.web.admin") / "static").iterdir():
        kind = TYPES.get("." + file.name.rpartition(".")[2])
        if kind is not None:
            body = file.read_bytes()
            found[file.name] = Asset(body, kind, ETag(hashlib.sha256(body).hexdigest()[:16]))
    return found


@lru_cache(maxsize=1)
def template() -> str:
    """The text of the page."""
    return (files("rx_sse.web.admin") / "static" / "index.html").read_text("utf-8")


async def asset(request: web.Request) -> web.Response:
    """A style or a script: the same for all viewers, so it needs no authentication."""
    found = assets().get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    headers = {hdrs.CACHE_CONTROL: "no-cache", "X-Content-Type-Options": "nosniff"}
    if any(tag.value in (found.etag.value, "*") for tag in request.if_none_match or ()):
        response = web.Response(status=304, headers=headers)
    else:
        response = web.Response(body=found.body, content_type=found.kind, charset="utf-8", headers=headers)
    response.etag = found.etag
    return response


def page(request: web.Request, access: Access, who: Principal | None) -> web.Response:
    """The page for a viewer.

    Args:
        request: the request.
        access: the permissions.
        who: the viewer.
    """
    said = {
        "client": script_path(request) or "",
        "act": "yes" if access.may_act(who) else "",
        "scope": access.scope or "",
        "viewer": "" if who is None else who.user,
    }
    text = template()
    for name, value in said.items():
        text = text.replace(f'data-{name}=""', f'data-{name}="{escape(value, quote=True)}"', 1)
    return web.Response(text=text, content_type="text/html", headers=HEADERS)
