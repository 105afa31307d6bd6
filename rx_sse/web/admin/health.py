"""Health endpoints for an orchestrator.

Standard: the names are those of Kubernetes' probes.
Never: they need a token, or turn a process red because the broker is unreachable.
"""

from __future__ import annotations

from aiohttp import web

from rx_sse.bus.bus import core_of
from rx_sse.web.registry import registry_of


def add_health(app: web.Application) -> None:
    """Add `/health/live`, `/health/ready` and `/health/broker`."""
    app.router.add_get("/health/live", live)
    app.router.add_get("/health/ready", ready)
    app.router.add_get("/health/broker", broker)


async def live(request: web.Request) -> web.Response:
    """200 while the process responds."""
    return web.json_response({"live": True})


async def ready(request: web.Request) -> web.Response:
    """503 while the application is closing, or while only this process receives no messages.

    Not while the broker is unreachable: if every process turned red, an ingress would answer 503 for all of
    them, and a browser's EventSource gives up for good on that.
    """
    edge = registry_of(request)
    deaf = edge.bus is not None and core_of(edge.bus).deaf()
    fine = not edge.closing and not deaf
    said = {"ready": fine, "closing": edge.closing, "deaf": deaf}
    return web.json_response(said, status=200 if fine else 503)


async def broker(request: web.Request) -> web.Response:
    """503 while published events do not reach this process."""
    edge = registry_of(request)
    fine = edge.bus is None or edge.bus.ready()
    return web.json_response({"ready": fine, "bus": edge.bus is not None}, status=200 if fine else 503)
