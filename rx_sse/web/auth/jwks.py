"""The published keys of an issuer: fetched, refreshed, and withdrawn when the issuer withdraws them.

Behaviour, from normal operation to failure:

* A request with a known key never waits. A set older than ``refresh`` is fetched again in the background.
* An unknown ``kid`` causes a fetch, once per ``cooldown`` for all requests together, and they share the
  answer.
* A failed fetch changes nothing, for ``max_age``; then the keys are discarded.
* A key missing from a valid answer is withdrawn: watchers are called, and `version` changes.
* While there is a watcher (an open stream is one), the set is refreshed without any request.

Only a fetch in flight has to be closed: a fetch opens its own session, and a timer runs only while there is a
watcher or between `start` and `close`.

Standard: RFC 7517 §5 (JWK Set); RFC 8725 §3.10 (no URL from a token is ever fetched).
Never: it blocks the loop, follows a redirect, reads more than `MAX_DOCUMENT`, or logs the issuer's answer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
import time
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from ipaddress import ip_address

import aiohttp
from yarl import URL

from rx_sse.arguments import seconds, shown_url
from rx_sse.errors import UsageError
from rx_sse.tasks import start
from rx_sse.web.auth.keys import BadKeySet, Key, key_set

logger = logging.getLogger(__name__)

MAX_DOCUMENT = 256 * 1024
"""Bytes of a key set. Two keys with their certificates are 4 KB; an issuer with 32 would fill a fifth of
this."""

_ACCEPT = {"Accept": "application/jwk-set+json, application/json"}


@dataclass(frozen=True, slots=True)
class JWKSStats:
    """Counters of a `JWKS`.

    Args:
        keys: number of usable keys.
        age: seconds since the last valid answer; None if there is none.
        fetches: number of fetches.
        failures: number of fetches without a usable answer.
        withdrawn: number of keys that the issuer withdrew.
    """

    keys: int
    age: float | None
    fetches: int
    failures: int
    withdrawn: int


class JWKS:
    """The key set at a URL. `JWTAuth` makes one from ``jwks_url=``; make it yourself to change its times.

    Args:
        url: the URL at which the issuer publishes its keys: https, or http to this machine.
        refresh: seconds between two fetches in normal operation.
        cooldown: seconds between two fetches caused by unknown keys; also the pace during an outage.
        max_age: seconds for which the last valid answer is used during an outage.
        timeout: seconds for a fetch, and so for a request that waits for it.
        insecure_http: allow plain http to another machine; anyone on the network path can then replace the
            keys.

    Raises:
        UsageError: the URL cannot be used, or a time is not a positive number.
    """

    def __init__(
        self,
        url: str | URL,
        *,
        refresh: float = 600.0,
        cooldown: float = 10.0,
        max_age: float = 86_400.0,
        timeout: float = 5.0,
        insecure_http: bool = False,
    ) -> None:
        self.url = _checked(url, insecure_http)
        self.refresh = seconds("refresh", refresh, zero="would ask without a pause")
        self.cooldown = seconds("cooldown", cooldown, zero="would ask without a pause")
        self.max_age = seconds("max_age", max_age, zero="would trust no key")
        self.timeout = seconds("timeout", timeout, zero="would wait for no answer")
        self.version = 0
        """Changes whenever the set has changed."""
        self._keys: list[Key] = []
        self._asked_at: float | None = None  # epoch seconds at which the last valid answer was requested
        self._good_at = -math.inf  # the same moment, monotonic
        self._next = -math.inf  # monotonic time from which the next fetch is allowed
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._started = False
        self._watchers: dict[object, Callable[[frozenset[Key]], None]] = {}
        self._fetches = self._failures = self._withdrawn = 0

    # -- called by a request ---------------------------------------------------------------------------------

    def find(self, kid: object, algorithm: str) -> list[Key] | None:
        """Return the keys that may have signed a token, or None if that may be a key not yet fetched.

        Args:
            kid: the key that the token names; if it names none, all keys for its algorithm are returned.
            algorithm: the algorithm in the token's header; a known key for another algorithm is left out.
        """
        named = [key for key in self._keys if kid in (None, key.kid)]
        fitting = [key for key in named if algorithm in key.algorithms]
        return fitting if fitting or (named and kid is not None) else None

    def knew(self, moment: float) -> bool:
        """Return whether the set is from after ``moment`` (epoch seconds): a key that it lacks did not exist
        then."""
        return self._asked_at is not None and self._asked_at >= moment

    @property
    def retry_after(self) -> float:
        """Seconds until the next fetch is allowed."""
        return max(0.0, self._next - time.monotonic())

    def touch(self) -> None:
        """A request uses the set: fetch it again, in the background, if it is old."""
        now = time.monotonic()
        if now < self._good_at + self.refresh or now < self._next:
            return
        self._outlived(now)
        if self._under_way() is None:
            self._launch()

    async def ask(self) -> None:
        """Wait for a newer set, if a fetch is in flight or the cool-down is over; errors are only logged."""
        task = self._under_way()
        if task is None:
            if time.monotonic() < self._next:
                return
            task = self._launch()
        await asyncio.wait({task})  # not `await task`: a disconnecting client must not cancel it for others

    # -- lifecycle -------------------------------------------------------------------------------------------

    def watch(self, callback: Callable[[frozenset[Key]], None]) -> Callable[[], None]:
        """Call ``callback`` on the loop with keys that were withdrawn; the returned function ends the watch.

        While there is a watcher, the set is kept fresh. Call it on the loop.
        """
        place = object()
        self._watchers[place] = callback
        self._schedule()

        def dispose() -> None:
            if self._watchers.pop(place, None) is not None:
                self._schedule()

        return dispose

    async def start(self) -> None:
        """Fetch the set now, and keep it fresh until `close`. Optional: the first request fetches it too."""
        self._started = True
        await self.ask()
        self._schedule()

    async def close(self) -> None:
        """Stop refreshing, and cancel a fetch in flight. The keys stay; the next request starts it again."""
        self._started = False
        self._watchers.clear()
        self._schedule()
        task = self._under_way()
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def stats(self) -> JWKSStats:
        """Return the counters."""
        age = None if self._asked_at is None else time.monotonic() - self._good_at
        return JWKSStats(len(self._keys), age, self._fetches, self._failures, self._withdrawn)

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._started and not self._watchers:
            return
        now = time.monotonic()
        due = max(self._next, min(self._good_at + self.refresh, self._good_at + self.max_age))
        # Up to a tenth late, so that the processes of a site do not fetch simultaneously.
        delay = max(0.0, due - now) * random.uniform(1.0, 1.1)
        self._timer = asyncio.get_running_loop().call_later(delay, self._due, context=Context())

    def _due(self) -> None:
        self._timer = None
        if self._under_way() is None:
            self._launch()

    # -- a fetch ---------------------------------------------------------------------------------------------

    def _under_way(self) -> asyncio.Task[None] | None:
        task = self._task
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            return None  # a fetch that ended with its loop blocks no later fetch
        return task

    def _launch(self) -> asyncio.Task[None]:
        self._task = start(self._renew, name="rx_sse: fetch the key set", context=Context())
        return self._task

    async def _renew(self) -> None:
        asked_at, good_at = time.time(), time.monotonic()
        self._fetches += 1
        try:
            keys = key_set(await self._fetch())
        except Exception as error:  # any error of a client or a parser: the waiting requests get 503
            self._failures += 1
            logger.warning("the key set of %s was not refreshed: %s", self.url.host, _reason(error))
        else:
            self._asked_at, self._good_at = asked_at, good_at
            self._install(keys)
        self._next = time.monotonic() + self.cooldown
        self._outlived(time.monotonic())
        self._schedule()

    async def _fetch(self) -> object:
        timeout = aiohttp.ClientTimeout(total=self.timeout)
        async with (
            aiohttp.ClientSession(
                timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), headers=_ACCEPT
            ) as session,
            session.get(self.url, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise BadKeySet(f"status {response.status}")
            document = bytearray()
            async for part in response.content.iter_any():
                document += part
                if len(document) > MAX_DOCUMENT:
                    raise BadKeySet(f"more than {MAX_DOCUMENT} bytes")
        return json.loads(document)

    def _install(self, keys: list[Key]) -> None:
        known = {key.identity: key for key in self._keys}
        fresh = {key.identity: known.get(key.identity, key) for key in keys}
        if fresh.keys() == known.keys():
            return
        self._keys = list(fresh.values())
        self._changed(frozenset(key for identity, key in known.items() if identity not in fresh))

    def _outlived(self, now: float) -> None:
        if self._keys and now >= self._good_at + self.max_age:
            logger.warning("the keys of %s are too old to be used", self.url.host)
            gone, self._keys, self._asked_at = frozenset(self._keys), [], None
            self._changed(gone)

    def _changed(self, withdrawn: frozenset[Key]) -> None:
        self.version += 1
        self._withdrawn += len(withdrawn)
        for watcher in tuple(self._watchers.values()) if withdrawn else ():
            try:
                watcher(withdrawn)
            except Exception as error:
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "a watcher of withdrawn keys failed", "exception": error}
                )


def _reason(error: BaseException) -> str:
    """Describe an error without the issuer's answer: the text of a JSON error may quote it."""
    if isinstance(error, BadKeySet):
        return str(error)
    return "no JSON" if isinstance(error, ValueError | RecursionError) else type(error).__name__


def _checked(url: str | URL, insecure_http: bool) -> URL:
    if not isinstance(url, str | URL):
        raise UsageError(f"jwks_url= is {shown_url(url)}, no https URL")
    try:
        parsed = URL(url)
    except ValueError:  # its text quotes the part that cannot be parsed
        raise UsageError(f"jwks_url={shown_url(url)} is no https URL") from None
    if parsed.scheme not in ("http", "https") or parsed.host is None:
        raise UsageError(f"jwks_url={shown_url(str(url))} is no https URL")
    if parsed.scheme == "http" and not insecure_http and not _loopback(parsed.host):
        raise UsageError(
            f"jwks_url={shown_url(str(url))} is plain http, so an attacker on the network "
            "could replace the keys: use https"
        )
    return parsed


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
