"""The operator's actions: `POST /actions/{name}` with a JSON object.

* `end`, `{"stream"}`: end a stream; its client gets a `stream-reconnect`.
* `revoke`, `{"user"}`: refuse the tokens of a user that were issued before now, and end their streams.
* `publish`, `{"topic", "text", "json", "event"}`: publish an event, as JSON or as text.
* `stop`, `{"run"}`: stop a run, in any process.

Each is answered with a sentence for the page, `{"done": …}` or problem details, and logged with its operator.

Standard: RFC 9457.
Never: a body is read before its sender is authorized.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from aiohttp import hdrs, web

from rx_sse.bus import Bus
from rx_sse.errors import RxSseError
from rx_sse.web.admin.access import Access
from rx_sse.web.admin.board import Board
from rx_sse.web.end_reason import End
from rx_sse.web.mount_problem import STATUSES, problem
from rx_sse.web.registry import StreamRegistry, registry_of
from rx_sse.web.request_body import read_body
from rx_sse.wire.harmless import one_line

logger = logging.getLogger("rx_sse")

PATIENCE = 15.0
"""Seconds that the page waits for a run to stop."""
SHOWN = 100
"""Characters of a name in an answer."""

Action = Callable[[StreamRegistry, Mapping[str, Any]], Awaitable[str]]


class Actions:
    """The actions of one admin application.

    Args:
        board: notified of changes.
        access: the permissions.
    """

    def __init__(self, board: Board, access: Access) -> None:
        self._board = board
        self._access = access
        self._actions: Mapping[str, Action] = {
            "end": self._end,
            "revoke": self._revoke,
            "publish": self._publish,
            "stop": self._stop,
        }

    async def post(self, request: web.Request) -> web.Response:
        """The handler."""
        name = request.match_info["name"]
        try:
            who = await self._access.actor(request)
        except (web.HTTPUnauthorized, web.HTTPForbidden) as error:
            challenge = {str(hdrs.WWW_AUTHENTICATE): error.headers.get(hdrs.WWW_AUTHENTICATE, "Bearer")}
            raise problem(
                error.status, FORBIDDEN if error.status == 403 else UNAUTHORIZED, challenge
            ) from None
        action = self._actions.get(name)
        if action is None:
            raise problem(404, f"there is no action {one_line(name, SHOWN)!r}")
        try:
            done = await action(registry_of(request), await _body(request))
        except RxSseError as error:
            status = next((status for kind, status in STATUSES if isinstance(error, kind)), 400)
            raise problem(status, str(error)) from None
        operator = "an operator" if who is None else one_line(who.user, SHOWN)
        logger.warning("admin page: %s: %s", operator, done)
        return web.json_response({"done": done}, headers={hdrs.CACHE_CONTROL: "no-store"})

    async def _end(self, edge: StreamRegistry, body: Mapping[str, Any]) -> str:
        wanted = _text(body, "stream")
        for stream in edge.streams:
            if stream.id == wanted:
                if not stream.ended:
                    stream.close_for_reconnect(End.OPERATOR)
                user = "" if stream.principal is None else f" of {one_line(stream.principal.user, SHOWN)}"
                return f"ended {one_line(stream.label, SHOWN)}{user}; its client got a stream-reconnect"
        raise problem(404, "this stream has ended already")

    async def _revoke(self, edge: StreamRegistry, body: Mapping[str, Any]) -> str:
        user = _text(body, "user")
        await _bus_of(edge).revoke(user=user)
        consequence = "tokens issued before now are refused, and their streams end in every process"
        return f"revoked {one_line(user, SHOWN)}: {consequence}"

    async def _publish(self, edge: StreamRegistry, body: Mapping[str, Any]) -> str:
        topic, text = _text(body, "topic"), body.get("text")
        event = body.get("event") or None
        if not isinstance(text, str) or not (event is None or isinstance(event, str)):
            raise problem(400, "give text, and event as text or not at all")
        data: Any = text
        if body.get("json") is True:
            try:
                data = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise problem(400, f"the data is not JSON: {error}; publish it as text instead") from None
        entry = await _bus_of(edge).publish(topic, data, event=event)
        return f"published to {one_line(topic, SHOWN)} as {entry}"

    async def _stop(self, edge: StreamRegistry, body: Mapping[str, Any]) -> str:
        name = _text(body, "run")
        try:
            async with asyncio.timeout(PATIENCE):
                found = await _bus_of(edge).stop(name, "stopped by an operator")
        except TimeoutError:
            detail = f"the run was asked to stop, and has not ended within {PATIENCE:.0f} s"
            raise problem(504, detail) from None
        finally:
            if self._board.runs is not None:
                self._board.runs.ask_again()
        return f"the run {one_line(name, SHOWN)} is {found.state}"


FORBIDDEN = (
    "this needs a token with the scope that admin_app(scope=…) names, and the admin page itself as the sender"
)
UNAUTHORIZED = "sign in again: the token is missing or was refused"


def _bus_of(edge: StreamRegistry) -> Bus:
    if edge.bus is None:
        raise problem(409, "the application has no bus: call setup(app, bus=…)")
    return edge.bus


async def _body(request: web.Request) -> Mapping[str, Any]:
    """The request's JSON object."""
    if hdrs.CONTENT_ENCODING in request.headers:
        raise problem(415, "send the body without Content-Encoding")
    if request.content_type != "application/json":  # no form of another site can send that
        raise problem(415, f"send application/json, not {one_line(request.content_type, SHOWN)}")
    await read_body(request)
    try:
        body = await request.json()
    except (ValueError, RecursionError, LookupError) as error:
        raise problem(400, f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise problem(400, "the body is no JSON object")
    return cast("Mapping[str, Any]", body)


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise problem(400, f"give {name} as text that is not empty")
    return value
