"""``python -m rx_sse publish TARGET TOPIC [DATA]``: events into a topic, over HTTP, into Redis or a file.

Standard: the mount's ``POST /topics/{name}`` (`rx_sse.bus_app`), each event with an ``Idempotency-Key``: an
event that may have arrived is safely sent again, and so is one that was refused temporarily (an outage), not
before ``Retry-After``. The exit status is 0 when every event was accepted, 1 when one was not, 2 for a wrong
call, 130 for Ctrl-C.

Never sends an event before the previous one was accepted, so their order is kept.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from ssl import SSLContext
from typing import Any, Final, Protocol
from urllib.parse import quote

import aiohttp

from rx_sse import PublishRefused, PublishUnknown, RxSseError, SQLitePublisher, UsageError
from rx_sse.arguments import shown_url
from rx_sse.client.request import NO_HEADER, http_url
from rx_sse.client.trouble import unreachable
from rx_sse.terminal.credentials import add_options, exposed, headers
from rx_sse.terminal.parser import Parser
from rx_sse.terminal.server import HINT, connector, tls, with_scheme
from rx_sse.terminal.server import add_options as add_tls
from rx_sse.wire.harmless import harmless

__all__ = ["main"]

REDIS: Final = "RX_SSE_REDIS_URL"

# The schemes of URLs for RedisPublisher.
_BROKERS: Final = frozenset(
    {"redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"}
)

# Attempts to send an event, and the seconds before the second; twice as many before each further attempt.
_ATTEMPTS: Final = 5
_FIRST_WAIT: Final = 0.2

# Seconds to wait for an answer.
_PATIENCE: Final = 30.0

# The longest `Retry-After`, in seconds, that is honoured.
_LONGEST_WAIT: Final = 60.0

# Statuses after which another attempt makes sense: overloaded, or unknown whether it was stored.
_AGAIN: Final = frozenset({429, 502, 503, 504})


MOUNT: Final = "; TARGET is the URL at which rx_sse.bus_app is mounted, like http://localhost:8080/events"


class BlockingPublisher(Protocol):
    """`RedisPublisher`, `SQLitePublisher`."""

    def publish(
        self, topic: str, data: Any, *, event: str | None = None, idempotency_key: str | None = None
    ) -> str:
        """The id of the event."""
        ...


class NotAccepted(Exception):
    """An event was not accepted; the message says why."""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.db is not None:
        if given.data is not None:
            parser.error(f"--db: with it there is no TARGET, and {given.data!r} is one argument too many")
        given.topic, given.data = given.target, given.topic
    elif given.topic is None:
        parser.error("the following arguments are required: TOPIC")
    target = given.target
    if given.db is None and target == "redis":
        target = os.environ.get(REDIS, "")
        if not target:
            parser.error(f"redis: set {REDIS} to the address")
    if given.key and given.lines:
        parser.error("--key: with --lines every event needs a key of its own, and gets one")
    if NO_HEADER.search(given.key or ""):
        parser.error(f"--key: {given.key!r} holds a character that no header can carry")
    events = (value(text, as_text=given.text) for text in texts(given.data, given.lines))
    try:
        if given.db is not None:
            through(SQLitePublisher(given.db), given, events)
        elif target.partition("://")[0] in _BROKERS:
            into_redis(target, given, events)
        else:
            sent, certificates = sent_headers(given, parser)
            over_http(with_scheme(target), given, sent, certificates, events)
    except KeyboardInterrupt:
        return 130
    except UsageError as error:
        parser.error(harmless(str(error)))
    except (RxSseError, NotAccepted, ImportError, ValueError, OSError) as error:
        print(f"rx_sse: {harmless(str(error))}", file=sys.stderr)
        return 1
    return 0


def sent_headers(given: argparse.Namespace, parser: Parser) -> tuple[dict[str, str], SSLContext | None]:
    """The headers to send, and the certificates; ends the command if a file is not valid."""
    if (warning := exposed(given.header)) is not None:
        print(f"rx_sse: {warning}", file=sys.stderr)
    try:
        return headers(given.header_file, os.environ, given.header), tls(given)
    except (ValueError, OSError) as error:
        parser.error(harmless(str(error)))


def texts(data: str | None, lines: bool) -> Iterator[str]:
    """The texts to publish: the argument, all of standard input, or each of its lines as it arrives."""
    if data not in (None, "-"):
        yield data
    elif lines:
        for line in sys.stdin:
            if text := line.rstrip("\r\n"):
                yield text
    else:
        yield sys.stdin.read().removesuffix("\n")


def value(text: str, *, as_text: bool) -> Any:
    """The value to publish for a text: decoded if it is JSON, otherwise the text itself."""
    if not as_text:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            if text.lstrip().startswith(("{", "[")):
                told = f"published as text, since it is no JSON: {error} (--text says that it is none)"
                print(f"rx_sse: {told}", file=sys.stderr)
    return text


def into_redis(target: str, given: argparse.Namespace, events: Iterable[Any]) -> None:
    """Publish into the streams of a `RedisBus`."""
    from rx_sse import RedisPublisher  # it needs an extra

    through(RedisPublisher(target, prefix=given.prefix), given, events)


def through(publisher: BlockingPublisher, given: argparse.Namespace, events: Iterable[Any]) -> None:
    """Publish, each event until it is accepted."""
    for data in events:
        key = given.key or secrets.token_hex(16)
        for attempt in range(_ATTEMPTS):
            try:
                print(
                    publisher.publish(given.topic, data, event=given.event, idempotency_key=key), flush=True
                )
                break
            except (PublishRefused, PublishUnknown) as error:
                for_good = isinstance(error, PublishRefused) and error.retry_after is None
                if for_good or attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(pause(attempt + 1, getattr(error, "retry_after", None)))


def over_http(
    target: str,
    given: argparse.Namespace,
    sent: dict[str, str],
    certificates: SSLContext | None,
    events: Iterable[Any],
) -> None:
    """Publish through the mount."""
    http_url(target)
    url = f"{target.rstrip('/')}/topics/{quote(given.topic, safe='')}"
    query = {} if given.event is None else {"event": given.event}
    # Input is awaited outside of the loop, where Ctrl-C ends the wait; nothing runs on the loop then.
    with asyncio.Runner() as runner:
        session = runner.run(opened(sent, certificates))
        try:
            for data in events:
                key = given.key or secrets.token_hex(16)
                print(runner.run(offered(session, url, query, data, key)), flush=True)
        finally:
            runner.run(session.close())


async def opened(sent: dict[str, str], certificates: SSLContext | None) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        headers=sent, timeout=aiohttp.ClientTimeout(total=_PATIENCE), connector=connector(certificates)
    )


async def offered(
    session: aiohttp.ClientSession, url: str, query: dict[str, str], data: Any, key: str
) -> str:
    """Send an event until it is accepted; returns its id.

    Raises:
        NotAccepted: it was refused, or no usable answer came.
    """
    text = isinstance(data, str)
    body = data if text else json.dumps(data, ensure_ascii=False)
    kind = "text/plain; charset=utf-8" if text else "application/json"
    why = ""
    retry_after: float | None = None
    for attempt in range(_ATTEMPTS):
        if attempt:
            await asyncio.sleep(pause(attempt, retry_after))
        retry_after = None
        try:
            async with session.post(
                url,
                params=query,
                data=body.encode(),
                headers={"Content-Type": kind, "Idempotency-Key": key},
                allow_redirects=False,
            ) as answer:
                said = await answer.text(errors="replace")
                if answer.status == 201:
                    return accepted(said)
                why = f"{answer.status} {answer.reason}: {said[:500]}"
                if answer.status not in _AGAIN:
                    raise NotAccepted(why + (MOUNT if answer.status in (404, 405) else ""))
                asked = answer.headers.get("Retry-After", "")
                retry_after = float(asked) if asked.isascii() and asked.isdigit() else None
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise NotAccepted(f"{shown_url(str(error))} is no http URL") from None
        except aiohttp.ClientConnectorError as error:
            why = unreachable(error)
            if isinstance(error, aiohttp.ClientSSLError):  # it would be the same at the next attempt
                certificate = isinstance(error, aiohttp.ClientConnectorCertificateError)
                raise NotAccepted(why + (HINT if certificate else "")) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            why = f"{type(error).__name__}: {error}"
    raise NotAccepted(why)


def accepted(answer: str) -> str:
    """The id in the answer of a mount.

    Raises:
        NotAccepted: it is not the answer of a mount.
    """
    try:
        return str(json.loads(answer)["id"])
    except (ValueError, RecursionError, LookupError, TypeError):
        raise NotAccepted(f"201, but without the id of an event: {answer[:500]}{MOUNT}") from None


def pause(attempt: int, retry_after: float | None) -> float:
    """Seconds before an attempt, 1 being the second: the requested delay, growing with each attempt."""
    return max(min(retry_after or 0.0, _LONGEST_WAIT), _FIRST_WAIT * 2.0 ** (attempt - 1))


def _parser() -> Parser:
    parser = Parser("publish", "Publish to a topic; prints the id of each event.")
    add = parser.add_argument
    add(
        "target",
        metavar="TARGET",
        help="URL of the mount (without a scheme: http for this machine, https for another host); or "
        "redis://…, rediss://…, unix://…, redis+sentinel://…, redis+cluster://…; or redis, with the address "
        "in the environment",
    )
    add("topic", metavar="TOPIC", nargs="?")
    add("data", metavar="DATA", nargs="?", help="JSON, or else text; without it, or with -, standard input")
    add("--lines", action="store_true", help="every line of standard input is an event, as it arrives")
    add("--text", action="store_true", help="publish text even if it is JSON")
    add("--event", metavar="NAME", help="the event's name")
    add("--key", metavar="KEY", help="the idempotency key, for a command that may be repeated")
    add("--db", metavar="FILE", help="the file of a SQLiteBus, instead of TARGET")
    add("--prefix", default="rx_sse", help="of the keys in Redis, as given to RedisBus")
    add_tls(parser)
    add_options(parser, f"{REDIS} is the address that redis stands for.")
    return parser
