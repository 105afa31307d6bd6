"""The ready-made mount: topics over HTTP, for `app.add_subapp("/events", rx_sse.bus_app(bus, auth=auth))`.

* `GET /?topic=a&topic=b`: one stream of several topics; `last=20` begins with the newest 20 of each,
  `since=300` with those of the last 300 seconds.
* `GET /me`: the stream of the principal's own topic, `topic_name("user", principal.user)`.
* `GET /topics/{name}/history`: the history of a topic, in pages (`topic_history`).
* `GET /runs/{name}`, `POST /runs/{name}/stop`: the status of a run, and its stop. They need the grant of its
  topic `run:{name}`, to read and to publish.
* `POST /topics/{name}`: publish JSON or text; `?event=` names the event, `Idempotency-Key` makes a repeat
  safe.

The token's claim `rx_sse`, or a function of yours, decides what a token may read and publish. A request is
allowed as a whole or refused as a whole. A permanent refusal is a 4xx; a temporary failure (the store is
unreachable, there is no room) is a 503 with `Retry-After`; an event that may have been stored is a 504.

Standard: RFC 9110, RFC 9457 (problem details), draft-ietf-httpapi-idempotency-key-header; the claim follows
the example of Mercure's.
Never: it reveals whether a topic exists that the user may not read; it reads a compressed body, or the body
of a request that it refuses.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, cast

from aiohttp import hdrs, web
from reactivex import Observable

from rx_sse.bus import Bus, topic_name
from rx_sse.bus.asking import history_of
from rx_sse.bus.bus import core_of
from rx_sse.bus.names import check_run, check_topic, covers, is_pattern, run_topic
from rx_sse.bus.quotas import OverQuota
from rx_sse.errors import Overloaded, RxSseError, TopicNameError, UsageError
from rx_sse.web.auth.challenge import insufficient_scope, invalid_token
from rx_sse.web.last_event_id import last_event_id
from rx_sse.web.mount_problem import problem, refused
from rx_sse.web.origin import allowed_origins, meant, origin_refused
from rx_sse.web.principal import PRINCIPAL, Principal, principal
from rx_sse.web.publish_body import check_plain, data_of
from rx_sse.web.publish_rate import PublishRate
from rx_sse.web.registry import registry_of
from rx_sse.web.rejection import Cause
from rx_sse.web.setup import kind_of, setup
from rx_sse.web.sse import SHARED, Auth, authenticate, sse
from rx_sse.web.topic_history import answer, number_of, since_of, wish_of
from rx_sse.wire import ServerSentEvent

Action = Literal["subscribe", "publish"]
Allow = Callable[[Principal, str, Action], "Awaitable[bool] | bool"]

CLAIM = "rx_sse"
PUBLISH_SCOPE = "publish"
MOST = 1_000
"""The largest `last=`."""
KEY_LENGTH = 255
"""Characters of an `Idempotency-Key`; Stripe's limit."""


def own_topic(who: Principal) -> str | None:
    """The topic of a principal, `topic_name("user", user)`; None if the name would be too long."""
    try:
        return topic_name("user", who.user)
    except TopicNameError:
        return None


def by_claim(who: Principal, topic: str, action: Action) -> bool:
    """Whether a token grants an action: its claim `rx_sse` holds lists of topics under `subscribe` and
    `publish`, each a name or a prefix like `team:*`. The principal's own topic may always be read."""
    if action == "subscribe" and topic == own_topic(who):
        return True
    grants = who.claims.get(CLAIM)
    patterns = cast(Mapping[str, Any], grants).get(action) if isinstance(grants, Mapping) else None
    if not isinstance(patterns, Sequence) or isinstance(patterns, str):
        return False
    return any(isinstance(p, str) and covers(p, topic) for p in cast(Sequence[object], patterns))


def why_not(who: Principal, topic: str, action: Action) -> str:
    """The reason why `by_claim` refuses an action, in words for the log."""
    grants = who.claims.get(CLAIM)
    if not isinstance(grants, Mapping):
        return f"the token has no claim {CLAIM!r} that is an object, so it grants no {action} to {topic!r}"
    patterns = cast(Mapping[str, Any], grants).get(action)
    if not isinstance(patterns, Sequence) or isinstance(patterns, str):
        return f"the claim {CLAIM!r} has no list {action!r}, so it grants none to {topic!r}"
    wrong = sum(not is_pattern(pattern) for pattern in cast(Sequence[object], patterns))
    known = f"; {wrong} of its entries are no patterns (a name, or a prefix like 'team:*')" if wrong else ""
    return f"the claim {CLAIM!r} grants no {action} to {topic!r}{known}"


