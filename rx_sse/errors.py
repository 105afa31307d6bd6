"""Every exception that rx_sse raises on purpose.

::

    RxSseError
    ├── UsageError            the library was called in a way that cannot work   (also a TypeError)
    ├── EncodeError           a value or field cannot go on the wire             (also a ValueError)
    ├── TopicNameError        a topic name that is not one                       (also a ValueError)
    ├── EventTooLarge         an event over its size limit, received or published
    ├── StreamError           raised by you: its text reaches the client
    ├── StreamInterrupted     given to `on_error=`: a stream ends though its source has not
    ├── Overloaded            a limit of this process was reached; try later
    │   └── QueueFull         the inbox of a bus or loop has no room
    ├── BusClosed             push or publish on a bus that is not running
    ├── PublishRefused        nothing was stored, for certain
    ├── PublishUnknown        the bytes left, and it is not certain what became of them
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
    """The library was called in a way that cannot work; the message says which way does."""


class EncodeError(RxSseError, ValueError):
    """A value or a field cannot go on the wire; the message holds the field, the value and the way out."""


class TopicNameError(RxSseError, ValueError):
    """A topic name that the grammar does not allow."""


class EventTooLarge(RxSseError):
    """An event is over its size limit.

    Attributes:
        events: what a parser had completed in the same ``feed`` before the event that was too large. They are
            whole and valid; a client hands them on before it gives up.
    """

    def __init__(self, message: str, *, events: tuple[Any, ...] = ()) -> None:
        super().__init__(message)
        self.events = events


class StreamError(RxSseError):
    """Raise it, or send it through ``on_error``, to tell the client why its stream failed.

    Any other exception reaches the client masked; the text of this one is sent as it is, so it must hold
    nothing that the client may not know. Before the headers it becomes the HTTP answer, after them the data
    of a ``stream-error`` event.

    Args:
        detail: what went wrong this time, for a person.
        title: what kind of problem it is, for a person; the same for every occurrence.
        type: a URI that names the kind of problem, for programs. ``about:blank`` says that there is none.
        status: an HTTP status, 400 to 599, used when the headers have not left yet.
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
    """A stream ends though its source has neither completed nor failed; what `on_error=` is given then.

    Attributes:
        reason: ``"shutdown"``, ``"max_duration"``, ``"token expired"``, ``"token revoked"``,
            ``"overloaded"``, or ``"overflow"``: events were lost, and the stream has no way to say where.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the stream was ended: {reason}")
        self.reason = reason


class Overloaded(RxSseError):
    """A limit of this process was reached (replays, inbox, budget). The web edge sheds the request.

    Attributes:
        retry_after: seconds after which another attempt makes sense; None if unknown.
    """

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QueueFull(Overloaded):
    """The inbox has no room: values are pushed faster than the loop takes them. The value was not taken."""


class BusClosed(RxSseError):
    """A push or publish on a bus that was not started, or is closed. The value was not taken."""


class PublishRefused(RxSseError):
    """The publish failed and nothing was stored, for certain: it may be repeated.

    Attributes:
        retry_after: seconds after which repeating it makes sense, because the store was away or busy; None if
            the same publish would be refused again.
    """

    def __init__(self, message: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PublishUnknown(RxSseError):
    """The publish left and no answer came, so it may have been stored; or the master has stored it and fewer
    replicas than asked for have acknowledged it, so a failover may lose it.

    Repeat it with the same ``idempotency_key`` and it is stored once.
    """


class ConnectionFailed(RxSseError):
    """An ``EventSource`` gave up: the server's answer says that trying again is of no use.

    Attributes:
        status: the HTTP status, or None if there was no answer.
        reason: why, in a few words.
    """

    def __init__(self, message: str, *, status: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
