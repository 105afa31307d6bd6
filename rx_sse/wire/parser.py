"""Bytes → events, incrementally: the WHATWG event stream parser.

Standard: WHATWG HTML §9.2.5 and §9.2.6, whose words stand beside the lines that follow them.

Wanted: the same events however the bytes are split; time linear in the bytes, one at a time or all at once; memory
bounded by `max_event_size`. The plan: work on bytes, because CR and LF are single bytes that no sequence of UTF-8,
valid or not, can contain. So lines are found without decoding, a value is decoded once, whole, and there is no
decoder to carry from chunk to chunk; decoding a whole line with replacement gives what the stream decoder of the
Encoding standard gives. An unfinished line waits in one growing buffer and is looked at again only when it ends.

Never raises on what a server sent, except for its size. Never dispatches an unfinished event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..errors import EventTooLarge
from .event import MAX_RETRY, ServerSentEvent, received

__all__ = ["MAX_EVENT_SIZE", "EventParser"]

# Room for a 10 MB document in base64, the largest event of LaunchDarkly's contract tests.
MAX_EVENT_SIZE: Final = 16 * 1024 * 1024

# Longer input is read in pieces of this size, so that one huge buffer is not held twice.
_PIECE: Final = 64 * 1024

_BOM: Final = b"\xef\xbb\xbf"


class EventParser:
    """An incremental parser of one event stream; a reconnected client makes a new one.

    Args:
        max_event_size: bytes of the data of one event, together with the line being received. Comments count while
            they last.
        last_event_id: what the client already has, sent as ``Last-Event-ID`` on this connection.
        on_comment: called with the text of each comment as soon as its line ends.

    Attributes:
        last_event_id: the id for the next request's ``Last-Event-ID``; ``""`` means: send no such header.
        retry: the reconnection time that the server set, in milliseconds; None if it set none.
    """

    def __init__(
        self,
        *,
        max_event_size: int = MAX_EVENT_SIZE,
        last_event_id: str = "",
        on_comment: Callable[[str], None] | None = None,
    ) -> None:
        self.last_event_id = last_event_id
        self.retry: int | None = None
        self._limit = max_event_size
        self._on_comment = on_comment
        self._failure: str | None = None
        self._line = bytearray()  # the unfinished line
        self._first = True  # no line has ended yet: a BOM may come
        self._after_cr = False
        # The unfinished event. Its id buffer starts as the last event ID, its retry is the event's own.
        self._data: list[bytes] = []
        self._data_size = 0
        self._event = b""
        self._id = last_event_id
        self._event_retry: int | None = None

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """The events that `data` completes, in order.

        Raises:
            EventTooLarge: an event is over `max_event_size`. What was complete before it is in the error's `events`.
                The parser is dead then: every later call raises as well.
        """
        if self._failure is not None:
            raise EventTooLarge(self._failure)
        events: list[ServerSentEvent] = []
        for start in range(0, len(data), _PIECE):
            self._piece(data[start : start + _PIECE], events)
        return events

    def _piece(self, piece: bytes, events: list[ServerSentEvent]) -> None:
        # [spec] Lines must be separated by either a U+000D CARRIAGE RETURN U+000A LINE FEED (CRLF) character pair, a
        # single U+000A LINE FEED (LF) character, or a single U+000D CARRIAGE RETURN (CR) character.
        # A CR ends its line at once, because nothing may follow it for hours; a LF that comes next belongs to it.
        if self._after_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            self._after_cr = False
            if not piece:
                return
        self._after_cr = piece.endswith(b"\r")
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

        line = self._line
        in_reach = self._data_size + len(line) + len(piece) <= self._limit
        end = piece.rfind(b"\n")
        if end < 0:
            line += piece
        else:
            line += piece[:end]
            lines = bytes(line).split(b"\n")
            line.clear()
            line += piece[end + 1 :]
            if self._first:
                self._first = False
                # [spec] The UTF-8 decode algorithm strips one leading UTF-8 Byte Order Mark (BOM), if any.
                lines[0] = lines[0].removeprefix(_BOM)
            if in_reach:
                self._lines(lines, events)
            else:
                for each in lines:
                    self._measure(len(each), events)
                    self._lines([each], events)
        if not in_reach:
            self._measure(len(line), events)

    def _measure(self, line: int, events: list[ServerSentEvent]) -> None:
        if self._data_size + line > self._limit:
            self._failure = f"an event is over max_event_size={self._limit:,} bytes; nothing after it can be read"
            self._line.clear()
            self._data.clear()
            raise EventTooLarge(self._failure, events=tuple(events))

    def _lines(self, lines: list[bytes], events: list[ServerSentEvent]) -> None:
        data = self._data
        counted = len(data)
        for line in lines:
            if line.startswith(b"data: "):
                data.append(line[6:])
            elif not line:
                # [spec] If the line is empty (a blank line): Dispatch the event.
                if data:
                    events.append(self._dispatch())
                    counted = 0
                else:
                    self._reset()
            elif line.startswith(b":"):
                # [spec] If the line starts with a U+003A COLON character (:): Ignore the line.
                if self._on_comment is not None:
                    self._on_comment(line[1:].removeprefix(b" ").decode("utf-8", "replace"))
            else:
                self._field(line)
        self._data_size = (self._data_size if counted else 0) + sum(map(len, data[counted:])) + len(data) - counted

    def _field(self, line: bytes) -> None:
        # [spec] Collect the characters on the line before the first U+003A COLON character (:), and let field be that
        # string. Collect the characters after it, and let value be that string. If value starts with a U+0020 SPACE
        # character, remove it from value. Otherwise (no colon) the whole line is the field name, the value is empty.
        field, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        # [spec] Field names must be compared literally, with no case folding performed.
        if field == b"data":
            self._data.append(value)
        elif field == b"id":
            # [spec] If the field value does not contain U+0000 NULL, then set the last event ID buffer to the field
            # value. Otherwise, ignore the field.
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif field == b"event":
            self._event = value
        elif field == b"retry" and value.isdigit():
            # [spec] If the field value consists of only ASCII digits, then interpret the field value as an integer in
            # base ten, and set the event stream's reconnection time to that integer. It takes effect at once. Ten
            # significant digits decide whether it is over the clamp, and int() of thousands of them would raise.
            digits = value.lstrip(b"0")[:11] or b"0"
            self.retry = self._event_retry = min(int(digits), MAX_RETRY)
        # [spec] Otherwise: The field is ignored.

    def _dispatch(self) -> ServerSentEvent:
        # [spec] Set the last event ID string of the event source to the value of the last event ID buffer.
        self.last_event_id = id = self._id
        # [spec] Append a single U+000A LINE FEED (LF) character to the data buffer for each line; if the data buffer's
        # last character is one, remove it: the lines joined by LF.
        data = self._data
        text = (data[0] if len(data) == 1 else b"\n".join(data)).decode("utf-8", "replace")
        event = self._event.decode("utf-8", "replace") if self._event else None
        data.clear()
        self._event = b""
        retry, self._event_retry = self._event_retry, None
        return received(text, event, id or None, retry)

    def _reset(self) -> None:
        # [spec] If the data buffer is an empty string, set the data buffer and the event type buffer to the empty
        # string and return. The last event ID has been set before that: an id alone moves it.
        self.last_event_id = self._id
        self._event = b""
        self._event_retry = None
