"""The command line's view of streams: ``python -m rx_sse tail`` and ``python -m rx_sse publish``.

``NO_COLOR`` (no-color.org) is heeded, and what is piped is plain.

Never prints a control character that a stream sent, and takes no secret from its arguments, which every user
of a machine can read: headers come from a file or the environment.
"""

from __future__ import annotations
