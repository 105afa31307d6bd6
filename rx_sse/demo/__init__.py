"""`python -m rx_sse demo`: the first minute with the library, on real input.

A page with a clock, live readings of this machine, the progress of a real job, a message to everyone who
watches, and two people whose streams are guarded by a token and resume where they broke. Every part of it is
a few lines that a reader may copy.

Standard: none.
Never: it listens on anything but loopback unless it is told to, or loads anything from elsewhere.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Sequence

from aiohttp import web

from rx_sse.demo.application import make_app


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the demo until it is interrupted; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m rx_sse demo", description="Serve the demo page.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one (default: %(default)s)")
    options = parser.parse_args(arguments)
    loop = None
    with contextlib.suppress(ImportError):  # faster, where it is installed
        import uvloop

        loop = uvloop.new_event_loop()
    try:
        web.run_app(
            make_app(),
            host=options.host,
            port=options.port,
            access_log=None,
            loop=loop or asyncio.new_event_loop(),
            shutdown_timeout=2.0,
        )
    except OSError as error:
        print(
            f"cannot listen on {options.host}:{options.port}: {error.strerror}; try --port 0", file=sys.stderr
        )
        return 1
    return 0
