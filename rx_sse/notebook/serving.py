"""Serves an application in the kernel.

Never: two applications for one cell; the application that the cell served before is closed first.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

import reactivex as rx
from aiohttp import web

from rx_sse.notebook.recording import Stream, named
from rx_sse.web.script import serve_script
from rx_sse.web.setup import setup
from rx_sse.web.sse import sse
from rx_sse.wire.harmless import harmless, markup

KEPT = "_rx_sse_served"
"""The name in the notebook's namespace of the served applications, by `name`."""


class Served:
    """A served application. Displays its addresses.

    Attributes:
        url: the address, like `http://127.0.0.1:41234`.
        paths: the paths that it serves, without `rx_sse.js`.
    """

    def __init__(self, runner: web.AppRunner, url: str, paths: list[str]) -> None:
        self._runner = runner
        self.url = url
        self.paths = paths

    async def close(self) -> None:
        """Stop serving; open streams send their clients a time to reconnect."""
        await self._runner.cleanup()

    def __repr__(self) -> str:
        return harmless("serving " + (", ".join(self.url + path for path in self.paths) or self.url))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Mapping[str, str]:
        links = "".join(
            f'<li><a href="{markup(self.url + path)}">{markup(self.url + path)}</a></li>'
            for path in self.paths
        )
        return {"text/plain": repr(self), "text/html": f"serving<ul>{links}</ul>"}


async def serve(
    app: web.Application | Mapping[str, Stream], *, host: str = "127.0.0.1", port: int = 0, name: str = "app"
) -> Served:
    """Serve an application, or streams by name, on the kernel's loop.

    In a notebook, running the cell again replaces what it served.

    Args:
        app: an application that was set up; or streams by name, each served at `/name`.
        host: the address to listen on.
        port: 0 takes a free one.
        name: distinguishes several applications that are served at once.

    Returns:
        The served application; it runs until `await served.close()`, or until the kernel ends.

    Raises:
        UsageError: neither an application nor streams by name.
    """
    kept = _kept()
    if not isinstance(app, web.Application):
        app = _application(app)  # before the served application is closed: an invalid argument closes nothing
    before = kept.pop(name, None)
    if before is not None:
        await before.close()
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except BaseException:
        await runner.cleanup()
        raise
    paths = sorted(
        {
            route.resource.canonical
            for route in app.router.routes()
            if route.resource is not None and route.handler is not serve_script
        }
    )
    at = f"[{host}]" if ":" in host else host
    served = Served(runner, f"http://{at}:{runner.addresses[0][1]}", paths)
    kept[name] = served
    return served


def _application(streams: Mapping[str, Stream]) -> web.Application:
    app = setup(web.Application(), allow_origins=["*"])
    for name, stream in named("serve", streams).items():
        app.router.add_get(f"/{name.lstrip('/')}", sse(_handler(stream)))
    return app


def _handler(stream: rx.Observable[Any]) -> Callable[[web.Request], rx.Observable[Any]]:
    def handler(request: web.Request) -> rx.Observable[Any]:
        return stream

    return handler


def _kept() -> dict[str, Served]:
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    return {} if shell is None else cast("dict[str, Served]", shell.user_ns.setdefault(KEPT, {}))
