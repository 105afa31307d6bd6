"""Headers that a client needs before the first event of a stream.

* `Stream-Heartbeat`: seconds without traffic after which a comment is sent. A client that receives nothing
  for a few times as long may regard the connection as dead.
* `Stream-User`: a hash of the principal's user. Two answers with the same hash are for the same user, so a
  page can check whether two tabs may share one connection, and whether a reconnect became another user's.

Standard: RFC 9110 §16.3.1 for new field names (no `X-`).
Never: the hash reveals the user's name.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from rx_sse.web.options import Options
from rx_sse.web.principal import Principal

__all__ = ["HEARTBEAT", "USER", "about", "of_user"]

HEARTBEAT = "Stream-Heartbeat"
USER = "Stream-User"


def about(principal: Principal | None, options: Options) -> dict[str, str]:
    """The headers for the answer to a request of a principal."""
    headers: dict[str, str] = {}
    if options.heartbeat is not None:
        headers[HEARTBEAT] = f"{options.heartbeat:g}"
    if principal is not None:
        name, value = of_user(principal)
        headers[name] = value
    return headers


def of_user(principal: Principal) -> tuple[str, str]:
    """The header for the answers to one user: its name and its value."""
    return USER, _mark(principal.user)


@lru_cache(maxsize=1024)
def _mark(user: str) -> str:
    return hashlib.sha256(b"rx_sse user\0" + user.encode("utf-8", "surrogatepass")).hexdigest()[:16]
