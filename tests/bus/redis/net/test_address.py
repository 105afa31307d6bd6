"""Ways in: URLs and clients of redis-py; what leads nowhere is refused, and no text shows a password."""

from __future__ import annotations

import pytest
import redis as redis_py
import redis.asyncio as aioredis

from rx_sse import RedisBus, RedisPublisher
from rx_sse.bus.redis.net.address import Endpoint, Unreachable, address_of
from rx_sse.errors import UsageError


@pytest.mark.parametrize(
    ("url", "kind", "places"),
    [
        ("redis://h", "single", "h:6379"),
        ("redis://u:p@h:7000/3", "single", "h:7000"),
        ("unix:///run/r.sock?db=2", "single", "/run/r.sock"),
        ("unix:///run/a@b.sock", "single", "/run/a@b.sock"),
        ("redis://h?password=a@b", "single", "h:6379"),
        ("redis+cluster://a:1,b:2", "cluster", "a:1 b:2"),
        ("redis+sentinel://a,b:7/mymaster/1", "sentinel", "a:26379 b:7"),
        ("rediss+sentinel://u:p@a/m?sentinel_password=x", "sentinel", "a:26379"),
    ],
)
def test_urls(url: str, kind: str, places: str) -> None:
    address = address_of(url)
    assert (address.kind, " ".join(map(str, address.endpoints))) == (kind, places)
    assert (address.access.ssl is not None) == url.startswith("rediss")


def test_what_an_url_says_is_kept_and_not_shown() -> None:
    address = address_of("rediss+sentinel://u:p%40@a:1/m/2?sentinel_password=s3cret")
    assert (address.access.username, address.access.password, address.access.db) == ("u", "p@", 2)
    assert (address.service, address.sentinel_access.password) == ("m", "s3cret")
    assert "p@" not in repr(address) and "s3cret" not in repr(address)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "localhost",
        "http://x",
        "redis+cluster://",
        "redis+sentinel://a",
        "redis://h/x",
        "redis+x://h",
        7,
        None,
    ],
)
def test_what_leads_nowhere_is_refused(bad: object) -> None:
    with pytest.raises(UsageError):
        RedisBus(bad)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:{}@cache:6379/0",
        "redis://{}@cache:6379/0",
        "redis://user:{}@cache",
        "rediss://:{}@cache:port",
        "redis://cache/0?password={}&db=x",
        "redis+cluster://:{}@a:6379,b",
        "redis+sentinel://:{}@a:26379/m",
        "unix://:{}@/run/r.sock",
        "http://:{}@cache",
        "{}",
    ],
)
@pytest.mark.parametrize("password", ["s3cr3t/part", "s3cr#et", "s3c?r3t", "s3c@r3t", "s3:cr3t", "s3cr3t"])
def test_no_error_shows_a_password(url: str, password: str) -> None:
    given = url.format(password)
    try:
        address = address_of(given)
    except UsageError as error:
        assert not any(part in str(error) for part in ("s3c", "cr3t", "r3t", "part")), str(error)
    else:
        access = address.access
        assert password in (access.password, access.username, f"{access.username}:{access.password}")


@pytest.mark.parametrize("given", [{"password": "s3cr3t"}, ["s3cr3t"], b"redis://:s3cr3t@h", object()])
def test_what_is_no_url_is_named_by_its_type(given: object) -> None:
    with pytest.raises(UsageError, match="give a URL") as caught:
        address_of(given)
    assert "s3cr3t" not in str(caught.value)


class Elsewhere:
    """Connections that lead into this process, as those of fakeredis do."""

    async def _connect(self) -> None:
        raise NotImplementedError


class FakeConnection(Elsewhere, aioredis.Connection):
    pass


class FakeBlockingConnection(redis_py.Connection):
    def connect(self) -> None:
        raise NotImplementedError


class TracedConnection(aioredis.Connection):
    """One of the application's own that goes where any other goes."""


@pytest.mark.parametrize(
    "client",
    [
        aioredis.Redis(connection_pool=aioredis.ConnectionPool(FakeConnection)),
        redis_py.Redis(connection_pool=redis_py.ConnectionPool(FakeBlockingConnection)),
    ],
)
def test_a_client_whose_connections_lead_to_no_server_is_refused_when_the_bus_is_made(client: object) -> None:
    for make in (RedisBus, RedisPublisher):
        with pytest.raises(UsageError, match=r"Fake\w*Connection.*MemoryBus"):
            make(client)


def test_a_client_with_connections_of_its_own_class_is_taken() -> None:
    pool = aioredis.ConnectionPool(TracedConnection, host="h", port=7)
    assert address_of(aioredis.Redis(connection_pool=pool)).endpoints == (Endpoint("h", 7),)


def test_a_thing_with_a_connection_pool_that_is_none_is_refused() -> None:
    class Other:
        connection_pool = object()
        get_nodes = nodes_manager = None

    with pytest.raises(UsageError, match="Other: give a URL"):
        address_of(Other())


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 6379)"), "Connection refused"),
        (FileNotFoundError(2, "No such file or directory"), "No such file or directory"),
        (TimeoutError(), "no answer within 5 s"),
        (OSError("Multiple exceptions: a, b"), "Multiple exceptions: a, b"),
        (ConnectionError("the server closed the connection"), "the server closed the connection"),
        (ConnectionResetError(), "ConnectionResetError"),
    ],
)
def test_what_cannot_be_reached_is_named_with_its_cause(error: OSError, text: str) -> None:
    said = str(Unreachable.because(Endpoint("h", 7), error, 5.0))
    assert said == f"Redis at h:7 cannot be reached: {text}"
