"""Test support for streaming applications: a real server, a client that can misbehave, a leak check.

`open_stream` and `serve` run an application as production does; `OpenStream` stalls, vanishes, half-closes;
`no_leaks` fails a test that leaves anything behind. The Observable itself is tested without them:
`handler.__wrapped__` is the function as written, and its result runs under reactivex's `TestScheduler`.

Never: it imports pytest, or is loaded by it automatically.
"""

from __future__ import annotations

from rx_sse.testing.bus import check_bus
from rx_sse.testing.leaks import no_leaks
from rx_sse.testing.raw import OpenStream, StreamClosed
from rx_sse.testing.streams import open_stream, serve

__all__ = ["OpenStream", "StreamClosed", "check_bus", "no_leaks", "open_stream", "serve"]
