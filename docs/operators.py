"""The recordings of the operators page: every operator over every source, run in virtual time by the build.

The code that the page shows is the code that runs: a source is a few lines that set `source`, an operator an
expression, in which `SECONDS` is the time that the reader chooses.

Standard: the hooks of MkDocs (https://www.mkdocs.org/user-guide/configuration/#hooks).
Never: a result that is written down here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import reactivex as rx
from mkdocs.structure.files import File, Files
from reactivex import operators as ops
from reactivex.scheduler import VirtualTimeScheduler

import rx_sse
from rx_sse.notebook import Recording
from rx_sse.reactive.diagram import HUES
from rx_sse.reactive.recording import Moment

FILE = "operators-recordings.js"
STEPS = (0.1, 0.2, 0.3, 0.5, 0.8, 1.2)
"""Seconds that the reader can choose."""

NAMES = {"rx": rx, "ops": ops, "rx_sse": rx_sse}


@dataclass(frozen=True)
class Source:
    """A stream to apply operators to.

    Attributes:
        title: its name on the page.
        seconds: the length of the axis.
        shows: the operators that are drawn at first.
        code: lines that set `source`.
    """

    title: str
    seconds: float
    shows: tuple[str, ...]
    code: str


SOURCES = {
    "bursts": Source(
        "Bursts",
        4.2,
        ("throttle_first", "throttle_latest", "debounce", "sample", "buffer_with_time"),
        """burst = rx.interval(0.08).pipe(ops.take(8))
pause = rx.timer(0.7).pipe(ops.ignore_elements())
source = rx.concat(burst, pause, burst.map(lambda n: n + 8), pause, burst.map(lambda n: n + 16))""",
    ),
    "steady": Source(
        "A steady sensor",
        3.0,
        ("throttle_first", "throttle_latest", "debounce", "sample"),
        "source = rx.interval(0.15)",
    ),
    "typing": Source(
        "A word typed, with pauses",
        3.6,
        ("throttle_latest", "debounce", "buffer_with_time"),
        'source = rx.from_marbles("-r-e-a-c----t-i-v-e--------s-s-e|", 0.1)',
    ),
    "prices": Source(
        "Two prices, one busy and one quiet",
        3.0,
        ("throttle_latest", "throttle_latest by key"),
        """source = rx.merge(
    rx.interval(0.07).map(lambda n: f"A{n}"),
    rx.interval(0.45).map(lambda n: f"b{n}"),
)""",
    ),
    "failing": Source(
        "A connection that is lost after three values",
        6.0,
        ("retry_backoff", "delay"),
        """source = rx.concat(
    rx.interval(0.15).pipe(ops.take(3)),
    rx.throw(ConnectionError("lost")),
)""",
    ),
}

OPERATORS = {
    "throttle_first": "ops.throttle_first(SECONDS)",
    "throttle_latest": "rx_sse.throttle_latest(SECONDS)",
    "throttle_latest by key": "rx_sse.throttle_latest(SECONDS, key=lambda value: str(value)[:1])",
    "debounce": "ops.debounce(SECONDS)",
    "sample": "ops.sample(SECONDS)",
    "buffer_with_time": (
        "ops.buffer_with_time(SECONDS), ops.filter(bool), ops.map(lambda it: f'{it[0]}…{it[-1]}')"
    ),
    "delay": "ops.delay(SECONDS)",
    "retry_backoff": "rx_sse.retry_backoff(initial=SECONDS, jitter=0.0, reset_after=60)",
}


def source_of(code: str) -> rx.Observable[Any]:
    """The Observable that the code of a source sets."""
    names = dict(NAMES)
    exec(code, names)
    return names["source"]


def operators_of(code: str, seconds: float) -> tuple[Any, ...]:
    """The operators of an expression."""
    found = eval(code.replace("SECONDS", f"{seconds:g}"), dict(NAMES))
    return found if isinstance(found, tuple) else (found,)


def recorded(stream: rx.Observable[Any], seconds: float) -> Recording:
    """A cold stream, in virtual time: its values, their times, and its end."""
    clock = VirtualTimeScheduler()
    moments: list[Moment] = []

    def hear(kind: Any, value: Any = None) -> None:
        moments.append(Moment(clock.to_seconds(clock.now), kind, value))

    subscription = stream.subscribe(
        lambda value: hear("next", value),
        lambda error: hear("error", f"{type(error).__name__}: {error}"),
        lambda: hear("completed"),
        scheduler=clock,
    )
    clock.advance_to(seconds)
    subscription.dispose()
    return Recording(moments, seconds=seconds)


def marks(recording: Recording) -> list[list[Any]]:
    """A recording as the page's script draws it: time, kind, label and group of each mark."""
    return [[round(it.at, 3), it.kind, it.label, it.group] for it in recording.lane("").ticks]


def page_data() -> dict[str, Any]:
    """All sources, all operators, and what each operator makes of each source for each number of seconds."""
    sources = []
    for name, source in SOURCES.items():
        lanes = {
            operator: [
                marks(recorded(source_of(source.code).pipe(*operators_of(code, step)), source.seconds))
                for step in STEPS
            ]
            for operator, code in OPERATORS.items()
        }
        own = marks(recorded(source_of(source.code), source.seconds))
        sources.append({"name": name, **vars(source), "own": own, "lanes": lanes})
    return {"steps": STEPS, "operators": OPERATORS, "sources": sources, "hues": HUES}


def on_files(files: Files, *, config: Any) -> Files:
    """Add the recordings as a script, which a page that was opened from a folder can load too."""
    data = json.dumps(page_data(), ensure_ascii=False, separators=(",", ":"))
    files.append(File.generated(config, FILE, content=f"globalThis.rxOperators = {data};\n"))
    return files
