"""The body of a POST, a JSON object with the fields that a route needs, and the key of a new entry."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any, cast

from aiohttp import web

from rx_sse.web.request_body import read_body


def new_key() -> str:
    """A key by which a page recognises an entry, in the history and on the stream. Keys sort by time."""
    return f"{time.time_ns():020}-{secrets.token_hex(4)}"


async def fields(request: web.Request, *names: str) -> tuple[Any, ...]:
    """The values of these fields.

    Raises:
        web.HTTPException: 400, the body is no JSON object, has a text that UTF-8 cannot carry, or lacks a
            field; 408, it did not arrive.
    """
    await read_body(request)
    try:
        body: object = await request.json()
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:  # "\ud800" is JSON
        raise web.HTTPBadRequest(text=f"the body has half of a surrogate pair: {error.reason}") from None
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text=f"a body that is no object; this route takes {', '.join(names)}")
    given = cast("dict[str, Any]", body)
    if absent := [name for name in names if name not in given]:
        raise web.HTTPBadRequest(
            text=f"a body without {', '.join(absent)}; this route takes {', '.join(names)}"
        )
    return tuple(given[name] for name in names)
