"""The client: `EventSource`, an Observable and an async iterable of server-sent events.

Standard: WHATWG HTML §9.2, the client's side of it; its words stand beside the lines that follow them.

Never imports web, and no internals of delivery or bus: a client knows the wire format, not the server.
"""

from __future__ import annotations

from rx_sse.client.source import EventSource
from rx_sse.client.state import ConnectionState

__all__ = ["ConnectionState", "EventSource"]
