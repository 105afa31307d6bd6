"""A recorded stream: its values, their times, and its end.

A `Recording` displays itself (a marble diagram in a notebook, a line of text elsewhere), is saved as one JSON
value a line, and is replayed at any speed, with the same pauses.

A file holds JSON, so values are loaded as JSON gives them: a tuple as a list, a number of numpy as a number,
a dataclass as a dict. Two recordings are equal if their files would be; so a loaded recording equals the
saved one. JSON has no NaN and no infinity: the file has ``{"$float": "nan"}`` for them.

Standard: JSON Lines for the file; the marble diagrams of ReactiveX for the picture.
Never: it changes after it was made.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Self, cast

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, SerialDisposable
from reactivex.scheduler import VirtualTimeScheduler

from rx_sse import arguments
from rx_sse.errors import EncodeError, UsageError
from rx_sse.reactive.diagram import Lane, Tick, mimebundle, svg, text
from rx_sse.reactive.scheduler import LoopScheduler
from rx_sse.wire import ServerSentEvent
from rx_sse.wire.jsontext import dumps

Kind = Literal["next", "error", "completed"]
VERSION = 1
_FLOAT = "$float"
"""The key of an object that represents NaN or an infinity; a dict with only this key is wrapped in
another."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened in a stream.

    Attributes:
        at: seconds since the recording began.
        kind: `"next"`, `"error"` or `"completed"`.
        value: the value, or the text of the error; None for a completion.
    """

    at: float
    kind: Kind
    value: Any = None


class Recording:
    """A stream, as far as it was recorded.

    Args:
        moments: in order of time; nothing follows an error or a completion.
        seconds: the duration of the recording.
        name: its name in the diagram.

    Raises:
        UsageError: moments out of order, or a time that is NaN or infinite.
    """

    __slots__ = ("moments", "name", "seconds")

    def __init__(self, moments: Iterable[Moment], *, seconds: float, name: str = "") -> None:
        self.moments = tuple(moments)
        self.seconds = seconds
        self.name = name
        times = [moment.at for moment in self.moments]
        if not all(map(math.isfinite, [*times, seconds])):
            raise UsageError("the times of a recording are finite numbers of seconds")
        if times != sorted(times) or any(moment.kind != "next" for moment in self.moments[:-1]):
            raise UsageError(
                "the moments of a recording are in the order of time, and nothing follows its end"
            )

    @property
    def values(self) -> list[Any]:
        """The values, without their times."""
        return [moment.value for moment in self.moments if moment.kind == "next"]

    @property
    def events_per_second(self) -> float:
        """Values a second, on average; 0 if no time passed."""
        return len(self.values) / self.seconds if self.seconds else 0.0

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Moment]:
        return iter(self.moments)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Recording):
            return NotImplemented
        if (self.seconds, self.name, len(self.moments)) != (other.seconds, other.name, len(other.moments)):
            return False
        try:
            return all(map(_same, self.moments, other.moments))
        except EncodeError:  # a value that no file can store
            return self.moments == other.moments

    def replay(self, speed: float = 1.0) -> Observable[Any]:
        """The recording as a cold Observable, with its pauses.

        Args:
            speed: 2.0 is twice as fast; 0 emits everything at once.

        Raises:
            UsageError: a speed below 0.
        """
        arguments.number("speed", speed, least=0)

        def subscribe(
            observer: abc.ObserverBase[Any], given: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            scheduler = given or LoopScheduler()
            timers = CompositeDisposable()
            begin = scheduler.now.timestamp()

            def step(index: int) -> None:
                moment = self.moments[index]
                if moment.kind == "error":
                    observer.on_error(RuntimeError(str(moment.value)))
                elif moment.kind == "completed":
                    observer.on_completed()
                else:
                    observer.on_next(moment.value)
                    plan(index + 1)

            def plan(index: int) -> None:
                if index == len(self.moments):
                    observer.on_completed()
                    return
                at = self.moments[index].at / speed if speed else 0.0
                due = begin + at - scheduler.now.timestamp()
                timers.clear()
                timers.add(scheduler.schedule_relative(max(0.0, due), due_now, index))

            def due_now(_: abc.SchedulerBase, index: int | None) -> None:
                assert index is not None
                step(index)

            plan(0)
            return timers

        return Observable(subscribe)

    def through(self, *operators: Callable[[Observable[Any]], Observable[Any]], name: str = "") -> Recording:
        """Apply operators to the recording, in virtual time: a day takes no longer than processing its
        values.

        The timers of operators (a throttle, a debounce) run by the recording's clock, because the scheduler
        is that of the subscription. An operator that waits for something else, a task or a thread, has no
        virtual time, and its values are lost. At the end of an unfinished recording the source completes, so
        that values which an operator holds back are seen as well; that completion is not part of the result.

        Args:
            *operators: as for `pipe`: each takes an Observable and returns one.
            name: its name in the diagram.

        Returns:
            The values that the operators emitted, and their times.

        Raises:
            UsageError: no operator.
        """
        if not operators or not all(map(callable, operators)):
            raise UsageError(
                "through() takes operators, as pipe() does: recording.through(rx_sse.throttle_latest(0.5))"
            )
        clock = VirtualTimeScheduler()
        end = max([self.seconds, *(moment.at for moment in self.moments[-1:])])
        came: list[Moment] = []

        def hear(kind: Kind, value: Any) -> None:
            came.append(Moment(clock.to_seconds(clock.now), kind, value))

        made: Observable[Any] = Observable(partial(self._emit, clock, end))
        for operator in operators:
            made = operator(made)
        subscription = made.subscribe(
            lambda value: hear("next", value),
            lambda error: hear("error", f"{type(error).__name__}: {error}"),
            lambda: hear("completed", None),
            scheduler=clock,
        )
        clock.advance_to(end + 1e-6)
        subscription.dispose()
        if came and came[-1].kind == "completed" and came[-1].at >= end and not self._completes:
            came.pop()
        return Recording(came, seconds=self.seconds, name=name)

    @property
    def _completes(self) -> bool:
        return bool(self.moments) and self.moments[-1].kind == "completed"

    def _emit(
        self,
        clock: VirtualTimeScheduler,
        end: float,
        observer: abc.ObserverBase[Any],
        scheduler: abc.SchedulerBase | None = None,
    ) -> abc.DisposableBase:
        """Emit the moments at their times, by a virtual clock, and complete at `end`."""
        following = SerialDisposable()

        def plan(index: int) -> None:
            at = self.moments[index].at if index < len(self.moments) else end
            following.disposable = clock.schedule_absolute(at, step, index)

        def step(_: abc.SchedulerBase, index: int | None) -> None:
            assert index is not None
            moment = self.moments[index] if index < len(self.moments) else Moment(end, "completed")
            if moment.kind == "error":
                observer.on_error(RuntimeError(str(moment.value)))
            elif moment.kind == "completed":
                observer.on_completed()
            else:
                observer.on_next(moment.value)
                plan(index + 1)

        plan(0)
        return following

    def to_pandas(self) -> Any:
        """The values as a `pandas.DataFrame`, its index the seconds since the recording began.

        Columns: of events ``type``, ``id`` and ``data``; of values that are all dicts, a column for each key;
        otherwise ``value``.

        Raises:
            ImportError: pandas is not installed.
        """
        try:
            pandas: Any = import_module("pandas")  # an extra that nothing else here imports
        except ImportError as error:
            raise ImportError("to_pandas() needs pandas: pip install pandas") from error
        values = self.values
        rows: list[Any] | dict[str, list[Any]]
        if values and all(isinstance(value, ServerSentEvent) for value in values):
            rows = [{"type": event.type, "id": event.id, "data": event.data} for event in values]
        elif values and all(isinstance(value, dict) for value in values):
            rows = values
        else:
            rows = {"value": values}
        index: Any = pandas.Index(
            [moment.at for moment in self.moments if moment.kind == "next"], name="seconds", dtype=float
        )
        return pandas.DataFrame(rows, index=index)

    # -- files -----------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write it to a file, one moment a line.

        Raises:
            EncodeError: a value that JSON cannot represent.
        """
        head = {"rx_sse": VERSION, "name": self.name, "seconds": self.seconds}
        lines = [json.dumps(head), *(dumps(_written(moment)) for moment in self.moments)]
        Path(path).write_text("\n".join(lines) + "\n", "utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that `save` wrote.

        Raises:
            UsageError: the file holds no recording.
        """
        try:
            written = Path(path).read_text("utf-8")
            head, *lines = written.removesuffix("\n").split("\n")  # not splitlines: U+2028
            told = json.loads(head)
            if told["rx_sse"] != VERSION:
                raise UsageError(
                    f"{path}: version {told['rx_sse']!r} of a recording; this is version {VERSION}"
                )
            moments = [_read(json.loads(line)) for line in lines]
            return cls(moments, seconds=float(told["seconds"]), name=str(told["name"]))
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise UsageError(f"{path} holds no recording: {error}") from error
        except RecursionError:
            raise UsageError(f"{path} holds no recording: its JSON is nested too deeply") from None

    # -- display ---------------------------------------------------------------------------------------------

    def lane(self, name: str | None = None) -> Lane:
        """The recording as a lane of a marble diagram."""
        return Lane(
            name if name is not None else self.name, [_tick(moment) for moment in self.moments], self.seconds
        )

    def __repr__(self) -> str:
        return text([self.lane()], self.seconds)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Mapping[str, str]:
        return mimebundle(repr(self), svg([self.lane()], self.seconds))


def _same(one: Moment, other: Moment) -> bool:
    return dumps(_written(one)) == dumps(_written(other))


def _written(moment: Moment) -> dict[str, Any]:
    record: dict[str, Any] = {"at": moment.at, "kind": moment.kind}
    event = moment.value
    if isinstance(event, ServerSentEvent):
        fields = {name: getattr(event, name) for name in ("data", "event", "id", "retry", "comment")}
        record["event"] = {name: value for name, value in fields.items() if value is not None}
    elif moment.kind != "completed":
        record["value"] = _plain(moment.value)
    return record


def _plain(value: Any) -> Any:
    """The value, with the file's own notation for values that JSON cannot represent."""
    if type(value).__module__ == "numpy":
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: str(value)}
    if isinstance(value, dict):
        found = {key: _plain(item) for key, item in cast("dict[object, object]", value).items()}
        return {_FLOAT: found} if set(found) == {_FLOAT} else found
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("Sequence[object]", value)]
    return value


