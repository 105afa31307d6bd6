"""The body of a publish over HTTP: JSON, or text as it is.

Standard: RFC 8259 (JSON), RFC 9110 §15.5.16 (415).
Never: a compressed body is read.
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import hdrs, web

from rx_sse.web.mount_problem import problem
from rx_sse.web.request_body import read_body


def check_plain(request: web.Request) -> None:
    """Refuse a compressed body, before the sender is authenticated."""
    coding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    if coding not in ("", "identity"):
        raise problem(415, "publish without Content-Encoding", {hdrs.ACCEPT_ENCODING: "identity"})


async def data_of(request: web.Request) -> Any:
    """The published value: JSON, or text as it is."""
    await read_body(request)
    try:
        text = await request.text()
    except (UnicodeDecodeError, LookupError) as error:  # the second for a charset that there is not
        raise problem(400, f"the body is not text: {error}") from None
    if request.content_type.startswith("text/"):
        return text
    if request.content_type not in ("application/json", "application/octet-stream") and not (
        request.content_type.endswith("+json")
    ):
        raise problem(415, f"publish application/json or text/plain, not {request.content_type}")
    try:
        return json.loads(text)
    except ValueError as error:
        raise problem(400, f"the body is not JSON: {error}") from None
    except RecursionError:
        raise problem(400, "the body is JSON that is nested too deeply") from None
