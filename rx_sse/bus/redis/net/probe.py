"""The probe of one server: an entry that has to come back.

A connection can look healthy and be deaf: after a failover, behind a dead NAT entry, with a stopped server.
So once an interval an entry is published by the script that publishes everything, on a channel of this
server, and has to come back over the listening connection. Two that did not come: this process is deaf.
Three: the connection that is to blame is given up. An entry that the server refused (no memory, no disk) says
nothing about reading, and nothing is given up for it: it only means that the server is not ready.

Standard: docs/resume.md §5.
Never: two probes under way.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from rx_sse.bus.log.draft import Draft, Retention
from rx_sse.bus.log.entry import TEXT
from rx_sse.bus.log.position import Position
from rx_sse.bus.redis.net.connection import Connection
from rx_sse.bus.redis.protocol.append import AppendBatch
from rx_sse.bus.redis.protocol.call import Done, Retry
from rx_sse.bus.redis.protocol.fence import Fence
from rx_sse.bus.redis.protocol.keys import Keys

GIVE_UP = 3
"""Probes that may stay unheard before a connection is given up."""
AGE = 60.0


class Blame(Enum):
    """Which connections are to be given up."""

    NONE = "none"
    EARS = "ears"
    BOTH = "both"


class Probe:
    """The probe of one server.

    Args:
        keys: names of keys.
        announce: ``PUBLISH``, or ``SPUBLISH`` on a cluster.

    Attributes:
        topic: the library's own topic that it is published to; empty: there is none yet.
        channel: of that topic.
        partition: in which it is, if that matters.
        heard: whether one has come back since the connections were made.
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
        self._nonce: int | None = None  # of the one that is under way
        self._accepted = False
        self._refused = False
        self._silent = 0
        self.topic = self.channel = ""
        self.partition: int | None = None
        self.heard = False

    @property
    def ready(self) -> bool:
        """Whether what is published comes back, as far as is known."""
        return self.heard and self._silent == 0

    @property
    def deaf(self) -> bool:
        """Whether the server takes what is published, and it does not come back."""
        return self._accepted and self._silent >= 2

    def on(self, topic: str, partition: int | None) -> None:
        """Use this topic from now on."""
        self.topic, self.partition = topic, partition
        self.channel = self._keys.channel(topic)
        self._encoded = self.channel.encode()
        self._nonce = None

    def send(self, connection: Connection) -> None:
        """Publish one."""
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
                    self._accepted = isinstance(batch.outcomes(found, self._fence)[1][0], Position)
                    self._refused = not self._accepted

        connection.call(call, answered)

    def is_echo(self, channel: bytes, text: bytes) -> bool:
        """Whether a message is one of the probe's; the one under way has come back then."""
        if channel != self._encoded:
            return False
        if self._nonce is not None and f" {self._nonce}:".encode() in text:
            self._nonce = None
            self._silent = 0
            self.heard = True
        return True

    def overdue(self) -> Blame:
        """An interval is over: what has not come back by now, and who is to blame for it."""
        if self._nonce is None:
            return Blame.NONE
        self._silent += 1
        if self._silent < GIVE_UP or self._refused:
            return Blame.NONE
        self._nonce = None
        return Blame.EARS if self._accepted else Blame.BOTH
