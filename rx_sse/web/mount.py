"""The ready-made mount: topics over HTTP, for `app.add_subapp("/events", rx_sse.bus_app(bus, auth=auth))`.

* `GET /?topic=a&topic=b`: one stream of several topics; `last=20` begins with the newest 20 of each.
* `GET /me`: the stream of the principal's own topic, `topic_name("user", principal.user)`.
* `POST /topics/{name}`: publish JSON or text; `?event=` names the event, `Idempotency-Key` makes a repeat
  safe.

What a token may read and publish is said by its claim `rx_sse`, or by a function of yours. A request is
allowed as a whole or refused as a whole.

Standard: RFC 9110, RFC 9457 (problem details), draft-ietf-httpapi-idempotency-key-header; the claim follows
the example of Mercure's.
Never: it tells whether a topic that may not be read exists.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, cast

from aiohttp import web
from reactivex import Observable

from rx_sse.bus import Bus, topic_name
from rx_sse.bus.names import check_topic, covers
from rx_sse.errors import (
    BusClosed,
    EncodeError,
    EventTooLarge,
    Overloaded,
    PublishRefused,
    PublishUnknown,
    RxSseError,
    TopicNameError,
    UsageError,
)
from rx_sse.web.auth.challenge import insufficient_scope
from rx_sse.web.edge import edge_of
from rx_sse.web.handler import Auth, authenticate, sse
from rx_sse.web.principal import PRINCIPAL, Principal, principal
from rx_sse.web.resume import last_event_id
from rx_sse.web.setup import kind_of, setup
from rx_sse.wire import ServerSentEvent

Action = Literal["subscribe", "publish"]
Allow = Callable[[Principal, str, Action], "Awaitable[bool] | bool"]

CLAIM = "rx_sse"
PUBLISH_SCOPE = "publish"
MOST = 1_000
"""Entries that `last=` may ask for."""
KEY_LENGTH = 255
"""Characters of an `Idempotency-Key`; Stripe's limit."""

# What a failed publish is answered with; the first that fits.
STATUSES: tuple[tuple[type[RxSseError], int], ...] = (
    (TopicNameError, 400),
    (EncodeError, 400),
    (EventTooLarge, 413),
    (PublishRefused, 422),
    (PublishUnknown, 504),
    (BusClosed, 503),
    (Overloaded, 503),
)


def by_claim(who: Principal, topic: str, action: Action) -> bool:
    """What a token grants: its claim `rx_sse` holds lists of topics under `subscribe` and `publish`, each a
    name or a prefix like `team:*`. The principal's own topic may always be read."""
    if action == "subscribe" and topic == topic_name("user", who.user):
        return True
    grants = who.claims.get(CLAIM)
    patterns = cast(Mapping[str, Any], grants).get(action) if isinstance(grants, Mapping) else None
    if not isinstance(patterns, Sequence) or isinstance(patterns, str):
        return False
    return any(isinstance(p, str) and covers(p, topic) for p in cast(Sequence[object], patterns))


def bus_app(bus: Bus, *, auth: Auth, allow: Allow = by_claim) -> web.Application:
    """An application that serves the topics of a bus.

    Args:
        bus: the bus; the mount starts and closes it if nobody else does.
        auth: who asks; see `sse`.
        allow: `(principal, topic, "subscribe" | "publish") -> bool`, plain or async. By default the token's
            claim `{"rx_sse": {"subscribe": ["news", "team:*"], "publish": ["team:7"]}}`. Publishing needs the
            scope `publish` as well.

    Returns:
        An application for `app.add_subapp(prefix, …)`.

    Raises:
        UsageError: an argument that is something else.
    """
    if not callable(auth):
        raise UsageError(f"bus_app(auth={auth!r}): give a JWTAuth, or a function of the request")
    if not isinstance(bus, Bus):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(f"bus_app() takes a rx_sse.MemoryBus or a rx_sse.RedisBus, not {kind_of(bus)}")
    if not callable(allow):
        raise UsageError(f"bus_app(allow={allow!r}): give a function of a principal, a topic and an action")
    mount = _Mount(bus, auth, allow)
    app = setup(web.Application(), bus=bus, client=False)
    for path in ("", "/"):
        app.router.add_get(path, sse(auth=auth)(mount.topics))
    app.router.add_get("/me", sse(auth=auth)(mount.me))
    app.router.add_post("/topics/{name:.+}", mount.publish)
    return app


