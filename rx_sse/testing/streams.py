"""`open_stream` and `serve`: an application as production runs it, on a real socket, for the duration of a
test.

The server is `AppRunner` with aiohttp's defaults. aiohttp's own test server cancels a handler when its client
disconnects; production does not, and that difference hides leaks.

Never: it imports pytest, or listens on anything but loopback.
"""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from rx_sse.errors import UsageError
from rx_sse.testing.raw import TIMEOUT, OpenStream, send


@asynccontextmanager
async def serve(
    app: web.Application, *, ssl: tls.SSLContext | None = None, **runner: Any
) -> AsyncIterator[str]:
    """Run an application on a free port of loopback.

    Args:
        app: the application.
        ssl: a server context, for https.
        **runner: options of `web.AppRunner`.

    Yields:
        Its address, like `http://127.0.0.1:41234`.

    Raises:
        UsageError: no application, or one that another event loop has served, as that of another test.
    """
    if not isinstance(app, web.Application):
        raise UsageError(f"serve({type(app).__name__}): give an aiohttp.web.Application")
    served_before = app.frozen
    serving = web.AppRunner(app, **runner)
    try:
        await serving.setup()
    except RuntimeError as error:
        if not served_before:
            raise
        raise UsageError(
            "this application was served by another event loop, as that of another test: make one for each "
            "test, in a function or a fixture"
        ) from error
    try:
        await web.TCPSite(serving, "127.0.0.1", 0, ssl_context=ssl).start()
        host, port = serving.addresses[0][:2]
        yield f"http{'s' if ssl else ''}://{host}:{port}"
    finally:
        await serving.cleanup()


@asynccontextmanager
async def open_stream(
    app_or_url: web.Application | str,
    path: str = "/",
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    timeout: float = TIMEOUT,
    http10: bool = False,
    ssl: tls.SSLContext | None = None,
    receive_buffer: int | None = None,
) -> AsyncIterator[OpenStream]:
    """Open one stream, and close it at the end of the block.

    ::

        async with open_stream(app, "/ticks") as stream:
            assert (await stream.next_event(timeout=2)).json() == {"count": 0}

    Args:
        app_or_url: an application, served for the duration of the block; or the address of a running server.
        path: path and query.
        method: the HTTP method.
        headers: in addition to `Host` and `Accept: text/event-stream`, which they may replace.
        body: the body, sent with its length.
        timeout: seconds to wait for the response headers.
        http10: speak HTTP/1.0.
        ssl: a client context, for https.
        receive_buffer: bytes that the kernel buffers for this client (it doubles them); a small value soon
            makes it a slow reader.

    Yields:
        The response; its `status` may be anything.

    Raises:
        TimeoutError: no response headers in time.
        StreamClosed: the server closed the connection without an answer.
        UsageError: neither an application nor an address, or a path without its first slash.
    """
    if not isinstance(app_or_url, web.Application | str):
        raise UsageError(
            f"open_stream({type(app_or_url).__name__}): give an aiohttp.web.Application, or the address of "
            "one that is served"
        )
    if isinstance(app_or_url, web.Application):
        async with (
            serve(app_or_url) as url,
            open_stream(
                url,
                path,
                method=method,
                headers=headers,
                body=body,
                timeout=timeout,
                http10=http10,
                receive_buffer=receive_buffer,
            ) as stream,
        ):
            yield stream
        return
    stream = await send(
        _joined(app_or_url, path),
        method=method,
        headers=headers,
        body=body,
        http10=http10,
        ssl=ssl,
        receive_buffer=receive_buffer,
    )
    try:
        try:
            async with asyncio.timeout(timeout):
                await stream.read_head()
        except TimeoutError:
            raise TimeoutError(
                f"{method} {path}: no response headers in {timeout:g} s; the handler has not returned, or "
                "the server is blocked"
            ) from None
        yield stream
    finally:
        await stream.aclose()


def _joined(url: str, path: str) -> str:
    """The address of a path; a path that begins with ``?`` is only a query."""
    if path.startswith("/"):
        return url.removesuffix("/") + path
    if path and not path.startswith("?") and not url.endswith("/"):
        raise UsageError(f"path={path!r} must begin with a slash, as '/{path}' does")
    return url + path
