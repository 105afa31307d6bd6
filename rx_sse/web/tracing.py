"""Traces: a span for each stream, a span for each publish, and links between the two.

The context of a publish travels with its entry, in the log, as a `traceparent`. A stream that gets the entry,
in this process or another, live or by a replay, links its span to that of the publish.

It needs the extra `otel`, and `setup(tracing=)`: without it nothing here is imported, and an event meets one
comparison with None.

Standard: W3C Trace Context (`traceparent`), OpenTelemetry's semantic conventions for HTTP and messaging.
Never: a span, or a `traceparent`, of a trace that is not sampled is kept; a query, a token or the data of an
event is in a span.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, cast

from aiohttp import hdrs, web
from opentelemetry import trace
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from rx_sse.bus.log.traceparent import traceparent_of
from rx_sse.bus.names import CONTROL
from rx_sse.delivery.batch import EventBatch
from rx_sse.errors import UsageError
from rx_sse.web.end_reason import End
from rx_sse.web.outlet import Outlet
from rx_sse.web.sink import Sink

LINKS = 128
"""Links of a stream's span, to the first publishes that reached it: the maximum of OpenTelemetry's SDK."""


def tracing_of(given: object) -> Tracing:
    """The tracing of `setup(tracing=)`.

    Args:
        given: True for the provider of the process, or a provider.

    Raises:
        UsageError: any other value.
    """
    provider = trace.get_tracer_provider() if given is True else given
    if not isinstance(provider, TracerProvider):
        raise UsageError(f"tracing={given!r} must be True, False or an OpenTelemetry TracerProvider")
    return Tracing(provider)


class Tracing:
    """The spans of one application.

    Args:
        provider: makes the tracer.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer("rx_sse")
        self._propagator = TraceContextTextMapPropagator()
        self._spans: dict[Outlet, Span] = {}

    def __len__(self) -> int:
        return len(self._spans)

    # -- publishing ------------------------------------------------------------------------------------------

    def published(self, topic: str) -> str | None:
        """An event is published, on the publishing thread: a span of that moment.

        Returns:
            Its `traceparent`; None if it is not sampled, or the topic is the library's own.
        """
        if topic.startswith(CONTROL):
            return None
        attributes = {"messaging.system": "rx_sse", "messaging.destination.name": topic}
        span = self._tracer.start_span("publish", kind=SpanKind.PRODUCER, attributes=attributes)
        span.end()
        return traceparent_of(span.get_span_context())

    # -- a stream --------------------------------------------------------------------------------------------

    def begin(self, stream: Outlet, request: web.BaseRequest) -> Callable[..., Sink]:
        """A stream begins: its span is a child of the request's span, or of the client's.

        Returns:
            The class or function that makes the sink of the stream.
        """
        inside = trace.get_current_span().get_span_context().is_valid
        context = None
        if not inside:
            carrier = {name.lower(): value for name, value in request.headers.items()}
            context = self._propagator.extract(carrier)
        attributes: dict[str, str | bool] = {
            "http.request.method": stream.method,
            "http.route": stream.route.partition(" ")[2],
            "url.path": stream.path,
            "sse.stream": stream.id,
            "sse.resumes": hdrs.LAST_EVENT_ID in request.headers,
        }
        if stream.remote:
            attributes["client.address"] = stream.remote
        kind = SpanKind.INTERNAL if inside else SpanKind.SERVER
        span = self._tracer.start_span(f"stream {stream.route}", context, kind, attributes)
        if not span.is_recording():
            return Sink
        self._spans[stream] = span
        return partial(TracedSink, span)

    def gap(self, stream: Outlet, said: Mapping[str, Any]) -> None:
        """The client of a stream gets a gap."""
        if (span := self._spans.get(stream)) is not None:
            kept = {name: said[name] for name in ("reason", "missed", "topic") if said.get(name) is not None}
            span.add_event("gap", kept)

    def ended(self, stream: Outlet, end: End, sent: int) -> None:
        """A stream has ended, after `sent` bytes."""
        if (span := self._spans.pop(stream, None)) is not None:
            span.set_attributes({"sse.end_reason": end.value, "sse.bytes": sent})
            if end is End.FAILED:
                span.set_status(Status(StatusCode.ERROR))
            span.end()


class TracedSink(Sink):
    """A sink that records its events on the span of its stream."""

    __slots__ = ("_first", "_links", "_span")

    def __init__(self, span: Span, *args: Any) -> None:
        super().__init__(*args)
        self._span = span
        self._first = True
        self._links = LINKS

    def on_next(self, value: Any) -> None:
        """An emission."""
        super().on_next(value)
        self._note((getattr(value, "position", None),))

    @property
    def on_batch(self) -> Callable[[EventBatch], None]:
        """Each batch is recorded, so none passes by."""
        return self.batch

    def batch(self, batch: EventBatch) -> None:
        """A batch of a bus."""
        super().batch(batch)
        self._note(batch.items)

    def pulled(self, value: Any) -> None:
        """An item of an async iterable."""
        super().pulled(value)
        self._note(())

    def _note(self, carriers: Iterable[Any]) -> None:
        if self.closed:
            return
        if self._first:
            self._first = False
            self._span.add_event("first event")
        for carrier in carriers:
            if not self._links:
                return
            if (sent := getattr(carrier, "trace", None)) is not None:
                self._links -= 1
                self._span.add_link(context_of(cast(str, sent)))


def context_of(traceparent: str) -> SpanContext:
    """The context of a remote span, from a `traceparent` that was checked (`entry.is_trace`)."""
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), True, TraceFlags(int(flags, 16)))
