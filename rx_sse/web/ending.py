"""The last event of a stream, and whether its response then looks complete.

One rule applies to both: an end that is not the source's own must never look like one. A stream with control
events reports it in its last event. A client that accepts only its own protocol (`control="none"`) detects it
by HTTP, because the response lacks its last chunk; and so does every client whose method is not GET: it will
not reconnect for the rest, as an EventSource does.

Standard: RFC 9112 §7.1 and §8 (a message without its last chunk is incomplete).
Never: with `control="none"`, a frame that neither the source nor `on_error` made.
"""

from __future__ import annotations

import logging

from rx_sse.errors import StreamInterrupted
from rx_sse.web.asked import Asked
from rx_sse.web.end_reason import End, jittered
from rx_sse.web.options import Options
from rx_sse.web.problem import error_event
from rx_sse.wire import RawFrame, ServerSentEvent, encode
from rx_sse.wire.control import ended_id, stream_end, stream_expired, stream_reconnect

logger = logging.getLogger("rx_sse")

Frame = ServerSentEvent | RawFrame

REASONS = {
    End.SHUTDOWN: "shutdown",
    End.DURATION: "max_duration",
    End.SHED: "overloaded",
    End.EXPIRED: "token expired",
    End.REVOKED: "token revoked",
    End.OVERFLOW: "overflow",
    End.OPERATOR: "operator",
}
"""The names of the ends, for the client and for `on_error=`."""


def last_event(
    end: End,
    asked: Asked,
    options: Options,
    *,
    error: Exception | None = None,
    retry: int | None = None,
    reason: str | None = None,
    debug: bool = False,
) -> Frame | None:
    """The last event of a stream, None for none.

    Args:
        end: the reason of the end.
        asked: the stream's request.
        options: the stream's options.
        error: the error with which the stream failed.
        retry: milliseconds after which the client is to reconnect, if it is to; jittered without it.
        reason: the reason for which the run that was read has ended.
        debug: include the error's text.
    """
    if end is not End.COMPLETED and options.on_error is not None and (options.strict or error is not None):
        frame = _by_hook(options, error or StreamInterrupted(REASONS[end]))
        if frame is not None:
            return frame
    if options.strict:
        return None
    if end is End.COMPLETED:
        return stream_end(reason, id=ended_id(*asked.resource) if options.on_end == "stop" else None)
    if error is not None:
        return error_event(error, debug=debug)
    if end in (End.EXPIRED, End.REVOKED):
        return stream_expired(REASONS[end])
    return stream_reconnect(REASONS[end], retry=jittered(options.retry) if retry is None else retry)


def is_whole(end: End | None, asked: Asked, options: Options) -> bool:
    """Whether the response of a stream that ended for this reason is completed as HTTP requires, and not
    cut."""
    return end is End.COMPLETED or (asked.method == "GET" and not options.strict)


def _by_hook(options: Options, error: Exception) -> Frame | None:
    assert options.on_error is not None
    try:
        last = options.on_error(error)
        return None if last is None else encode(last, options.dumps)
    except Exception:
        logger.exception("on_error= failed; the client gets the event that it would get without it")
        return None
