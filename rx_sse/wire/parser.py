"""Bytes → events, incrementally: the parser of an event stream.

Standard: WHATWG HTML §9.2.5 and §9.2.6; its words stand beside the lines that follow them.

Wanted: the same events however the bytes are split; time linear in the bytes, one at a time or all at once;
memory bounded by `max_event_size`. The plan: work on bytes, because CR and LF are single bytes that occur in
no sequence of UTF-8, valid or not. So lines are found without decoding, and a value is decoded once, whole,
without a decoder that keeps state between chunks. An unfinished line waits in one growing buffer and is
examined again only when it ends.

Never raises for anything that a server sends, except for its size. Never dispatches an unfinished event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rx_sse.errors import EventTooLarge
from rx_sse.wire.event import ServerSentEvent, received
from rx_sse.wire.fields import MAX_RETRY

__all__ = ["MAX_EVENT_SIZE", "EventParser"]

# Room for 10 MB in base64, the largest event of LaunchDarkly's contract tests for SSE clients.
MAX_EVENT_SIZE: Final = 16 * 1024 * 1024

# Longer input is processed in pieces of this size, so that a huge buffer is not copied whole into lines.
_PIECE: Final = 64 * 1024

_BOM: Final = b"\xef\xbb\xbf"


class EventParser:
    """An incremental parser of one event stream. Every connection has its own.

    Args:
        max_event_size: bytes of the data of one event, together with the line being received, a comment
            included.
        last_event_id: the ``Last-Event-ID`` sent on this connection; events are dispatched with it until the
            stream sets another.
        on_comment: called with the text of each comment as soon as its line ends, before `feed` has returned
            the events that came before it.

    Attributes:
        last_event_id: the id for the next request's ``Last-Event-ID``; ``""`` means to send no such header.
        retry: the reconnection time that the stream set, in milliseconds (2**31 - 1 if it set a longer
            one); None if it set none.
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
        self._first = True  # no line has ended yet, so a BOM may stand before it
        self._after_cr = False  # a LF now would belong to the line end before it
        # The unfinished event.
        self._data: list[bytes] = []
        self._data_size = 0
        self._event = b""
        self._id = last_event_id
        self._event_retry: int | None = None

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """The events that `data` completes, in order.

        Raises:
            EventTooLarge: an event is over `max_event_size`; the events completed before it are in the
                error's `events`. The parser is unusable from then on: every later call raises.
        """
        if self._failure is not None:
            raise EventTooLarge(self._failure)
        events: list[ServerSentEvent] = []
        for start in range(0, len(data), _PIECE):
            self._take(data[start : start + _PIECE], events)
        return events

    def _take(self, piece: bytes, events: list[ServerSentEvent]) -> None:
        # [spec] Lines must be separated by either a U+000D CARRIAGE RETURN U+000A LINE FEED (CRLF) character
        # pair, a single U+000A LINE FEED (LF) character, or a single U+000D CARRIAGE RETURN (CR) character. A
        # CR at the end of a piece ends its line at once, because the next piece may arrive hours later.
        if self._after_cr:
            piece = piece.removeprefix(b"\n")
        self._after_cr = piece.endswith(b"\r")
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

        pending = self._line
        small = self._data_size + len(pending) + len(piece) <= self._limit
        end = piece.rfind(b"\n")
        if end < 0:
            pending += piece
        else:
            if pending:
                pending += piece[:end]
                lines = bytes(pending).split(b"\n")
                pending.clear()
            else:
                lines = piece[:end].split(b"\n")
            pending += piece[end + 1 :]
            if small:
                self._read(lines, events)
            else:
                for line in lines:
                    self._check_size(len(line), events)
                    self._read([line], events)
        if not small:
            self._check_size(len(pending), events)

    def _check_size(self, line: int, events: list[ServerSentEvent]) -> None:
        if self._data_size + line > self._limit:
            self._failure = f"an event is over {self._limit:,} bytes; raise max_event_size or disconnect"
            self._line.clear()
            self._data.clear()
            raise EventTooLarge(self._failure, events=tuple(events))

    def _read(self, lines: list[bytes], events: list[ServerSentEvent]) -> None:
        if self._first:
            # [spec] The UTF-8 decode algorithm strips one leading UTF-8 Byte Order Mark (BOM), if any.
            self._first = False
            lines[0] = lines[0].removeprefix(_BOM)
        data = self._data
        counted = len(data)
        for line in lines:
            if line.startswith(b"data: "):
                data.append(line[6:])
            elif not line:
                # [spec] If the line is empty (a blank line): Dispatch the event.
                event = self._dispatch()
                if event is not None:
                    events.append(event)
                    counted = self._data_size = 0
            elif line.startswith(b":"):
                # [spec] If the line starts with a U+003A COLON character (:): Ignore the line.
                if self._on_comment is not None:
                    self._on_comment(line[1:].removeprefix(b" ").decode("utf-8", "replace"))
            else:
                self._field(line)
        for value in data[counted:]:
            self._data_size += len(value) + 1

    def _field(self, line: bytes) -> None:
        # [spec] Collect the characters on the line before the first U+003A COLON character (:), and let field
        # be that string. Collect the characters after it, and let value be that string. If value starts with
        # a U+0020 SPACE character, remove it from value. A line without a colon is a field name with an empty
        # value.
        field, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        # [spec] Field names must be compared literally, with no case folding performed.
        if field == b"data":
            self._data.append(value)
        elif field == b"id":
            # [spec] If the field value does not contain U+0000 NULL, then set the last event ID buffer to the
            # field value. Otherwise, ignore the field.
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif field == b"event":
            self._event = value
        elif field == b"retry" and value.isdigit():
            # [spec] If the field value consists of only ASCII digits, then interpret the field value as an
            # integer in base ten, and set the event stream's reconnection time to that integer. Not at the
            # end of the event: at once. And int() of thousands of digits raises, eleven are enough.
            digits = value.lstrip(b"0")[:11] or b"0"
            self.retry = self._event_retry = min(int(digits), MAX_RETRY)
        # [spec] Otherwise: The field is ignored.

    def _dispatch(self) -> ServerSentEvent | None:
        # [spec] Set the last event ID string of the event source to the value of the last event ID buffer.
        # The buffer does not get reset.
        self.last_event_id = self._id
        data, name, retry = self._data, self._event, self._event_retry
        self._event, self._event_retry = b"", None
        # [spec] If the data buffer is an empty string, set the data buffer and the event type buffer to the
        # empty string and return.
        if not data:
            return None
        # [spec] If the data buffer's last character is a U+000A LINE FEED (LF) character, then remove the
        # last character from the data buffer: each line had brought one, so they are joined by it.
        text = (data[0] if len(data) == 1 else b"\n".join(data)).decode("utf-8", "replace")
        data.clear()
        return received(text, name.decode("utf-8", "replace") if name else None, self._id or None, retry)
