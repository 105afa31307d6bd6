"""A subscription to a topic's values.

It is one object, and a delivery is one call of the observer's own `on_next`, in the context in which it
subscribed.

Standard: the Observable contract (ReactiveX).
Never: a call after `dispose`, `on_error` or `on_completed`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Any, Protocol, TypeGuard

from reactivex import abc

from rx_sse.bus.core import Core
from rx_sse.bus.form import Form
from rx_sse.bus.local_topic import LocalTopic
from rx_sse.bus.log.entry import END, Entry
from rx_sse.delivery.batch import EventBatch
from rx_sse.errors import BusClosed
from rx_sse.reactive.contexts import enter, is_sink
from rx_sse.reactive.observer import Callbacks, ignore, unhandled


class BatchObserver(Callbacks, Protocol):
    """An observer that only this source calls, on the loop's thread: a connection."""

    def pulled(self, value: Any) -> None:
        """`on_next` for a value that the observer requested."""
        ...

    @property
    def on_batch(self) -> Callable[[EventBatch], None]:
        """Accepts many events in one call. No effect after the observer's end."""
        ...


def takes_batches(callbacks: Callbacks) -> TypeGuard[BatchObserver]:
    """Whether the observer accepts batches, and runs no code of a user's."""
    return is_sink(callbacks)


class ValuesSubscription(abc.DisposableBase):
    """A subscription to a topic's values, live.

    Args:
        core: the bus.
        topic: its name.
        form: values, or events without ids.
        callbacks: the observer's.
    """

    __slots__ = (
        "_callbacks",
        "_context",
        "_core",
        "_disposed",
        "_form",
        "_local",
        "_on_next",
        "_topic",
        "receive",
    )

    def __init__(self, core: Core, topic: str, form: Form, callbacks: Callbacks) -> None:
        self._core = core
        self._topic = topic
        self._form = form
        self._callbacks = callbacks
        self._on_next: Callable[[Any], None] = callbacks.on_next
        self._disposed = False
        self._local: LocalTopic | None = None
        self._context = None if takes_batches(callbacks) else copy_context()
        self.receive = callbacks.on_batch if takes_batches(callbacks) else self._each

    def start(self) -> None:
        """Join. On the loop's thread."""
        if self._disposed:
            return
        core = self._core
        core.runtime.subscribers[self] = None
        self._local = local = core.topics.local(self._topic)
        local.hold()
        local.join(self._form, self)
        core.rosters.join(self._topic, None)
        local.known(self._check_end)

    def dispose(self) -> None:
        """Deliver nothing more. On any thread."""
        if not self._disposed:
            self._disposed = True
            self.receive = self._on_next = ignore
            self._core.runtime.run_on_loop(self._leave)

    def fail(self, error: Exception) -> None:
        """The observer raised: it is removed, as reactivex does."""
        message = f"rx_sse: an observer of topic {self._topic!r} raised and was removed"
        self._core.runtime.raised(message, error)
        self.dispose()

    def shutdown(self, error: BusClosed) -> None:
        """The bus closes."""
        if not self._disposed:
            self.dispose()
            if self._callbacks.on_error is not unhandled:
                self._run(self._callbacks.on_error, error)

    def missed(self, gap: object) -> None:
        """Values carry no position: `bus.errors` gets the gap."""

    def special(self, entry: Entry) -> None:
        """An entry other than a value."""
        if entry.kind == END:
            self._complete()

    def refuse(self, error: Exception) -> None:
        """The subscription cannot begin: pass `error` to the observer."""
        self._disposed = True
        self._callbacks.on_error(error)

    def _run(self, call: Callable[..., None], *values: Any) -> None:
        if self._context is None:
            call(*values)
        else:
            enter(self._context, call, *values)

    def _each(self, batch: EventBatch) -> None:
        context, items = self._context, batch.items
        assert context is not None
        if len(items) == 1:  # as `enter`, without its call
            context.copy().run(self._on_next, items[0])
        else:
            context.copy().run(self._each_item, batch)

    def _each_item(self, batch: EventBatch) -> None:
        for item in batch.items:
            on_next = self._on_next  # replaced when the subscription is disposed
            on_next(item)

    def _check_end(self) -> None:
        if self._local is not None and self._local.ended:
            self._complete()

    def _complete(self) -> None:
        if not self._disposed:
            self.dispose()
            self._run(self._callbacks.on_completed)

    def _leave(self) -> None:
        local, self._local = self._local, None
        if local is not None:
            local.leave(self._form, self)
            self._core.rosters.leave(self._topic, None)
            local.release()
        self._core.runtime.subscribers.pop(self, None)
