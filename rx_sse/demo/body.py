"""What a page posts: a JSON object with the fields that a route needs."""

from __future__ import annotations

from typing import Any

from aiohttp import web


async def fields(request: web.Request, *names: str) -> tuple[Any, ...]:
    """The values of these fields.

    Raises:
        web.HTTPBadRequest: the body is no JSON object, or a field is missing.
    """
    try:
        body = await request.json()
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"the body is not JSON: {error}") from None
    if not isinstance(body, dict) or (absent := [name for name in names if name not in body]):
        missing = f"without {', '.join(absent)}" if isinstance(body, dict) else "that is no object"
        raise web.HTTPBadRequest(text=f"a body {missing}; this route takes {', '.join(names)}")
    return tuple(body[name] for name in names)
