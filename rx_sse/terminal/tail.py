"""``python -m rx_sse tail URL``: any stream of server-sent events in the terminal.

Standard: WHATWG HTML §9.2, through `rx_sse.EventSource`: it reconnects and resumes as a browser does. The
exit status is 0 when the stream has ended, 1 when it failed, 2 for a wrong call, 130 for Ctrl-C. A refused
certificate is a failure: it would be the same at every attempt.

It reads as fast as it prints: a slow terminal, or a slow ``| command``, slows the server down.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from contextlib import aclosing, suppress
from datetime import datetime
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final

import aiohttp

from rx_sse import EventSource, RxSseError, ServerSentEvent
from rx_sse.client import ConnectionState
from rx_sse.terminal.credentials import add_options, exposed, headers
from rx_sse.terminal.filters import Absent, condition, field
from rx_sse.terminal.meter import Meter, moment
from rx_sse.terminal.parser import Parser
from rx_sse.terminal.screen import Screen, columns
from rx_sse.terminal.server import HINT, connector, tls, with_scheme
from rx_sse.terminal.server import add_options as add_tls
from rx_sse.terminal.text import Palette, as_json
from rx_sse.wire.harmless import harmless

__all__ = ["main"]

# Seconds between two updates of the bottom line.
_LOOK: Final = 0.5

# Minimal width for which JSON is laid out: in a narrower pane each value has a line of its own and wraps.
_NARROWEST: Final = 20


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a character that a terminal cannot show must not stop it
            stream.reconfigure(errors="backslashreplace")
    try:
        tail = Tail(given)
    except (RxSseError, ValueError, OSError) as error:
        parser.error(str(error))
    try:
        return asyncio.run(tail.run())
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has closed the pipe, as `head` does. Python would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class Tail:
    """One run of the command.

    Raises:
        UsageError, ValueError, OSError: an argument is invalid.
    """

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._conditions = [condition(text) for text in given.where]
        colour = {"always": True, "never": False}.get(given.color)
        if colour is None:
            colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._palette = Palette(colour)
        self._notes = Palette(sys.stderr.isatty() and not os.environ.get("NO_COLOR"))
        self._to_terminal = sys.stdout.isatty()
        self._screen = Screen(sys.stdout, sys.stderr, quiet=given.quiet)
        self._meter = Meter(time.monotonic())
        self._opened: float | None = None
        body = given.body
        if body is not None and body.startswith("@"):
            body = sys.stdin.buffer.read() if body == "@-" else Path(body[1:]).read_bytes()
        sent = headers(given.header_file, os.environ, given.header)
        if (warning := exposed(given.header)) is not None:
            self._screen.note(self._notes.faint(f"rx_sse: {warning}"))
        if body is not None and "content-type" not in map(str.lower, sent):
            sent["Content-Type"] = "application/json"
        self._certificates = tls(given)
        self._source = partial(
            EventSource,
            with_scheme(given.url),
            method=given.method or ("GET" if body is None else "POST"),
            headers=sent,
            body=body,
            last_event_id=given.since,
            reconnect=given.reconnect,
            read_timeout=given.timeout,
            on_state=self._state,
            on_comment=self._comment if given.comments else None,
        )
        self._source()  # raises invalid arguments now instead of later
        self._reading: asyncio.Task[int] | None = None
        self._futile = ""

    async def run(self) -> int:
        """Run until the stream has ended, or enough was shown; returns the exit status."""
        looking = asyncio.create_task(self._look()) if self._screen.has_bottom else None
        try:
            self._reading = asyncio.create_task(self._read())
            return await self._reading
        except asyncio.CancelledError:
            if not self._futile:
                raise
            return self._failed(self._futile)
        except RxSseError as error:
            hint = HINT if isinstance(error.__cause__, aiohttp.ClientConnectorCertificateError) else ""
            return self._failed(str(error) + hint)
        finally:
            if looking is not None:
                looking.cancel()
                with suppress(asyncio.CancelledError):
                    await looking
            self._screen.note(self._notes.faint(self._meter.summary(time.monotonic())))

    async def _read(self) -> int:
        async with aiohttp.ClientSession(connector=connector(self._certificates)) as session:
            shown = 0
            async with aclosing(aiter(self._source(session=session))) as events:
                async for event in events:
                    if self._event(event):
                        shown += 1
                        if shown == self._given.count:
                            break
        return 0

    def _failed(self, why: str) -> int:
        self._screen.error(self._notes.bad(f"rx_sse: {harmless(why)}"))
        return 1

    def _event(self, event: ServerSentEvent) -> bool:
        """Print an event; returns whether it passed the filters."""
        given = self._given
        value: Any = Absent
        if self._conditions or given.lag:
            with suppress(ValueError, RecursionError):
                value = event.json()
        made = moment(field(value, given.lag)) if given.lag else None
        lag = None if made is None else time.time() - made
        self._meter.event(lag)
        if given.event and event.type not in given.event:
            return False
        if not all(holds(value) for holds in self._conditions):
            return False
        self._screen.event(self._raw(event) if given.raw else self._pretty(event, lag))
        return True

    def _raw(self, event: ServerSentEvent) -> str:
        return harmless(event.data) if self._to_terminal else event.data

    def _pretty(self, event: ServerSentEvent, lag: float | None) -> str:
        palette = self._palette
        name = (palette.control if event.is_control else palette.name)(harmless(event.type))
        head = [palette.faint(datetime.now().strftime("%H:%M:%S.%f")[:-3]), name]
        if event.last_event_id:
            head.append(palette.faint(f"id={harmless(event.last_event_id)}"))
        if event.retry is not None:
            head.append(palette.faint(f"retry={event.retry}"))
        if lag is not None:
            head.append(palette.faint(f"lag={span(lag)}"))
        width = max(columns(sys.stdout) - 2, _NARROWEST)
        data = as_json(event.data, palette, width)
        if data is None:
            data = harmless(event.data)
        return "\n  ".join([" ".join(head), *data.split("\n")])

    def _comment(self, text: str) -> None:
        self._screen.note(self._notes.faint(f": {harmless(text)}"))

    def _state(self, state: ConnectionState) -> None:
        notes, reason = self._notes, harmless(state.reason)
        resume = f", from id {harmless(state.last_event_id)}" if state.last_event_id else ""
        if state.state == "open":
            self._opened = time.monotonic()
            self._screen.note(f"{notes.good('● open')} {harmless(state.url)} {notes.faint(reason)}")
        elif state.state == "closed":
            if state.error is not None or self._futile:  # the command reports it itself
                return
            self._screen.note(f"{notes.faint('■ closed')} {reason}")
        elif isinstance(state.error, aiohttp.ClientConnectorCertificateError):
            self._futile = f"{state.reason}{HINT}"
            if self._reading is not None:
                self._reading.cancel()
        elif state.delay or state.error is not None:
            self._opened = None
            self._screen.note(f"{notes.bad('○ lost')} {reason}; again in {span(state.delay)}{resume}")

    async def _look(self) -> None:
        """Update the bottom line."""
        while True:
            await asyncio.sleep(_LOOK)
            now = time.monotonic()
            parts = [f"{self._meter.rate(now):,.1f}/s", f"{self._meter.count:,} in all"]
            if self._meter.lag is not None:
                parts.append(f"lag {span(self._meter.lag)}")
            parts.append("connecting" if self._opened is None else f"open for {span(now - self._opened)}")
            self._screen.bottom(" · ".join(parts), self._notes.faint)


def span(seconds: float) -> str:
    """A duration for a person to read."""
    if abs(seconds) < 1:
        return f"{seconds * 1000:.0f} ms"
    if abs(seconds) < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if abs(seconds) < 7200 else f"{seconds / 3600:.1f} h"


def positive(text: str) -> int:
    """A positive count."""
    if (count := int(text)) < 1:
        raise ValueError(text)
    return count


def _parser() -> Parser:
    parser = Parser("tail", "Show a stream of server-sent events, and stay with it.")
    add = parser.add_argument
    add("url", metavar="URL", help="without a scheme: http for this machine, https for another host")
    add("--event", action="append", default=[], metavar="NAME", help="only events of this name; repeatable")
    add(
        "--where",
        action="append",
        default=[],
        metavar="CONDITION",
        help="only events whose JSON has it: user.name=ada, level!=debug, price>=10, error; repeatable",
    )
    add("--since", metavar="ID", help="resume after this event")
    add("-n", "--count", type=positive, metavar="N", help="stop after N events")
    add("--raw", action="store_true", help="the data alone, as it was sent")
    add("--lag", metavar="FIELD", help="the field that holds an event's time, to show how old it is")
    add("--comments", action="store_true", help="show comments, heartbeats among them")
    add("--quiet", action="store_true", help="events only: no connection states, no rate")
    add("--color", choices=["auto", "always", "never"], default="auto", help="auto: when it is a terminal")
    add("--method", help="GET, or POST with a body")
    add("--body", metavar="TEXT", help="a body to send, as JSON unless a header says otherwise; @FILE, @-")
    add("--timeout", type=float, metavar="SECONDS", help="reconnect after so long without a byte")
    add(
        "--reconnect",
        action=argparse.BooleanOptionalAction,
        help="whether to go on after the first connection; by default with GET and HEAD alone, since "
        "another request, such as one with a body, would be sent again",
    )
    add_tls(parser)
    add_options(parser)
    return parser
