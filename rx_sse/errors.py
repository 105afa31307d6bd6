"""Every exception that rx_sse raises on purpose.

::

    RxSseError
    ├── UsageError            an invalid call of the library                     (also a TypeError)
    ├── EncodeError           a value or field cannot go on the wire             (also a ValueError)
    ├── TopicNameError        an invalid name of a topic                         (also a ValueError)
    ├── EventTooLarge         an event over its size limit, received or published
    ├── StreamError           raised by you: its text is sent to the client
    ├── StreamInterrupted     passed to `on_error=`: a stream ends though its source has not
    ├── Overloaded            a limit of this process was reached; try later
    │   └── QueueFull         the inbox of a bus or loop has no room
    ├── BusClosed             push or publish on a bus that is not running
    ├── PublishRefused        certainly nothing was stored
    ├── PublishUnknown        the event was sent, and it is not known whether it was stored
    └── ConnectionFailed      an EventSource gave up

Each can be caught as ``rx_sse.…``, and all of them by their base::

    try:
        await bus.publish("orders", order)
    except rx_sse.PublishRefused as error:
        log.warning("not published: %s", error)
    except rx_sse.RxSseError as error:
        log.error("published, or not: %s", error)

Standard: ``StreamError`` follows RFC 9457 (problem details). This module imports nothing of rx_sse, and no
message in it ever holds a token.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "BusClosed",
    "ConnectionFailed",
    "EncodeError",
    "EventTooLarge",
    "Overloaded",
    "PublishRefused",
    "PublishUnknown",
    "QueueFull",
    "RxSseError",
    "StreamError",
    "StreamInterrupted",
    "TopicNameError",
    "UsageError",
]


class RxSseError(Exception):
    """The base of every error of this library."""


class UsageError(RxSseError, TypeError):
    """The library was called in a way that cannot work; the message says what to do instead."""


class EncodeError(RxSseError, ValueError):
    """A value or a field cannot go on the wire; the message holds the field, the value and what to do."""


class TopicNameError(RxSseError, ValueError):
    """A topic name that the grammar does not allow."""


class EventTooLarge(RxSseError):
    """An event is over its size limit.

    Attributes:
        events: the events that a parser had completed in the same ``feed`` before the one that was too large.
            They are whole and valid; a client passes them on before it gives up.
    """

    def __init__(self, message: str, *, events: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.events = events


class StreamError(RxSseError):
    """Raise it, or send it through ``on_error``, to tell the client why its stream failed.

    The text of any other exception is hidden from the client; the text of this one is sent as it is, so it
    must not contain anything confidential. Before the headers it becomes the HTTP answer, after them the data
    of a ``stream-error`` event.

    Args:
        detail: the cause of this occurrence, for a person.
        title: the kind of problem, for a person; the same for every occurrence.
        type: a URI that names the kind of problem, for programs. ``about:blank`` means none.
        status: an HTTP status, 400 to 599, used when the headers have not been sent.
        retry: milliseconds after which the client should reconnect, as in a ``retry:`` line.
        **extra: further members of the problem document; JSON values.
    """

    def __init__(
        self,
        detail: str = "",
        *,
        title: str | None = None,
        type: str = "about:blank",
        status: int | None = None,
        retry: int | None = None,
        **extra: Any,
    ) -> None:
        if status is not None and (not isinstance(status, int) or not 400 <= status <= 599):
            raise UsageError(f"status={status!r}: a StreamError is a failure, give a status from 400 to 599")
        if retry is not None and (
            isinstance(retry, bool) or not isinstance(retry, int) or not 0 <= retry < 2**31
        ):
            raise UsageError(f"retry={retry!r}: give the milliseconds of a retry: line, an int of 0 or more")
        super().__init__(detail)
        self.detail = detail
        self.title = title
        self.type = type
        self.status = status
        self.retry = retry
        self.extra = extra

    def problem(self) -> dict[str, Any]:
        """The problem document of RFC 9457, without members that have no value and without `retry`."""
        members = {"type": self.type, "title": self.title, "status": self.status, "detail": self.detail}
        return {name: value for name, value in members.items() if value not in (None, "")} | self.extra


class StreamInterrupted(RxSseError):
    """A stream ends though its source has neither completed nor failed; passed to `on_error=`.

    Attributes:
        reason: ``"shutdown"``, ``"max_duration"``, ``"token expired"``, ``"token revoked"``,
            ``"overloaded"``, or ``"overflow"``: events were lost, and the stream has no way to say where.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the stream was ended: {reason}")
        self.reason = reason


class Overloaded(RxSseError):
    """A limit of this process was reached (replays, inbox, budget). The request is answered with 503.

    Attributes:
        retry_after: seconds after which another attempt makes sense; None if unknown.
    """

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QueueFull(Overloaded):
    """The inbox has no room: values are pushed faster than the loop delivers. The value was not accepted."""


class BusClosed(RxSseError):
    """A push or publish on a bus that was not started, or is closed. The value was not accepted."""


class PublishRefused(RxSseError):
    """The publish failed and certainly nothing was stored: it may be repeated.

    Attributes:
        retry_after: seconds after which repeating it makes sense, because the store was unreachable or busy;
            None if the same publish would be refused again.
    """

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PublishUnknown(RxSseError):
    """The publish was sent and not answered, so it may have been stored; or the master has stored it and
    fewer replicas than required have acknowledged it, so a failover may lose it.

    Repeat it with the same ``idempotency_key`` and it is stored once.
    """


class ConnectionFailed(RxSseError):
    """An ``EventSource`` gave up: the server's answer forbids another attempt.

    Attributes:
        status: the HTTP status, or None if there was no answer.
        reason: the reason in a few words.
    """

    def __init__(self, message: str, *, status: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
