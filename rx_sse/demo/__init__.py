"""`python -m rx_sse demo`: the first minute with the library, on real input.

A page with a clock, live readings of this machine, the progress of a real job, a message to everyone who
watches, and two people whose messages are guarded by a token; all on one connection, which resumes where it
broke. Every part of it is a few lines that a reader may copy.

Never: it listens on anything but loopback unless it is told to, answers pages that are not its own, reads
files outside of one folder, or loads anything from elsewhere.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import Sequence
from errno import EADDRINUSE
from importlib.util import find_spec
from pathlib import Path

from aiohttp import web

import rx_sse
from rx_sse.demo.application import PACKAGE, make_app

SECRET = "RX_SSE_DEMO_SECRET"
"""The environment variable by which the workers of one demo share what tokens are signed with."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the demo until it is interrupted; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m rx_sse demo", description="Serve the demo page.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8080, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--redis", metavar="URL", help="carry the two people's messages over this Redis")
    parser.add_argument(
        "--workers", type=int, default=1, help="processes that share the port (needs --redis)"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=PACKAGE,
        help="the folder whose files a job may read (default: the one of rx_sse itself)",
    )
    options = parser.parse_args(arguments)
    if options.workers < 1:
        parser.error(f"--workers {options.workers}: give 1 or more")
    if find_spec("psutil") is None:
        parser.error("the readings of this machine need psutil: pip install psutil")
    if options.workers > 1 and (not options.redis or not options.port):
        parser.error("several workers share users over Redis, and one port: give --redis URL and a --port")
    secret = os.environ.setdefault(SECRET, secrets.token_urlsafe(32))
    # This process is the first worker; the others end with it.
    command = [sys.executable, "-m", "rx_sse", "demo", "--host", options.host, "--port", str(options.port)]
    command += ["--folder", str(options.folder)]
    others = [subprocess.Popen([*command, "--redis", options.redis]) for _ in range(options.workers - 1)]
    try:
        return _serve(options, secret)
    except (rx_sse.UsageError, ImportError) as error:
        parser.error(str(error))
    finally:
        for other in others:
            other.terminate()
        for other in others:
            other.wait()


def _port(text: str) -> int:
    """A number of a port: aiohttp takes any, and the system its last 16 bits."""
    if not 0 <= (port := int(text)) <= 65535:
        raise ValueError(text)
    return port


def _serve(options: argparse.Namespace, secret: str) -> int:
    loop = None
    with contextlib.suppress(ImportError):  # faster, where it is installed
        import uvloop

        loop = uvloop.new_event_loop()
    bus = rx_sse.RedisBus(options.redis) if options.redis else None
    try:
        web.run_app(
            make_app(bus, secret, folder=options.folder, names=(options.host,)),
            host=options.host,
            port=options.port,
            access_log=None,
            auto_decompress=False,  # or aiohttp unpacks what anybody sends, on the loop, whatever its size
            loop=loop or asyncio.new_event_loop(),
            shutdown_timeout=2.0,
            reuse_port=bool(options.redis) or None,
        )
    except OSError as error:
        where = f"{options.host}:{options.port}"
        hint = "; --port 0 takes a free one" if error.errno == EADDRINUSE else ""
        print(f"rx_sse: cannot listen on {where}: {error.strerror}{hint}", file=sys.stderr)
        return 1
    return 0