def bus_app(bus: Bus, *, auth: Auth, allow: Allow = by_claim) -> web.Application:
    """An application that serves the topics of a bus.

    Args:
        bus: the bus; the mount starts and closes it unless `setup` does.
        auth: the authenticator; see `sse`.
        allow: `(principal, topic, "subscribe" | "publish") -> bool`, plain or async. By default the token's
            claim `{"rx_sse": {"subscribe": ["news", "team:*"], "publish": ["team:7"]}}`. Publishing needs the
            scope `publish` as well, whatever `allow` says.

    Returns:
        An application for `app.add_subapp(prefix, …)`.

    Raises:
        UsageError: an argument of the wrong type.
    """
    if not callable(auth):  # its value is not shown: it may be the secret
        raise UsageError(f"bus_app(auth=) is {kind_of(auth)}: give a JWTAuth, or a function of the request")
    if not isinstance(bus, Bus):
        raise UsageError(f"bus_app() takes a rx_sse.MemoryBus, SQLiteBus or RedisBus, not {kind_of(bus)}")
    if not callable(allow):
        raise UsageError(
            f"bus_app(allow=) is {kind_of(allow)}: give a function of a principal, a topic and an action"
        )
    mount = _Mount(bus, auth, allow)
    app = setup(web.Application(), bus=bus, client=False)
    for path in ("", "/"):
        app.router.add_get(path, sse(auth=auth)(mount.topics))
    app.router.add_get("/me", sse(auth=auth)(mount.me))
    app.router.add_get("/topics/{name:.+}/history", mount.history)
    app.router.add_post("/topics/{name:.+}", mount.publish)
    app.router.add_get("/runs/{name:.+}", mount.run)
    app.router.add_post("/runs/{name:.+}/stop", mount.stop)
    return app


