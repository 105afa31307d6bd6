"""`bus.topic(name)`: a Subject of values.

Push any value into it, from any thread, without await; subscribers get the values as decoded from JSON, live,
in order. It holds nothing itself: it is a name and its bus, made anew at each call, so a million topics that
were used once leave nothing here.

It is a local. A source that completes or fails into it does not end it; a failure goes to `bus.errors`, and
`await bus.end(name)` ends it, in the log, for the readers of every process.

Standard: the Observable contract (ReactiveX); the name of the role is Subject.
Never: `on_next` delivers inside the call, or waits on a loop's thread.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, NoReturn

from reactivex import Observable, abc

from rx_sse.bus.core import Core
from rx_sse.bus.form import Form
from rx_sse.bus.log.entry import draft_of
from rx_sse.bus.runtime import NOT_RUNNING
from rx_sse.bus.subscription import ValuesSubscription
from rx_sse.errors import BusClosed, UsageError
from rx_sse.reactive.observer import Callbacks, Unwrapped
from rx_sse.wire.event import ServerSentEvent


class _Live(Unwrapped[Any]):
    """The live items of a topic, in one of its forms."""

    scheduled = False

    def __init__(self, core: Core, name: str, form: Form) -> None:
        self.name = name
        self._core = core
        self._form = form

    def subscribe_observer(
        self, observer: Callbacks, scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        """Subscribe, from any thread that has no other loop; the observer is called on the bus's loop."""
        runtime = self._core.runtime
        subscription = ValuesSubscription(self._core, self.name, self._form, observer)
        try:
            runtime.require_no_other_loop()
        except (BusClosed, UsageError) as error:
            subscription.refuse(error)
        else:
            runtime.run_on_loop(subscription.start)
        return subscription

    def __await__(self) -> Generator[Any, None, NoReturn]:
        raise UsageError(
            f"topic {self.name!r} is endless: return it from the handler, or subscribe; do not await it"
        )

    def __reduce__(self) -> NoReturn:
        self._core.__reduce__()


class Topic(_Live, abc.SubjectBase[Any]):
    """A Subject of a topic's values.

    Values are shared by all subscribers: do not change them. A pushed `ServerSentEvent` is received as its
    text.
    """

    def __init__(self, core: Core, name: str) -> None:
        self.name = name  # as in `_Live`, without a call: a topic is made anew for every push
        self._core = core
        self._form = Form.VALUES

    def on_next(self, value: Any) -> None:
        """Publish a value, at most once. Returns before any subscriber gets it.

        Args:
            value: as in a handler: a `str` as text, a `ServerSentEvent` with its event name, anything else as
                JSON.

        Raises:
            EncodeError: the value cannot be sent.
            EventTooLarge: it is over 1 MB.
            QueueFull: there is no room. A thread without a loop has waited `publish_timeout` for it; on a
                loop, readers get a gap as soon as there is room.
            BusClosed: the bus is not running.
        """
        core = self._core
        publisher = core.publisher
        if publisher is None:
            raise BusClosed(NOT_RUNNING)
        retentions = core.retentions
        kept = retentions.find(self.name, retentions.default)
        publisher.push(draft_of(self.name, value, None, kept, core.dumps))

    def on_error(self, error: Exception) -> None:
        """A source failed into the topic: `bus.errors` gets the error, and the topic continues."""
        self._core.runtime.error(error, self.name)

    def on_completed(self) -> None:
        """A source completed into the topic, which continues."""

    def as_events(self) -> Observable[ServerSentEvent]:
        """The topic as events without ids, encoded once for all subscribers. A topic returned from a handler
        is sent this way.
        """
        return _Live(self._core, self.name, Form.PLAIN)

    def __repr__(self) -> str:
        return f"Topic({self.name!r})"
