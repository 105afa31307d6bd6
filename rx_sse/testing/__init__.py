"""For the tests of programs that stream: a real server, a client that can misbehave, and a watch for leaks.

`open_stream` and `serve` run an application as production does; `OpenStream` stalls, vanishes, half-closes;
`no_leaks` fails a test that leaves something behind. The Observable itself is tested without any of it:
`handler.__wrapped__` is the function as written, and what it returns runs under reactivex's `TestScheduler`.

Never: it imports pytest, or is loaded by it unasked.
"""

from __future__ import annotations

from rx_sse.testing.bus import check_bus
from rx_sse.testing.leaks import no_leaks
from rx_sse.testing.raw import OpenStream, StreamClosed
from rx_sse.testing.streams import open_stream, serve

__all__ = ["OpenStream", "StreamClosed", "check_bus", "no_leaks", "open_stream", "serve"]
