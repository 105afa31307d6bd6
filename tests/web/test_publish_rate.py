"""What one principal may publish over HTTP: events, bytes and topics; and what the others still may."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

import rx_sse
from rx_sse import Limits
from rx_sse.bus.bus import core_of
from rx_sse.testing import serve
from tests.web.tokens import bearer, jwt_auth

from .test_mount import problem

GRANTS = {"subscribe": ["team:*"], "publish": ["team:*"]}
EVE = bearer("eve", scope="publish", rx_sse=GRANTS)
BOB = bearer("bob", scope="publish", rx_sse=GRANTS)


@asynccontextmanager
async def mounted(limits: Limits) -> AsyncIterator[tuple[str, rx_sse.Bus]]:
    bus = rx_sse.MemoryBus()
    app = rx_sse.setup(web.Application(), bus=bus, limits=limits)
    app.add_subapp("/events", rx_sse.bus_app(bus, auth=jwt_auth()))
    async with serve(app) as url:
        yield url + "/events/topics/team:", bus


async def test_events_are_bounded_by_the_second_and_in_a_row() -> None:
    async with mounted(Limits(publishes_per_user=1)) as (url, bus):
        answers = [await problem(f"{url}1", EVE) for _ in range(12)]
        status, told, headers = answers[-1]
        assert [status for status, _, _ in answers[:10]] == [201] * 10 and status == 429
        assert told["detail"] == "this principal has published more than 1 event a second, which is the most"
        assert headers["Retry-After"] == "1"
        assert (await problem(f"{url}1", BOB))[0] == 201, "another principal has a bucket of its own"
        assert await bus.publish("team:1", "by the application itself", user="eve")


async def test_bytes_are_bounded_whether_their_number_is_said_or_not() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'"' + b"x" * 598 + b'"'

    async with mounted(Limits(publish_bytes_per_user=100)) as (url, bus):
        status, told, _ = await problem(f"{url}1", EVE, b'"' + b"x" * 1_000 + b'"')
        assert (
            status == 413
            and told["detail"] == "a body of 1,002 bytes, and 1,000 is the most for one principal"
        )
        assert (await problem(f"{url}1", EVE, chunks()))[0] == 201
        for body in (b'"' + b"x" * 598 + b'"', chunks()):
            status, told, headers = await problem(f"{url}1", EVE, body)
            assert status == 429 and "more than 100 bytes a second" in told["detail"]
            assert 1 <= int(headers["Retry-After"]) <= 3
        assert (await problem(f"{url}1", BOB, chunks()))[0] == 201
        assert len((await bus.history("team:1")).entries) == 2


async def test_a_body_that_is_too_much_is_not_waited_for() -> None:
    """The length is said and the body never sent: the answer comes all the same."""
    async with mounted(Limits(publish_bytes_per_user=100)) as (url, _):
        headers = {**EVE, "Content-Length": "5000", "Content-Type": "text/plain", "Expect": "100-continue"}
        async with aiohttp.ClientSession() as session, session.post(f"{url}1", headers=headers) as answer:
            assert answer.status == 413


async def test_a_grant_of_many_topics_is_not_a_grant_of_all_memory() -> None:
    async with mounted(Limits(topics_per_user=4)) as (url, bus):
        answers = [await problem(f"{url}{n}", EVE) for n in range(5)]
        assert [status for status, _, _ in answers] == [201] * 4 + [429]
        assert answers[-1][1]["detail"] == "this principal has opened too many topics lately"
        assert int(answers[-1][2]["Retry-After"]) > 20
        assert [(await problem(f"{url}{n}", EVE))[0] for n in range(4)] == [201] * 4, "those it has, it has"
        assert (await problem(f"{url}5", BOB))[0] == 201
        assert core_of(bus).quotas.topics == 4


async def test_without_bounds_there_are_none() -> None:
    limits = Limits(
        publishes_per_user=None, publish_bytes_per_user=None, topics_per_user=None, keys_per_user=None
    )
    async with mounted(limits) as (url, _):
        for n in range(30):
            assert (await problem(f"{url}{n}", {**EVE, "Idempotency-Key": f"{n}"}))[0] == 201