class _Mount:
    def __init__(self, bus: Bus, auth: Auth, allow: Allow) -> None:
        self._bus = bus
        self._auth = auth
        self._allow = allow

    async def topics(self, request: web.Request) -> Observable[ServerSentEvent]:
        names = list(dict.fromkeys(request.query.getall("topic", [])))
        most = edge_of(request).limits.topics
        if not 1 <= len(names) <= most:
            raise _problem(400, f"give 1 to {most} topics as ?topic=…, not {len(names)}")
        try:
            for name in names:
                check_topic(name)
        except TopicNameError as error:
            raise _problem(400, str(error)) from None
        who = principal(request)
        for name in names:
            if not await self._allowed(who, name, "subscribe"):
                raise _problem(403, "the token does not grant all of these topics")
        return self._bus.events(*names, after=last_event_id(request), last=_last(request))

    def me(self, request: web.Request) -> Observable[ServerSentEvent]:
        mine = topic_name("user", principal(request).user)
        return self._bus.events(mine, after=last_event_id(request), last=_last(request))

    async def publish(self, request: web.Request) -> web.Response:
        who = request[PRINCIPAL] = await authenticate(self._auth, request)
        if edge_of(request).is_revoked(who):
            raise _problem(401, "the token was revoked")
        if PUBLISH_SCOPE not in who.scopes:
            raise insufficient_scope([PUBLISH_SCOPE])
        key = request.headers.get("Idempotency-Key")
        if key is not None and not 1 <= len(key) <= KEY_LENGTH:
            raise _problem(400, f"an Idempotency-Key has 1 to {KEY_LENGTH} characters, not {len(key)}")
        name = request.match_info["name"]
        try:
            if not await self._allowed(who, check_topic(name), "publish"):
                raise _problem(403, "the token does not grant publishing to this topic")
            data = await _data(request)
            entry = await self._bus.publish(
                name, data, event=request.query.get("event"), idempotency_key=key, user=who.user
            )
        except RxSseError as error:
            raise _refused(error) from None
        return web.json_response({"id": entry}, status=201)

    async def _allowed(self, who: Principal, topic: str, action: Action) -> bool:
        answer = self._allow(who, topic, action)
        return bool(await answer) if inspect.isawaitable(answer) else bool(answer)


async def _data(request: web.Request) -> Any:
    """What is published: JSON, or text as it is."""
    try:
        text = await request.text()
    except (UnicodeDecodeError, LookupError) as error:  # the second for a charset that there is not
        raise _problem(400, f"the body is not text: {error}") from None
    if request.content_type.startswith("text/"):
        return text
    if request.content_type not in ("application/json", "application/octet-stream") and not (
        request.content_type.endswith("+json")
    ):
        raise _problem(415, f"publish application/json or text/plain, not {request.content_type}")
    try:
        return json.loads(text)
    except ValueError as error:
        raise _problem(400, f"the body is not JSON: {error}") from None
    except RecursionError:
        raise _problem(400, "the body is JSON that is nested too deeply") from None


def _last(request: web.Request) -> int:
    given = request.query.get("last", "0")
    if not (given.isascii() and given.isdigit() and len(given) <= 4 and int(given) <= MOST):
        raise _problem(400, f"last={given[:20]!r} must be a number from 0 to {MOST}")
    return int(given)


def _refused(error: RxSseError) -> web.HTTPException:
    for kind, status in STATUSES:
        if isinstance(error, kind):
            problem = _problem(status, str(error))
            if status == 503:
                problem.headers["Retry-After"] = str(round(getattr(error, "retry_after", None) or 1) or 1)
            return problem
    return _problem(500, "the event was not published")


class _Problem(web.HTTPException):
    """An answer with problem details; the status is the instance's."""

    def __init__(self, status: int, detail: str) -> None:
        self.status_code = status
        body = {"type": "about:blank", "status": status, "detail": detail}
        super().__init__(text=json.dumps(body), content_type="application/problem+json")


def _problem(status: int, detail: str) -> web.HTTPException:
    return _Problem(status, detail)
