"""The probe of one server: an entry that must come back to this process.

A connection can look healthy and receive nothing: after a failover, behind a dead NAT entry, with a stopped
server. So once an interval an entry is published by the script that publishes everything, on a channel of
this server, and must come back over the subscribing connection. After two missing probes this process counts
as cut off (`deaf`). After three, the connection at fault is closed. An entry that the server refused (no
memory, no disk) proves nothing about reading, and no connection is closed for it: it only means that the
server is not ready.

Standard: docs/resume.md §5.
Never: two probes in flight.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from rx_sse.bus.log.entry import TEXT, Draft
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.redis.net.connection import Connection
from rx_sse.bus.redis.protocol.append import AppendBatch
from rx_sse.bus.redis.protocol.call import Done, Retry
from rx_sse.bus.redis.protocol.fence import Fence
from rx_sse.bus.redis.protocol.keys import Keys

GIVE_UP = 3
"""Missing probes before a connection is closed."""
AGE = 60.0


class Blame(Enum):
    """Which connections to close."""

    NONE = "none"
    EARS = "ears"
    BOTH = "both"


class Probe:
    """The probe of one server.

    Args:
        keys: names of keys.
        announce: ``PUBLISH``, or ``SPUBLISH`` on a cluster.

    Attributes:
        topic: the library's own topic that it is published to; empty while there is none.
        channel: the channel of that topic.
        partition: the partition of that topic, if it matters.
        heard: whether a probe has come back since the connections were made.
    """

    __slots__ = (
        "_accepted", "_announce", "_encoded", "_fence", "_keys", "_nonce", "_refused", "_silent", "channel",
        "heard", "partition", "topic",
    )  # fmt: skip

    def __init__(self, keys: Keys, announce: str) -> None:
        self._keys = keys
        self._announce = announce
        self._fence = Fence()
        self._encoded = b""
        self._nonce: int | None = None  # of the probe in flight
        self._accepted = False
        self._refused = False
        self._silent = 0
        self.topic = self.channel = ""
        self.partition: int | None = None
        self.heard = False

    @property
    def ready(self) -> bool:
        """Whether published messages come back, as far as known."""
        return self.heard and self._silent == 0

    @property
    def deaf(self) -> bool:
        """Whether the server accepts publishes and does not send them back."""
        return self._accepted and self._silent >= 2

    def on(self, topic: str, partition: int | None) -> None:
        """Use this topic from now on."""
        self.topic, self.partition = topic, partition
        self.channel = self._keys.channel(topic)
        self._encoded = self.channel.encode()
        self._nonce = None

    def send(self, connection: Connection) -> None:
        """Publish a probe."""
        draft = Draft(self.topic, TEXT, "", None, Retention(1, 1024, AGE))
        batch = AppendBatch([draft], self._keys)
        call = batch.call(self._announce, self._fence)
        self._nonce = draft.nonce
        self._accepted = self._refused = False

        def answered(answer: Any) -> None:
            match call.reply(answer):
                case Retry(at_once=True, where=None):
                    connection.call(call, answered)
                case Retry(code=code):
                    self._refused = code != "LOST"
                case Done(answer=Exception()):
                    self._refused = True
                case Done(answer=found):
                    self._accepted = isinstance(batch.outcomes(found, self._fence)[1][0], int)
                    self._refused = not self._accepted

        connection.call(call, answered)

    def is_echo(self, channel: bytes, text: bytes) -> bool:
        """Whether a message is a probe's; if it is that of the probe in flight, the probe has come back."""
        if channel != self._encoded:
            return False
        if self._nonce is not None and f" {self._nonce}:".encode() in text:
            self._nonce = None
            self._silent = 0
            self.heard = True
        return True

    def overdue(self) -> Blame:
        """An interval is over: if the probe has not come back, the connections to close."""
        if self._nonce is None:
            return Blame.NONE
        self._silent += 1
        if self._silent < GIVE_UP or self._refused:
            return Blame.NONE
        self._nonce = None
        return Blame.EARS if self._accepted else Blame.BOTH
