"""The fields of log lines: the contents of a line, for programs.

A formatter that writes JSON finds them as attributes of the record (`extra=`); a text formatter omits them.
Their names are stable, and listed in docs/operating.md.

Never: a query, a token, the name of a user, or data of an event.
"""

from __future__ import annotations

from typing import Any, Protocol

from aiohttp import web

from rx_sse.web.trusted_proxies import address_of


class Logged(Protocol):
    """A stream, as its log lines see it."""

    @property
    def id(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def route(self) -> str: ...
    @property
    def remote(self) -> str | None: ...


def stream_fields(stream: Logged, **more: Any) -> dict[str, Any]:
    """The fields of a line about a stream.

    Args:
        stream: the stream.
        **more: further fields, without their prefix: ``reason``, ``seconds``, ``bytes``.
    """
    fields = {
        "sse_stream": stream.id,
        "sse_request": stream.label,
        "sse_route": stream.route,
        "sse_address": stream.remote,
    }
    return fields | {f"sse_{name}": value for name, value in more.items()}


def request_fields(request: web.BaseRequest, **more: Any) -> dict[str, Any]:
    """The fields of a line about a request that has no stream."""
    fields = {
        "sse_request": f"{request.method} {request.rel_url.raw_path[:200]}",
        "sse_address": address_of(request),
    }
    return fields | {f"sse_{name}": value for name, value in more.items()}
