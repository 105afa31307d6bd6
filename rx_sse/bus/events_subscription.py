"""One subscription to `bus.events(...)`.

It has one reader for each topic and one observer for all of them. With a cursor
(`after=last_event_id(request)`) it waits until the connection has written the opening `stream-cursor`, and
reports positions and gaps to the cursor, outside the pipeline. `filter` and `map` run here, before the
pipeline, so that the position also moves past the events that they drop.

Standard: docs/resume.md §2, §3.
Never: an exception of a user's function breaks the stream: it is a gap for that entry only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

from reactivex import abc

from rx_sse.bus.core import Core
from rx_sse.bus.gap import Gap
from rx_sse.bus.head_start import head_of
from rx_sse.bus.local_topic import LocalTopic
from rx_sse.bus.log.entry import Entry
from rx_sse.bus.log.position import UNKNOWN, Place, Position, mark_of, order_of, seq_of
from rx_sse.bus.names import is_run
from rx_sse.bus.resume.reader import Reader
from rx_sse.bus.resume.stream_cursor import StreamCursor
from rx_sse.bus.runs.failure import failure_of_run
from rx_sse.bus.shaped import encoded, marked, shaped
from rx_sse.bus.since import Since, fresh_since
from rx_sse.bus.subscription import BatchObserver, takes_batches
from rx_sse.bus.user_code import NO_FUNCTIONS, Functions, UserCode
from rx_sse.delivery.batch import EventBatch
from rx_sse.errors import Overloaded, RxSseError
from rx_sse.reactive.contexts import enter
from rx_sse.reactive.observer import Callbacks, ignore, unhandled
from rx_sse.wire.event import ServerSentEvent

WHOLE = 1_000_000_000
"""Entries: all of a run."""
NOTHING: Final[frozenset[str]] = frozenset()


class EventsSubscription(abc.DisposableBase):
    """One subscription to `Events`.

    Attributes:
        ready: every topic knows its start position.
    """

    __slots__ = (
        "_callbacks",
        "_core",
        "_deadline",
        "_disposed",
        "_handle",
        "_left",
        "_read",
        "_readers",
        "_replaying",
        "_unlocated",
        "_user_code",
        "_wholes",
        "ready",
    )

    def __init__(
        self, core: Core, handle: StreamCursor | None, functions: Functions, callbacks: Callbacks
    ) -> None:
        plain = takes_batches(callbacks) and functions == NO_FUNCTIONS
        self._user_code = None if plain else UserCode(functions)
        self._core = core
        self._handle = handle
        self._callbacks = callbacks
        self._readers: tuple[Reader, ...] = ()
        self._disposed = False
        self._unlocated = 0
        self._wholes: frozenset[str] = NOTHING
        self._left = 0
        self._replaying = False
        self._read = 0
        self._deadline: asyncio.TimerHandle | None = None
        self.ready = False

    @property
    def user(self) -> str | None:
        return None if self._handle is None else self._handle.user

    @property
    def refs(self) -> tuple[str, ...]:
        return tuple(reader.local.ref for reader in self._readers)

    def start(self, names: dict[str, str], last: int, since: Since | None) -> None:
        """Find the start position in topics, given with their references: without a cursor, `last` entries
        before the end, or the first entry since a time."""
        core, code = self._core, self._user_code
        runtime = core.runtime
        fresh = None if since is None else fresh_since(since, runtime)
        runtime.require_loop()
        runtime.subscribers[self] = None
        if code is None and fresh is None and not last and (head := head_of(core, self._handle, names)):
            self._start_at(head)
            return
        topics = {ref: topic for topic, ref in names.items()}
        unknown: dict[str, Place | None] = dict.fromkeys(topics)
        places = unknown if self._handle is None else self._handle.attach(self, topics)
        self._unlocated = self._left = len(places)
        context = None if code is None else code.context
        for ref, topic in topics.items():
            local = core.topics.local(topic)
            after, past = places[ref] or (None, None)
            emit, receive = self._ways(local)
            depth = last
            if is_run(topic):
                core.runs.reads(topic)
                # A run is read from its beginning, unless the call sets another.
                if not last and fresh is None and (code is None or code.snapshot is None):
                    depth = WHOLE
                    if after is None:
                        self._wholes |= {ref}
            where = (after, past, depth, fresh)
            reader = Reader(local, runtime, self, emit, receive, *where, context=context)
            self._readers += (reader,)
            core.rosters.join(topic, self.user)
        for reader in self._readers:
            reader.locate()
        if not self.ready and not self._disposed:
            self._deadline = runtime.after(core.position_timeout, self._overdue)

    def _start_at(self, local: LocalTopic) -> None:
        """Begin at the position of the only topic, live."""
        handle, position, batches = self._handle, local.position, cast(BatchObserver, self._callbacks)
        assert handle is not None and position is not None
        self._left = 1
        self.ready = True
        handle.begin_at(self, local.ref, position, order_of(position, local.epoch))
        self._readers = (Reader(local, None, self, receive=batches.on_batch),)
        self._core.rosters.join(local.topic, handle.user)

    def release(self) -> None:
        """The client has received the start position: replay, then deliver live."""
        for reader in self._readers:
            if self._needs_snapshot(reader):
                self._take_snapshot(reader)
            else:
                reader.go()

    def dispose(self) -> None:
        """Release everything. On any thread."""
        if self._disposed:
            return
        self._disposed = True
        self._core.runtime.run_on_loop(self._leave)

    def fail(self, error: Exception) -> None:
        """End the subscription with an error."""
        if not self._disposed:
            self.dispose()
            self._run(self._callbacks.on_error, error)

    # -- the readers' side -----------------------------------------------------------------------------------

    def begins(self, reader: Reader) -> bool:
        """The log is read for a topic: it is a replay, of which there may be too many."""
        if not self._replaying and not self._disposed:
            try:
                self._core.limiter.enter(self.user)
                self._replaying = True
            except Overloaded as error:
                self.fail(error)
        return self._replaying

    def located(self, reader: Reader) -> None:
        """One topic has found its start position."""
        replay = reader.replay
        if self._disposed or replay is None or (replay.from_log and not self.begins(reader)):
            return
        local, handle = reader.local, self._handle
        if local.ref in self._wholes and replay.gap is None and (missed := seq_of(replay.position)):
            replay.gap = Gap(local.topic, "trimmed", missed, None, replay.position)
        if handle is not None:
            position: Position | None = replay.position
            order, pending = order_of(replay.position, local.epoch), replay.gap is not None
            if replay.gap is not None:  # until the client gets the gap, its cursor remains invalid
                position = replay.gap.last or UNKNOWN
                order = -1
            elif self._needs_snapshot(reader):
                position, order, pending = None, -1, True
            handle.starts(local.ref, position, order, resumed=replay.resumed, pending=pending)
        self._unlocated -= 1
        if self._unlocated == 0:
            self.ready = True
            self._in_time()
            if handle is not None:
                handle.settled(self._core.runtime.soon)
            else:
                self._core.runtime.soon(self.release)

    def caught_up(self, reader: Reader) -> None:
        """A reader is live: its replay from the log, if it had one, is over."""
        if reader.replayed is not None:
            self._core.measures.replayed.observe(reader.replayed)
        if self._replaying and all(other.replay is None for other in self._readers):
            self._end_replay()

    def missed(self, reader: Reader, gap: Gap) -> None:
        """Entries are missing for this reader."""
        runtime = self._core.runtime
        runtime.counted("gaps_told")
        if self._handle is not None and self._handle.outlet is not None:
            order = -1 if gap.next is None else order_of(gap.next, reader.local.epoch)
            self._handle.missed(reader.local.ref, gap, order)
            reader.mind(self._handle.past(reader.local.ref))
        else:
            runtime.lost(gap)
        if self._user_code is not None and self._user_code.on_gap is not None:
            try:
                self._run(self._user_code.on_gap, gap)
            except Exception as error:
                runtime.raised("rx_sse: on_gap raised", error)

    def strayed(self, reader: Reader) -> None:
        """The client's cursor is ahead of the log that is followed now: the stream can find it only at a
        reconnect."""
        self.fail(Overloaded(f"{reader.local.topic}: the log has changed under the stream"))

    def passed(self, reader: Reader, entry: Entry) -> None:
        """An entry from which the client gets no event."""
        # Without a filter, events still on their way through the pipeline are not counted, so the cursor
        # moves with the next event only.
        if self._handle is not None and self._shaped:
            local = reader.local
            history = self._core.retentions.of(local.topic).entries
            self._handle.passed(mark_of(local.ref, entry.position, local.epoch), history)

    def ended(self, reader: Reader, entry: Entry | None) -> None:
        """A topic was ended; the stream ends with the last of them."""
        if entry is None and is_run(reader.local.topic):  # the cursor is at the end mark, which says how
            self._core.runs.end_of(reader.local.topic, partial(self._ended, reader))
        else:
            self._ended(reader, entry)

    def _ended(self, reader: Reader, entry: Entry | None) -> None:
        if self._disposed or reader not in self._readers:
            return
        if entry is not None:
            self.passed(reader, entry)
            detail = entry.detail()
            if is_run(reader.local.topic) and (problem := detail.get("problem")) is not None:
                self.fail(failure_of_run(problem))
                return
            if self._handle is not None and is_run(reader.local.topic):
                self._handle.reason = str(detail.get("reason"))
        self._let_go(reader)
        self._left -= 1
        if self._left == 0 and not self._disposed:
            self.dispose()
            self._run(self._callbacks.on_completed)

    def room(self, again: Callable[[], None]) -> bool:
        """Whether the connection has room for a block; without one, the loop gets a turn between two."""
        outlet = None if self._handle is None else self._handle.outlet
        if outlet is None or outlet.drained:
            self._core.runtime.soon(again)
        else:
            outlet.on_drained(again)
        return False

    def replaying(self, begun: bool) -> None:
        """A block begins, or has ended: it was read when the queue was empty, so it fits."""
        if self._handle is not None and (outlet := self._handle.outlet) is not None:
            outlet.replaying(begun)

    def failed(self, reader: Reader, error: Exception) -> None:
        """The observer raised: it is removed."""
        self._core.runtime.raised("rx_sse: an observer of events() raised and was removed", error)
        self.dispose()

    def shutdown(self, error: RxSseError) -> None:
        """The bus closes."""
        self.dispose() if self._callbacks.on_error is unhandled else self.fail(error)

    # -- inside ----------------------------------------------------------------------------------------------

    @property
    def _shaped(self) -> bool:
        return self._user_code is not None and self._user_code.shapes

    def _ways(self, local: LocalTopic) -> tuple[Callable[[Any], None], Callable[[EventBatch], None] | None]:
        """The functions by which a reader delivers events: one by one, or in batches."""
        callbacks = self._callbacks
        if self._shaped:
            return partial(self._shape, local), None
        if takes_batches(callbacks):
            return ignore, callbacks.on_batch
        return callbacks.on_next, None

    def _run(self, call: Callable[..., None], *values: Any) -> None:
        """Call a function that may be the user's, in the context of the subscription."""
        if self._user_code is None:
            call(*values)
        else:
            enter(self._user_code.context, call, *values)

    def _in_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _overdue(self) -> None:
        if not self.ready:
            timeout = self._core.position_timeout
            self.fail(Overloaded("the bus did not get its position in time", retry_after=timeout or None))

    def _leave(self) -> None:
        for reader in self._readers:
            self._let_go(reader)
        self._in_time()
        self._end_replay()
        if self._handle is not None:
            self._handle.detach(self)
        self._core.runtime.subscribers.pop(self, None)

    def _end_replay(self) -> None:
        if self._replaying:
            self._replaying = False
            read = self._read + sum(reader.read for reader in self._readers)
            self._core.limiter.leave(self.user, read)
            for reader in self._readers:
                reader.read = 0
            self._read = 0

    def _let_go(self, reader: Reader) -> None:
        if reader in self._readers:
            self._readers = tuple(other for other in self._readers if other is not reader)
            self._core.rosters.leave(reader.local.topic, self.user)
            reader.close()
            self._read += reader.read

    def _needs_snapshot(self, reader: Reader) -> bool:
        code, replay = self._user_code, reader.replay
        return (
            code is not None
            and code.snapshot is not None
            and replay is not None
            and replay.gap is None
            and not replay.resumed
        )

    def _take_snapshot(self, reader: Reader) -> None:
        code = self._user_code
        assert code is not None
        done = partial(self._snapped, reader)
        self._core.snapshots.take(code.snapshot, reader.local, self.user, code.context, done)

    def _snapped(self, reader: Reader, position: Position, outcome: Any) -> None:
        """The state of a topic as of `position`, or the exception that its function raised."""
        if self._disposed or reader not in self._readers or reader.replay is None:
            return
        if isinstance(outcome, Exception):
            self.fail(outcome)
            return
        local = reader.local
        reader.replay.position = position
        mark = mark_of(local.ref, position, local.epoch)
        if outcome is not None:
            try:
                event = encoded(outcome, self._core.dumps)
            except Exception as error:
                self.fail(error)
                return
            try:
                self._run(self._callbacks.on_next, marked(event, local.topic, mark))
            except Exception as error:
                self.failed(reader, error)
                return
        elif self._handle is not None:
            self._handle.passed(mark, 1)
        reader.go()

    def _shape(self, local: LocalTopic, event: ServerSentEvent) -> None:
        """Apply `filter` and `map` to one event. Runs in the context of the subscription."""
        code, handle = self._user_code, self._handle
        assert code is not None
        mark: Any = event.position
        try:
            made = shaped(event, code, local.ref, self._core.dumps)
        except Exception as error:
            self._core.runtime.error(error, local.topic)
            reader = next(reader for reader in self._readers if reader.local is local)
            self.missed(reader, Gap(local.topic, "failed", 1, None, mark.position))
            return
        if handle is not None and made is None:
            handle.passed(mark, self._core.retentions.of(local.topic).entries)
        elif handle is not None:
            handle.entered(mark)
        if made is not None:
            self._callbacks.on_next(made)