def _value(written: Any) -> Any:
    """The inverse of `_plain`."""
    if isinstance(written, list):
        return [_value(item) for item in cast("list[object]", written)]
    if not isinstance(written, dict):
        return written
    record = cast("dict[str, Any]", written)
    if set(record) == {_FLOAT}:
        inner = record[_FLOAT]
        return float(inner) if isinstance(inner, str) else {_FLOAT: _value(inner[_FLOAT])}
    return {key: _value(item) for key, item in record.items()}


def _read(record: Any) -> Moment:
    if not isinstance(record, dict):
        raise ValueError(f"{str(record)[:40]!r} is no moment")
    record = cast("dict[str, Any]", record)
    value = _value(record.get("value"))
    if (fields := record.get("event")) is not None:
        value = ServerSentEvent(**cast(dict[str, Any], fields))
    if record["kind"] not in ("next", "error", "completed"):
        raise ValueError(f"kind {record['kind']!r}")
    return Moment(float(record["at"]), record["kind"], value)


def _tick(moment: Moment) -> Tick:
    if moment.kind != "next":
        return Tick(moment.at, moment.kind, "" if moment.value is None else str(moment.value))
    event = moment.value
    if isinstance(event, ServerSentEvent):
        if event.type == "stream-gap":
            return Tick(moment.at, "gap", _missed(event))
        return Tick(moment.at, "next", event.data, group=event.type)
    return Tick(moment.at, "next", event if isinstance(event, str) else _shown(event))


def _missed(event: ServerSentEvent) -> str:
    try:
        missed = event.json().get("missed")
    except (ValueError, AttributeError):
        missed = None
    return "?" if missed is None else str(missed)


def _shown(value: Any) -> str:
    try:
        return dumps(value)
    except ValueError:
        return repr(value)
