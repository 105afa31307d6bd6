"""Streams on the command line: ``python -m rx_sse tail`` and ``python -m rx_sse publish``.

``NO_COLOR`` (no-color.org) is honoured, and piped output is plain.

Never prints a control character that a stream sent, and accepts no secret in its arguments, which every user
of a machine can read: headers come from a file or the environment.
"""

from __future__ import annotations
