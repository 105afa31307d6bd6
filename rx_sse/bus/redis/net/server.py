"""One Redis server: a connection for commands, a subscribing connection, a probe through both.

The subscribing connection only passes messages on. The channels to subscribe to are a set; the changes of one
loop turn are sent in one command, and a new connection subscribes to all channels again, 512 at a time with a
turn of the loop in between.

Standard: docs/resume.md §5.
Never: it waits for a reader.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol, cast

import hiredis

from rx_sse.bus.redis.net.connection import Connection
from rx_sse.bus.redis.net.probe import GIVE_UP, Blame, Probe
from rx_sse.bus.redis.net.reconnecting import Reconnecting
from rx_sse.bus.redis.protocol.keys import Keys

AT_ONCE = 512
"""Channels in one SUBSCRIBE: 200,000 in one held a loop for 254 ms."""
AGAIN = 0.3
"""Seconds after which refused channels are requested again: by then the slot map is new."""


class Owner(Protocol):
    """The log, which a server reports to."""

    @property
    def keys(self) -> Keys: ...

    @property
    def sharded(self) -> bool:
        """Whether channels belong to slots."""
        ...

    def connected(self, server: Server) -> None:
        """Commands can be sent."""
        ...

    def counts(self, channels: list[str]) -> None:
        """These subscriptions are active from now on."""
        ...

    def message(self, channel: bytes, text: bytes) -> None: ...

    def moved(self, channel: str) -> None:
        """The server ended a subscription without an unsubscribe."""
        ...

    def wrong(self, code: str) -> None:
        """The server refused a command: it does not have the partition."""
        ...

    def trouble(self, error: Exception) -> None: ...


class Server:
    """A server.

    Args:
        owner: the log.
        dial: makes a connection; given the receiver of messages, or None for a connection for commands.
        probe_topic: a topic of the library's own whose channel this server has; None while it is not known.
        interval: seconds between two probes.
    """

    def __init__(
        self,
        owner: Owner,
        dial: Callable[[Callable[[Any], None] | None], Awaitable[Connection]],
        probe_topic: str | None,
        interval: float,
    ) -> None:
        self._owner = owner
        self._interval = interval
        self.probe = Probe(owner.keys, "SPUBLISH" if owner.sharded else "PUBLISH")
        self.commands = Reconnecting(lambda: dial(None), self._commands_up, self._down)
        self.ears = Reconnecting(lambda: dial(self._pushed), self._ears_up, self._down)
        self._channels: set[str] = set()
        self._joining: dict[str, None] = {}
        self._leaving: dict[str, None] = {}
        self._asked: dict[str, int] = {}
        self._acknowledged: list[str] = []
        self._counting = False
        self._pongs: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.last_error = ""
        if probe_topic is not None:
            self.probe_on(probe_topic, None)

    # -- lifecycle -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect, and reconnect when a connection is lost."""
        self.commands.start()
        self.ears.start()
        loop = asyncio.get_running_loop()
        self._due = loop.time() + self._interval
        self._timer = loop.call_at(self._due, self._tick)

    async def stop(self) -> None:
        """Close the connections."""
        if self._timer is not None:
            self._timer.cancel()
        await self.commands.stop()
        await self.ears.stop()

    def cut(self) -> None:
        """Close both connections: the server at their address has changed."""
        self.commands.cut()
        self.ears.cut()

    @property
    def ready(self) -> bool:
        """Whether messages published here come back, as far as known."""
        up = self.commands.connection is not None and self.ears.connection is not None
        return up and self.probe.ready

    @property
    def deaf(self) -> bool:
        """Whether the server accepts publishes and does not send them back."""
        return self.probe.deaf

    @property
    def probing(self) -> bool:
        """Whether it has a partition."""
        return bool(self.probe.topic)

    def probe_on(self, topic: str, partition: int | None) -> None:
        """Probe on this topic from now on; it is in a partition of this server."""
        if self.probe.channel:
            self.forget(self.probe.channel)
        self.probe.on(topic, partition)
        self._channels.add(self.probe.channel)
        if self.ears.connection is not None:
            self._joining[self.probe.channel] = None
            self._soon()
            self._probe()

    # -- channels --------------------------------------------------------------------------------------------

    def join(self, channel: str) -> None:
        """Subscribe to a channel; `counts` is called when the subscription is active."""
        self._leaving.pop(channel, None)
        if channel in self._channels:
            self._acknowledge(channel)
        else:
            self._channels.add(channel)
            self._joining[channel] = None
            self._soon()

    def leave(self, channel: str) -> None:
        """Unsubscribe from a channel."""
        if channel in self._channels:
            self._channels.discard(channel)
            if channel in self._joining:
                del self._joining[channel]
            else:
                self._leaving[channel] = None
                self._soon()

    def forget(self, channel: str) -> None:
        """The server has ended the subscription, or will: another server has the channel."""
        self._channels.discard(channel)
        self._joining.pop(channel, None)

    async def heard(self) -> None:
        """Wait until everything announced here before has been delivered."""
        connection = self.ears.connection
        if connection is None:
            return
        pong: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pongs.append(pong)
        connection.tell(("PING", "heard"))
        await asyncio.wait((pong, connection.gone), return_when=asyncio.FIRST_COMPLETED)

    def _soon(self) -> None:
        if len(self._joining) + len(self._leaving) == 1:
            asyncio.get_running_loop().call_soon(self._change)

    def _change(self) -> None:
        """Send the changes, a limited number of channels at a time."""
        connection = self.ears.connection
        if connection is None:
            self._joining.clear()  # a new connection subscribes to all of them
            self._leaving.clear()
            return
        for word, wanted in (("UNSUBSCRIBE", self._leaving), ("SUBSCRIBE", self._joining)):
            channels = list(wanted)[:AT_ONCE]
            for channel in channels:
                del wanted[channel]
            if word == "UNSUBSCRIBE":
                for channel in channels:
                    self._asked[channel] = self._asked.get(channel, 0) + 1
            self._say(connection, word, channels)
        if self._joining or self._leaving:
            asyncio.get_running_loop().call_soon(self._change)

    def _say(self, connection: Connection, word: str, channels: list[str]) -> None:
        if not channels:
            return
        if not self._owner.sharded:
            connection.tell((word, *channels))
            return
        slots: dict[str, list[str]] = {}
        for channel in channels:  # one command, one slot
            slots.setdefault(channel[: channel.index("}")], []).append(channel)
        for group in slots.values():
            connection.tell(("S" + word, *group))

    def _acknowledge(self, channel: str) -> None:
        self._acknowledged.append(channel)
        if not self._counting:
            self._counting = True
            asyncio.get_running_loop().call_soon(self._counted)

    def _counted(self) -> None:
        self._counting = False
        channels, self._acknowledged = self._acknowledged, []
        self._owner.counts(channels)

    # -- connections -----------------------------------------------------------------------------------------

    def _commands_up(self, connection: Connection) -> None:
        self.last_error = ""
        self._owner.connected(self)
        self._probe()

    def _ears_up(self, connection: Connection) -> None:
        connection.listen()
        self._asked.clear()
        self._leaving.clear()
        self._join_all()
        self._probe()

    def _join_all(self) -> None:
        if self.ears.connection is not None:
            self._joining = dict.fromkeys(sorted(self._channels, key=lambda it: it != self.probe.channel))
            self._change()

    def _down(self, error: Exception | None) -> None:
        self.probe.heard = False
        if error is not None:
            self._say_once(error, str(error) or type(error).__name__)

    def _say_once(self, error: Exception, said: str) -> None:
        """Report an error, unless it repeats the last one."""
        if said != self.last_error:
            self.last_error = said
            self._owner.trouble(error)

    def _pushed(self, reply: Any) -> None:
        """A message on the subscribing connection."""
        parts = _items(reply)
        if len(parts) == 3:
            kind, channel, text = parts
            if kind in (b"message", b"smessage"):
                if not self.probe.is_echo(channel, text):
                    self._owner.message(channel, text)
            elif kind in (b"subscribe", b"ssubscribe"):
                self._acknowledge(channel.decode())
            elif kind == b"sunsubscribe" and channel is not None:
                self._ended(channel.decode())
            elif kind == b"unsubscribe" and channel is not None:
                self._forget(channel.decode())
        elif isinstance(reply, hiredis.ReplyError) and str(reply).startswith(("MOVED", "CLUSTERDOWN")):
            self._owner.wrong("MOVED")
            asyncio.get_running_loop().call_later(AGAIN, self._join_all)
        elif isinstance(reply, hiredis.ReplyError):
            self._say_once(reply, f"channels: {reply}")
        elif self._pongs and (reply == b"heard" or parts[:1] == (b"pong",)):
            pong = self._pongs.pop(0)
            if not pong.done():
                pong.set_result(None)

    def _forget(self, channel: str) -> bool:
        """Whether the end of a subscription was requested."""
        asked = self._asked.pop(channel, 0)
        if asked > 1:
            self._asked[channel] = asked - 1
        return asked > 0

    def _ended(self, channel: str) -> None:
        if not self._forget(channel):
            self._channels.discard(channel)
            self._owner.moved(channel)

    # -- the probe -------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = now - self._due > self._interval / 2
        self._due = now + self._interval
        self._timer = loop.call_at(self._due, self._tick)
        if not late:  # after a stall of the loop, a missing probe proves nothing about the server
            blame = self.probe.overdue()
            if blame is not Blame.NONE:
                self.ears.cut()
            if blame is Blame.BOTH:
                self.commands.cut()
        connection = self.commands.connection
        if connection is not None and connection.stalled(now, GIVE_UP * self._interval):
            self.commands.cut()
        self._probe()

    def _probe(self) -> None:
        connection = self.commands.connection
        if connection is not None and self.ears.connection is not None and self.probe.topic:
            self.probe.send(connection)


def _items(reply: object) -> tuple[Any, ...]:
    """The items of an array reply; empty if it is not an array."""
    return tuple(cast(Iterable[Any], reply)) if isinstance(reply, list) else ()
