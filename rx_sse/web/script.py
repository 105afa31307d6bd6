"""The client script `rx_sse.js`, served by the application.

`setup` adds the route. `/rx_sse.js` is revalidated by its `ETag`; with `?v=` and the version of the library
it may be cached for ever. The files are in the package's folder `js`, for bundlers.

Standard: RFC 9111 §5.2 (`Cache-Control`), RFC 8246 (`immutable`), RFC 9110 §8.8.3 (`ETag`).
Never: it reads a file while a request waits.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from typing import Final

from aiohttp import ETag, hdrs, web

from rx_sse.errors import UsageError

__all__ = ["DEFAULT_PATH", "add_script", "script_path"]

DEFAULT_PATH: Final = "/rx_sse.js"

_ROUTE: Final = web.AppKey("rx_sse.script", web.AbstractRoute)

# A year, the maximum of RFC 9111's predecessor, and the usual value beside `immutable`.
_FOR_EVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class _Script:
    content: bytes
    compressed: bytes
    etag: ETag
    version: str


@lru_cache(maxsize=1)
def _script() -> _Script:
    content = (files("rx_sse") / "js" / "rx_sse.min.js").read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:16]
    # RFC 9110 §8.8.1: the two forms are equal in meaning, not byte by byte.
    tag = ETag(value=digest, is_weak=True)
    return _Script(content, gzip.compress(content, mtime=0), tag, version("rx-sse"))


async def serve_script(request: web.Request) -> web.Response:
    """The handler of the module's route."""
    script = _script()
    # Any page may load it: it contains no user's data, and a module of another origin needs CORS.
    headers = {
        hdrs.CACHE_CONTROL: _FOR_EVER if request.query.get("v") == script.version else "no-cache",
        hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
        "X-Content-Type-Options": "nosniff",
    }
    known = request.if_none_match or ()
    if any(tag.value in (script.etag.value, "*") for tag in known):
        response = web.Response(status=304, headers=headers)
    else:
        zipped = "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, "").lower()
        if zipped:
            headers[hdrs.CONTENT_ENCODING] = "gzip"
        response = web.Response(
            body=script.compressed if zipped else script.content,
            content_type="text/javascript",
            charset="utf-8",
            headers=headers,
        )
    response.etag = script.etag
    return response


def add_script(app: web.Application, path: object) -> None:
    """Serve the module at a path; False serves it nowhere.

    Raises:
        UsageError: neither a path nor False.
    """
    if path is False:
        return
    if not isinstance(path, str) or not path.startswith("/"):
        raise UsageError(
            f"client={path!r} must be the path of the page's module, like '/rx_sse.js', or False"
        )
    _script()  # missing package files are detected at the start
    app[_ROUTE] = app.router.add_get(path, serve_script)


def script_path(request: web.Request) -> str | None:
    """The path of the module, relative to a request's path; None if no application above serves it.

    Relative, since a proxy may have removed a prefix.
    """
    for app in request.match_info.apps:  # the outermost first
        if _ROUTE in app and (resource := app[_ROUTE].resource) is not None:
            return "../" * (request.rel_url.raw_path.count("/") - 1) + resource.canonical[1:]
    return None
