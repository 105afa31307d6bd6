"""The `traceparent` of a publish.

It is made from a span of OpenTelemetry, which is not imported here: in a process in which nothing else has
imported it no span can be current, and a publish costs one look into a dict.

Standard: W3C Trace Context §3.2 (`traceparent`).
Never: the `traceparent` of a trace that is not sampled.
"""

from __future__ import annotations

import re
import sys
from typing import Protocol

_TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)


class SpanContext(Protocol):
    """The part of OpenTelemetry's `SpanContext` that is read."""

    @property
    def trace_id(self) -> int: ...
    @property
    def span_id(self) -> int: ...
    @property
    def trace_flags(self) -> int: ...
    @property
    def is_valid(self) -> bool: ...


def traceparent_of(context: SpanContext) -> str | None:
    """The `traceparent` of a span; None if its trace is not sampled."""
    if not context.is_valid or not context.trace_flags & 1:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def current_traceparent() -> str | None:
    """The `traceparent` of the span that is current in this thread or task; None without one."""
    current = getattr(sys.modules.get("opentelemetry.trace"), "get_current_span", None)
    return None if current is None else traceparent_of(current().get_span_context())


def is_trace(text: object) -> bool:
    """Whether something is a `traceparent` that may be used: what is stored is not trusted."""
    return (
        isinstance(text, str)
        and _TRACE.fullmatch(text) is not None
        and text[3:35] != "0" * 32
        and text[36:52] != "0" * 16
    )