class _Mount:
    def __init__(self, bus: Bus, auth: Auth, allow: Allow) -> None:
        self._bus = bus
        self._auth = auth
        self._allow = allow
        self._rate = PublishRate()

    async def topics(self, request: web.Request) -> Observable[ServerSentEvent] | web.StreamResponse:
        names = list(dict.fromkeys(request.query.getall("topic", [])))
        edge = registry_of(request)
        most = min(edge.limits.topics, edge.limits.topics_per_user or edge.limits.topics)
        if not 1 <= len(names) <= most:
            raise problem(400, f"give 1 to {most} topics as ?topic=…, not {len(names)}")
        try:
            for name in names:
                check_topic(name)
        except TopicNameError as error:
            raise problem(400, str(error)) from None
        who = principal(request)
        for name in names:
            if not await self._allowed(who, name, "subscribe"):
                self._tell(request, who, name, "subscribe")
                raise problem(403, "the token does not grant all of these topics")
        try:
            core_of(self._bus).quotas.open(who.user, len(names))
        except OverQuota as error:
            return edge.shed(request, Cause.USER, seconds=error.retry_after or 1.0)
        return self._bus.events(*names, after=last_event_id(request), **_beginning(request))

    def me(self, request: web.Request) -> Observable[ServerSentEvent]:
        mine = own_topic(principal(request))
        if mine is None:
            raise problem(404, "the user's name is too long for a topic of its own")
        return self._bus.events(mine, after=last_event_id(request), **_beginning(request))

    async def history(self, request: web.Request) -> web.Response:
        who = await self._who(request)
        name = request.match_info["name"]
        try:
            wish = wish_of(name, request.query)
            if not await self._allowed(who, wish.topic, "subscribe"):
                self._tell(request, who, name, "subscribe")
                raise problem(403, "the token does not grant this topic")
            core_of(self._bus).quotas.open(who.user, 1)
            limiter, size = core_of(self._bus).limiter, 0
            limiter.enter(who.user)
            try:
                page, size = await history_of(core_of(self._bus), wish)
            finally:
                limiter.leave(who.user, size)
        except UsageError as error:
            raise problem(400, str(error)) from None
        except RxSseError as error:
            raise refused(error) from None
        return answer(request, page)

    setattr(history, SHARED, True)

    async def run(self, request: web.Request) -> web.Response:
        return await self._run(request, "subscribe")

    setattr(run, SHARED, True)

    async def stop(self, request: web.Request) -> web.Response:
        return await self._run(request, "publish")

    setattr(stop, SHARED, True)

    async def _run(self, request: web.Request, action: Action) -> web.Response:
        """The status of a run, for users that may read its topic; its stop, for users that may publish to
        it."""
        who = await self._who(request)
        name = request.match_info["name"]
        if action == "publish":
            self._check_scope(request, who)
        try:
            if not await self._allowed(who, run_topic(check_run(name)), action):
                self._tell(request, who, run_topic(name), action)
                raise problem(403, "the token does not grant this run")
            found = await self._bus.find_run(name)
            if found is not None and action == "publish":
                found = await self._bus.stop(name)
        except RxSseError as error:
            raise refused(error) from None
        if found is None:
            raise problem(404, "there is no such run, or its time is over")
        return web.json_response(asdict(found), headers={hdrs.CACHE_CONTROL: "no-store"})

    async def publish(self, request: web.Request) -> web.Response:
        try:
            return await self._publish(request)
        except web.HTTPException as refusal:
            # Not raised on: aiohttp would keep it in a cycle with its traceback, which has the body and what
            # was made of it, up to 15 MB, until Python's garbage collector runs.
            return _answer(refusal)

    async def _publish(self, request: web.Request) -> web.Response:
        check_plain(request)
        who = await self._who(request)
        limits = registry_of(request).limits
        self._check_scope(request, who)
        self._rate.event(who.user, limits)
        key = request.headers.get("Idempotency-Key")
        if key is not None and not 1 <= len(key) <= KEY_LENGTH:
            raise problem(400, f"an Idempotency-Key has 1 to {KEY_LENGTH} characters, not {len(key)}")
        name = request.match_info["name"]
        try:
            if not await self._allowed(who, check_topic(name), "publish"):
                self._tell(request, who, name, "publish")
                raise problem(403, "the token does not grant publishing to this topic")
            await self._rate.body(who.user, request, limits)
            data = await data_of(request)
            entry = await self._bus.publish(
                name, data, event=request.query.get("event"), idempotency_key=key, user=who.user
            )
        except RxSseError as error:
            raise refused(error) from None
        return web.json_response({"id": entry}, status=201)

    setattr(publish, SHARED, True)

    @staticmethod
    def _check_scope(request: web.Request, who: Principal) -> None:
        if PUBLISH_SCOPE in who.scopes:
            return
        registry_of(request).refusals.tell(request, 403, f"the token lacks the scope {PUBLISH_SCOPE!r}")
        challenge = insufficient_scope([PUBLISH_SCOPE]).headers[hdrs.WWW_AUTHENTICATE]
        raise problem(
            403,
            f"publishing needs a token with the scope {PUBLISH_SCOPE!r} (in its claim 'scope')",
            {hdrs.WWW_AUTHENTICATE: challenge},
        )

    async def _who(self, request: web.Request) -> Principal:
        """Authenticate a request that is not for a stream."""
        edge = registry_of(request)
        try:
            who = request[PRINCIPAL] = await authenticate(self._auth, request)
            reason = edge.refused(who)
        except Overloaded as error:
            raise refused(error) from None
        if reason is not None:
            edge.refusals.tell(request, 401, f"the token was refused: {reason}", kind="revoked")
            raise invalid_token()
        _check_meant(request)
        return who

    def _tell(self, request: web.Request, who: Principal, topic: str, action: Action) -> None:
        own = self._allow is by_claim
        reason = why_not(who, topic, action) if own else f"allow= refused {action} to {topic!r}"
        registry_of(request).refusals.tell(request, 403, reason, kind=f"no grant to {action}")

    async def _allowed(self, who: Principal, topic: str, action: Action) -> bool:
        answer = self._allow(who, topic, action)
        return bool(await answer) if inspect.isawaitable(answer) else bool(answer)


def _check_meant(request: web.Request) -> None:
    """Refuse a cross-site request that a browser sent with its cookies, whatever the authenticator."""
    if hdrs.COOKIE in request.headers and not meant("GET", request.headers, allowed_origins(request)):
        registry_of(request).refusals.tell(request, 403, origin_refused(request), kind="origin")
        raise problem(403, "this page may not act for the user")


def _beginning(request: web.Request) -> dict[str, Any]:
    """The beginning of a stream for a client without a cursor."""
    try:
        last = number_of("last", request.query.get("last", "0"), 0, MOST)
        since = request.query.get("since")
        if since is not None and last:
            raise UsageError("last= and since= are two beginnings: give one of them")
        return {"last": last, "since": None if since is None else since_of(since)}
    except UsageError as error:
        raise problem(400, str(error)) from None


def _answer(refusal: web.HTTPException) -> web.Response:
    """The response that an exception is, without the exception."""
    response = web.Response(
        status=refusal.status, reason=refusal.reason, body=refusal.body, headers=refusal.headers
    )
    if refusal.keep_alive is False:
        response.force_close()
    return response
