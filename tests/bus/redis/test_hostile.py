"""Names from outside: what is refused never reaches Redis, the rest have a key and a channel of their own."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rx_sse import RedisBus, RedisPublisher
from rx_sse.bus.names import topic_name
from rx_sse.bus.redis.protocol.keys import Keys
from rx_sse.errors import TopicNameError
from rx_sse.testing.listener import Listener

from ...redis_server import RedisServer
from ..test_names import USERS

pytestmark = pytest.mark.redis

REFUSED = [
    "evil*",
    "evil?",
    "evil[a]",
    "{evil}",
    "evil}",
    "evil x",
    "evil\r\nFLUSHALL",
    "evil\x00",
    "evil\\",
    "évil",
    "!evil",
]


@contextmanager
def monitored(server: RedisServer) -> Iterator[list[str]]:
    """The commands that a server gets meanwhile, those of its scripts included; there at the end."""
    commands: list[str] = []
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(str(server.path))
        monitor.sendall(b"MONITOR\r\n")
        seen = monitor.recv(65_536)
        yield commands
        server.command("ECHO", "the end")
        while b"the end" not in seen:
            seen += monitor.recv(65_536)
    commands += seen.decode().splitlines()


async def test_names_that_are_refused_reach_no_command() -> None:
    with RedisServer() as server, RedisPublisher(server.url) as publisher:
        async with RedisBus(server.url) as bus:
            with monitored(server) as commands:
                for name in REFUSED:
                    for take in (
                        bus.topic,
                        bus.presence,
                        lambda it: bus.events(it, after=None),
                        lambda it: publisher.publish(it, 1),
                    ):
                        with pytest.raises(TopicNameError):
                            take(name)
                    for ask in (bus.publish(name, 1), bus.end(name)):
                        with pytest.raises(TopicNameError):
                            await ask
                await bus.publish("innocent", 1)
    assert any("innocent" in command for command in commands)
    assert not [command for command in commands if "vil" in command]


async def test_a_name_is_one_key_and_one_channel() -> None:
    """No pattern is subscribed to, and no command names a key or a channel that is not of these topics."""
    with RedisServer() as server:
        async with RedisBus(server.url) as bus:
            names = [topic_name("user", user) for user in USERS]
            names += ["log:a", "meta:a", "here:a", "key:a", "a", "config", "probe:a"]
            listeners = [await Listener(bus, name).opened() for name in names]
            for name in names:
                await bus.publish(name, name, idempotency_key="*")
            for name, listener in zip(names, listeners, strict=True):
                await listener.received(1)
                assert [event.data for event in listener.events] == [name]
            names_of = Keys()
            channels = server.command("PUBSUB", "CHANNELS")
            assert server.command("PUBSUB", "NUMPAT") == 0
            assert {it for it in channels if ":!" not in it} == {names_of.channel(name) for name in names}
            keys = {names_of.log(name) for name in names} | {names_of.meta(name) for name in names}
            stored = {key for key in server.command("KEYS", "*") if ":!" not in key and "}:key:" not in key}
            assert stored == keys | {names_of.config} and len(keys) == 2 * len(names)
