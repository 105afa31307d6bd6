"""Where Redis is, and how to log in: the only file that imports redis-py.

A URL (``redis://``, ``rediss://``, ``unix://``, with redis-py's options in the query), a URL with several
hosts for a cluster or a Sentinel (``redis+cluster://a:6379,b:6379``,
``redis+sentinel://a:26379,b:26379/mymaster``), or a client that the application already has. Only the
configuration of a client is read: the connections are the library's own.

Standard: the URL schemes of redis-py (IANA's ``redis``), AUTH and SELECT of RESP2.
Never: a password in an error, a log line or a repr.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from errno import errorcode
from ssl import SSLContext
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import redis.asyncio as aioredis
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.cluster import RedisCluster as BlockingCluster
from redis.connection import ConnectionPool
from redis.connection import SSLConnection as BlockingSSLConnection
from redis.sentinel import SentinelConnectionPool as BlockingSentinelPool

from rx_sse.errors import UsageError

SECURE = (SSLConnection, BlockingSSLConnection)
OWN_WAYS = frozenset(("connect", "_connect", "read_response", "send_packed_command"))
"""Methods that determine the server of a connection of redis-py."""
PORT = 6379
SENTINEL_PORT = 26_379


class Endpoint(NamedTuple):
    """Where a server listens: a host and a port, or the path of a unix socket."""

    host: str
    port: int
    path: str | None = None

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


class Unreachable(ConnectionError):
    """A server cannot be reached; the text names it and the cause."""

    @classmethod
    def because(cls, endpoint: Endpoint, error: BaseException, patience: float) -> Unreachable:
        """The error with its cause in words.

        Args:
            endpoint: the server.
            error: the exception of the attempt.
            patience: the time limit of the attempt, in seconds.
        """
        if isinstance(error, Unreachable):
            return error
        if isinstance(error, TimeoutError) and error.errno is None:
            why = f"no answer within {patience:.3g} s"
        elif isinstance(error, OSError) and error.errno is not None and error.errno in errorcode:
            why = os.strerror(error.errno)
        else:
            why = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
        return cls(f"Redis at {endpoint} cannot be reached: {why}")


@dataclass(frozen=True)
class Access:
    """Credentials and TLS settings.

    Attributes:
        ssl: TLS, or None for plain.
        db: the database to select.
        username, password: of an ACL user.
        provider: a redis-py credential provider, called at each connection.
    """

    ssl: SSLContext | None = None
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    provider: Any = field(default=None, repr=False)

    def greeting(self) -> list[tuple[str | int, ...]]:
        """The commands that open a connection; the answers must not be errors."""
        username, password = self.username, self.password
        if self.provider is not None:
            *names, password = self.provider.get_credentials()
            username = names[0] if names else None
        commands: list[tuple[str | int, ...]] = []
        if password is not None:
            commands.append(("AUTH", username, password) if username else ("AUTH", password))
        if self.db:
            commands.append(("SELECT", self.db))
        return commands


@dataclass(frozen=True)
class Address:
    """The address of a Redis.

    Attributes:
        kind: ``single``, ``sentinel`` or ``cluster``.
        endpoints: the server, the sentinels, or nodes of the cluster.
        access: credentials and TLS of the servers.
        service: the name of the master that the sentinels watch.
        sentinel_access: credentials and TLS of the sentinels.
    """

    kind: str
    endpoints: Sequence[Endpoint]
    access: Access
    service: str = ""
    sentinel_access: Access = Access()

    def __str__(self) -> str:
        return f"{self.kind} {self.service} at {', '.join(map(str, self.endpoints))}".replace("  ", " ")


class BadUrl(ValueError):
    """A URL is wrong; the text says why, and holds nothing of the URL."""


def address_of(target: Any) -> Address:
    """The address that `target` stands for.

    Args:
        target: a URL, or a client of redis-py, asynchronous or not.

    Raises:
        UsageError: neither, or a URL that is not valid.
    """
    if isinstance(target, str):
        try:
            return _from_url(target)
        except ValueError as error:
            raise UsageError(f"{_shown(target)} is not the URL of a Redis: {_reason(error)}") from None
    if isinstance(target, aioredis.RedisCluster | BlockingCluster):
        return _from_cluster(target)
    pool = getattr(target, "connection_pool", target)
    if isinstance(pool, aioredis.ConnectionPool | ConnectionPool):
        _check_connections(target, pool.connection_class)
        if isinstance(pool, SentinelConnectionPool | BlockingSentinelPool):
            return _from_sentinel(pool)
        kwargs = dict(pool.connection_kwargs)
        secure = issubclass(pool.connection_class, SECURE)
        return Address("single", (_endpoint(kwargs),), _access(kwargs, secure))
    # Its text may hold a password.
    raise UsageError(f"{_a(target)}: give a URL such as redis://localhost:6379/0, or a client of redis-py")


def _check_connections(target: Any, made: type) -> None:
    """Refuse a client whose connections are not sockets: the bus makes its own from the address, and such a
    client has none.
    """
    for cls in made.__mro__:
        if cls.__module__.split(".")[0] == "redis":
            return
        if OWN_WAYS & vars(cls).keys():
            raise UsageError(
                f"{_a(target)} whose connections ({made.__module__}.{made.__qualname__}) lead to no server: "
                "the bus makes connections of its own, from the client's address. Give a client of a real "
                "Redis, or use MemoryBus() in tests"
            )


def _a(target: object) -> str:
    cls = type(target)
    name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    return f"a {name}"


def _from_url(url: str) -> Address:
    scheme, _, rest = url.partition("://")
    if not rest:
        raise BadUrl("a URL begins with redis://, rediss:// or unix://")
    _check_userinfo(scheme, rest)
    base, _, kind = scheme.partition("+")
    if not kind:
        kwargs = dict(parse_url(url))
        _check_path(url, base)
        secure = kwargs.pop("connection_class", None) is SSLConnection
        return Address("single", (_endpoint(kwargs),), _access(kwargs, secure))
    if base not in ("redis", "rediss") or kind not in ("cluster", "sentinel"):
        raise BadUrl("its scheme is none of redis, rediss, unix, redis+sentinel, redis+cluster")
    place, _, path = rest.partition("/")
    path, _, query = path.partition("?")
    userinfo, at, hosts = place.rpartition("@")
    names = [host for host in hosts.split(",") if host]
    if not names:
        raise BadUrl("it names no host")
    service, _, db = path.partition("/") if kind == "sentinel" else ("", "", path)
    if kind == "sentinel" and not service:
        raise BadUrl("the name of the master is missing: redis+sentinel://host:26379/mymaster")
    endpoints: list[Endpoint] = []
    for name in names:
        parts = urlsplit(f"redis://{name}")
        endpoints.append(
            Endpoint(
                parts.hostname or "localhost", parts.port or (PORT if kind == "cluster" else SENTINEL_PORT)
            )
        )
    plain = f"{base}://{userinfo}{at}{names[0]}/{db}" + (f"?{query}" if query else "")
    kwargs = dict(parse_url(plain))
    secure = kwargs.pop("connection_class", None) is SSLConnection
    sentinel = {
        name.removeprefix("sentinel_"): str(kwargs.pop(name))
        for name in list(kwargs)
        if name.startswith("sentinel_")
    }
    access = _access(kwargs, secure)
    doors = Access(ssl=access.ssl, username=sentinel.get("username"), password=sentinel.get("password"))
    if kind == "cluster" and access.db:
        raise BadUrl("a cluster has database 0 only")
    return Address(kind, tuple(endpoints), access, service, doors)


def _check_userinfo(scheme: str, rest: str) -> None:
    """Refuse a URL in which a name or a password was not encoded: it would be taken for a path, a query or a
    host, and be shown.
    """
    place, _, behind = rest.partition("?")
    names = [it.partition("=")[0] for it in behind.split("&") if "@" in it]
    before, _, path = place.partition("/")
    # Before a unix socket's path there is a user, or nothing.
    outside = (before and not before.endswith("@")) if scheme == "unix" else "@" in path
    if "#" in rest or outside or any(not name.endswith(("password", "username")) for name in names):
        raise BadUrl(
            "a user name or a password with a / ? # or @ in it must be encoded: "
            "urllib.parse.quote(password, safe='')"
        )


def _check_path(url: str, base: str) -> None:
    path = urlsplit(url).path.strip("/")
    if base in ("redis", "rediss") and path and not path.isdecimal():
        raise BadUrl("behind the host comes the number of a database, as in redis://localhost:6379/0")


def _from_sentinel(pool: Any) -> Address:
    kwargs = dict(pool.connection_kwargs)
    secure = any(name.startswith("ssl_") for name in kwargs) or issubclass(pool.connection_class, SECURE)
    sentinels = pool.sentinel_manager.sentinels
    doors = [dict(client.connection_pool.connection_kwargs) for client in sentinels]
    first = sentinels[0].connection_pool
    return Address(
        "sentinel",
        tuple(_endpoint(door) for door in doors),
        _access(kwargs, secure),
        pool.service_name,
        replace(_access(doors[0], issubclass(first.connection_class, SECURE)), db=0),
    )


def _from_cluster(client: Any) -> Address:
    kwargs = dict(getattr(client, "connection_kwargs", None) or client.nodes_manager.connection_kwargs)
    nodes = list(client.get_nodes()) or list(client.nodes_manager.startup_nodes.values())
    secure = bool(kwargs.get("ssl")) or any(name.startswith("ssl_") for name in kwargs)
    endpoints = tuple(Endpoint(node.host, int(node.port)) for node in nodes)
    return Address("cluster", endpoints, replace(_access(kwargs, secure), db=0))


def _endpoint(kwargs: dict[str, Any]) -> Endpoint:
    if kwargs.get("path"):
        return Endpoint("localhost", 0, str(kwargs["path"]))
    return Endpoint(str(kwargs.get("host") or "localhost"), int(kwargs.get("port") or PORT))


def _access(kwargs: dict[str, Any], secure: bool) -> Access:
    ssl: SSLContext | None = None
    if secure:
        options = {name: value for name, value in kwargs.items() if name.startswith("ssl_")}
        context: Any = SSLConnection(**options).ssl_context
        ssl = context.get()
    return Access(
        ssl=ssl,
        db=int(kwargs.get("db") or 0),
        username=kwargs.get("username"),
        password=kwargs.get("password"),
        provider=kwargs.get("credential_provider"),
    )


def _reason(error: ValueError) -> str:
    """The reason, without any part of the input: text that does not parse may be a password."""
    said = str(error)
    if isinstance(error, BadUrl) or said.startswith("Invalid value for "):  # of an option
        return said
    return "its host, port or options cannot be read"


def _shown(url: str) -> str:
    """A URL without the parts that may be a password."""
    try:
        parts = urlsplit(url)
        _check_userinfo(parts.scheme, url.partition("://")[2])
        if (not parts.hostname and not parts.path) or "://" not in url:
            return "what was given"
        place = parts.netloc.rpartition("@")[2]
        return repr(urlunsplit((parts.scheme, place, parts.path, "", "")))
    except ValueError:
        scheme = url.partition("://")[0]
        return f"{scheme}://…" if scheme.replace("+", "").isalpha() else "what was given"
