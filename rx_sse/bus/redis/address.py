"""Which Redis, and how to get in: the one file that imports redis-py.

A URL (``redis://``, ``rediss://``, ``unix://``, with redis-py's options in the query), the same with
several hosts for a cluster or a Sentinel (``redis+cluster://a:6379,b:6379``,
``redis+sentinel://a:26379,b:26379/mymaster``), or a client that the application already has. Of a client
only the configuration is read: the connections are ours.

Standard: the URL schemes of redis-py (IANA's ``redis``), AUTH and SELECT of RESP2.
Never: a password in an error, a log line or a repr.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ssl import SSLContext
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import redis.asyncio as aioredis
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.connection import ConnectionPool
from redis.connection import SSLConnection as BlockingSSLConnection
from redis.sentinel import SentinelConnectionPool as BlockingSentinelPool

from rx_sse.errors import UsageError

SECURE = (SSLConnection, BlockingSSLConnection)
PORT = 6379
SENTINEL_PORT = 26_379


class Endpoint(NamedTuple):
    """Where a server listens: a host and a port, or the path of a unix socket."""

    host: str
    port: int
    path: str | None = None

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Access:
    """What to say at the door.

    Attributes:
        ssl: TLS, or None for plain.
        db: the database to select.
        username, password: of an ACL user.
        provider: a redis-py credential provider, asked at each connection.
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
    """Where Redis is.

    Attributes:
        kind: ``single``, ``sentinel`` or ``cluster``.
        endpoints: the server, the sentinels, or nodes of the cluster.
        access: to the servers.
        service: the name of the master that the sentinels watch.
        sentinel_access: to the sentinels.
    """

    kind: str
    endpoints: Sequence[Endpoint]
    access: Access
    service: str = ""
    sentinel_access: Access = Access()

    def __str__(self) -> str:
        return f"{self.kind} {self.service} at {', '.join(map(str, self.endpoints))}".replace("  ", " ")


def address_of(target: Any) -> Address:
    """Where `target` leads.

    Args:
        target: a URL, or a client of redis-py, asynchronous or not.

    Raises:
        UsageError: neither, or a URL that is none.
    """
    if isinstance(target, str):
        try:
            return _from_url(target)
        except ValueError as error:
            raise UsageError(f"{_shown(target)} is not the URL of a Redis: {error}") from None
    if hasattr(target, "get_nodes") and hasattr(target, "nodes_manager"):
        return _from_cluster(target)
    pool = getattr(target, "connection_pool", target)
    if isinstance(pool, SentinelConnectionPool | BlockingSentinelPool):
        return _from_sentinel(pool)
    if isinstance(pool, aioredis.ConnectionPool | ConnectionPool):
        kwargs = dict(pool.connection_kwargs)
        secure = issubclass(pool.connection_class, SECURE)
        return Address("single", (_endpoint(kwargs),), _access(kwargs, secure))
    raise UsageError(f"{target!r}: give a URL such as redis://localhost:6379/0, or a client of redis-py")


def _from_url(url: str) -> Address:
    scheme, _, rest = url.partition("://")
    if not rest:
        raise ValueError("a URL begins with redis://, rediss:// or unix://")
    base, _, kind = scheme.partition("+")
    if not kind:
        kwargs = dict(parse_url(url))
        _check_path(url, base)
        secure = kwargs.pop("connection_class", None) is SSLConnection
        return Address("single", (_endpoint(kwargs),), _access(kwargs, secure))
    if base not in ("redis", "rediss") or kind not in ("cluster", "sentinel"):
        raise ValueError("its scheme is none of redis, rediss, unix, redis+sentinel, redis+cluster")
    place, _, path = rest.partition("/")
    path, _, query = path.partition("?")
    userinfo, at, hosts = place.rpartition("@")
    names = [host for host in hosts.split(",") if host]
    if not names:
        raise ValueError("it names no host")
    service, _, db = path.partition("/") if kind == "sentinel" else ("", "", path)
    if kind == "sentinel" and not service:
        raise ValueError("the name of the master is missing: redis+sentinel://host:26379/mymaster")
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
        raise ValueError("a cluster has database 0 only")
    return Address(kind, tuple(endpoints), access, service, doors)


def _check_path(url: str, base: str) -> None:
    path = urlsplit(url).path.strip("/")
    if base in ("redis", "rediss") and path and not path.isdecimal():
        raise ValueError(f"{path!r} is not the number of a database")


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


def _shown(url: str) -> str:
    try:
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
        return repr(urlunsplit((parts.scheme, place, parts.path, "", "")))
    except ValueError:
        return "what was given"
