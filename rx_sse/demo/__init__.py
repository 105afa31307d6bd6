"""`python -m rx_sse demo`: a first look at the library, with real input.

A page with a pipeline of its own, a slow reader, live readings of this machine, the progress of a real job, a
message to all viewers, and two users whose messages are protected by a token; all on one connection (the job
has another), which resumes after a break, even over a restart. Every part of it is a few lines that a reader
may copy.

Never: it listens on anything but loopback unless told to by an option, answers pages of other sites, reads
files outside of one folder, or loads anything from another server.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import socket
import sys
from collections.abc import Sequence
from errno import EADDRINUSE
from importlib.util import find_spec
from pathlib import Path

from aiohttp import web

import rx_sse
from rx_sse.demo.application import PACKAGE, make_app
from rx_sse.demo.history import default_file, make_bus
from rx_sse.demo.workers import probe, supervise

SECRET = "RX_SSE_DEMO_SECRET"
"""The environment variable by which the workers of one demo share the secret that signs tokens."""
SUPERVISED = "RX_SSE_DEMO_SUPERVISED"
"""Set for workers that are restarted when they die."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the demo until it is interrupted; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m rx_sse demo", description="Serve the demo page.")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8080, help="0 takes a free one (default: %(default)s)")
    parser.add_argument(
        "--db", metavar="FILE", help=f"keep the history in this file ('' for none; default: {default_file()})"
    )
    parser.add_argument("--memory", action="store_const", const="", dest="db", help="the same as --db ''")
    parser.add_argument("--redis", metavar="URL", help="keep the history in this Redis")
    parser.add_argument(
        "--workers", type=int, default=1, help="processes that share the port (default: %(default)s)"
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
    if options.redis and options.db is not None:
        parser.error("--redis and --db are two places for the history: give one of them")
    secret = os.environ.setdefault(SECRET, secrets.token_urlsafe(32))
    try:
        if options.workers > 1:
            return _supervise(parser, options)
        return _serve(options, secret)
    except (rx_sse.UsageError, ImportError) as error:
        parser.error(str(error))


def _supervise(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    """Run several workers."""
    if not options.port:
        parser.error("several workers share one port: give a --port")
    if options.db == "":
        parser.error("several workers share their history: give a --db or --redis")
    if not hasattr(socket, "SO_REUSEPORT"):
        parser.error("processes cannot share a port on this system: leave out --workers")
    try:
        probe(options.host, options.port)
    except OSError as error:
        return _cannot_listen(options, error)
    command = [sys.executable, "-m", "rx_sse", "demo", "--host", options.host, "--port", str(options.port)]
    command += ["--folder", str(options.folder)]
    command += ["--redis", options.redis] if options.redis else []
    command += ["--db", options.db] if options.db else []
    os.environ[SUPERVISED] = "1"
    return asyncio.run(supervise(command, options.workers))


def _port(text: str) -> int:
    """A number of a port: aiohttp takes any, and the system its last 16 bits."""
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 0 to 65535")
    return int(text)


def _serve(options: argparse.Namespace, secret: str) -> int:
    loop = None
    with contextlib.suppress(ImportError):  # faster, where it is installed
        import uvloop

        loop = uvloop.new_event_loop()
    bus = make_bus(redis=options.redis, db=options.db)
    supervised = os.environ.get(SUPERVISED) == "1"
    try:
        web.run_app(
            make_app(bus, secret, folder=options.folder, names=(options.host,), supervised=supervised),
            host=options.host,
            port=options.port,
            access_log=None,
            auto_decompress=False,  # or aiohttp unpacks any body, on the loop, whatever its size
            loop=loop or asyncio.new_event_loop(),
            shutdown_timeout=2.0,
            reuse_port=supervised or None,
        )
    except OSError as error:
        return _cannot_listen(options, error)
    return 0


def _cannot_listen(options: argparse.Namespace, error: OSError) -> int:
    hint = "; --port 0 takes a free one" if error.errno == EADDRINUSE else ""
    where = f"{options.host}:{options.port}"
    print(f"rx_sse: cannot listen on {where}: {error.strerror}{hint}", file=sys.stderr)
    return 1
