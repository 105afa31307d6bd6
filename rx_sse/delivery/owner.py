"""The stream that a connection belongs to, and reports to."""

from __future__ import annotations

from typing import Protocol

from rx_sse.delivery.batch import EventBatch


class Owner(Protocol):
    """Notified of what happens to the connection."""

    def lost(self) -> None:
        """The client has disconnected; nothing can be written any more."""
        ...

    def stuck(self) -> None:
        """A full socket accepted no byte for `write_timeout`."""
        ...

    def heartbeat(self) -> bytes:
        """The frame that keeps the connection alive; called when it is due and nothing is queued."""
        ...

    def deadline(self, now: float) -> float | None:
        """Do what is due, and return the time of the next deadline."""
        ...

    def uploading(self) -> bool:
        """Whether the body of the request is still being sent, or waits to be read."""
        ...

    def receive(self, batch: EventBatch) -> None:
        """Process a batch of a bus that cannot be written as it is, or not yet."""
        ...


class Nobody:
    """The owner of a connection that was handed back: an ended stream and its connection do not keep each
    other alive until a garbage collection."""

    def lost(self) -> None:
        pass

    def stuck(self) -> None:
        pass

    def heartbeat(self) -> bytes:
        return b""

    def deadline(self, now: float) -> float | None:
        return None

    def uploading(self) -> bool:
        return False

    def receive(self, batch: EventBatch) -> None:
        pass


NOBODY = Nobody()
