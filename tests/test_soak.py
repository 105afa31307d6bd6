"""The oracle of the long runs can fail; and their short forms, when slow tests are asked for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree

import pytest

from rx_sse.wire import ServerSentEvent

from .reader import Account, Reader
from .rolling import Result as Restart
from .rolling import picture, roll
from .soak import SAME, Result, soak


def account_of(*received: tuple[str, int], data: str = "") -> Account:
    """What is counted of a client that receives events of these types and sequence numbers."""
    account = Account()
    reader = Reader("t", [], 0, account)
    for type_, seq in received:
        stream: Any = SimpleNamespace(last_event_id=f"1_aaaaaa.{seq}.{seq + 70}")
        reader._take(stream, ServerSentEvent(data or str(seq), event=None if type_ == "message" else type_))
    return account


def test_each_event_once_and_in_order_is_whole() -> None:
    account = account_of(
        ("stream-cursor", 4), ("message", 5), ("message", 6), ("stream-cursor", 6), ("message", 7)
    )
    assert (account.received, account.lost, account.repeated, account.gaps) == (3, 0, 0, 0)


def test_a_hole_is_a_loss_and_a_gap_in_its_place_is_none() -> None:
    assert account_of(("stream-cursor", 4), ("message", 7)).lost == 2
    assert account_of(("stream-cursor", 4), ("stream-cursor", 6), ("message", 7)).lost == 2
    told = account_of(("stream-cursor", 4), ("stream-gap", 6), ("message", 7))
    assert (told.lost, told.gaps) == (0, 1)


def test_an_event_that_is_received_again_is_repeated() -> None:
    assert account_of(("stream-cursor", 4), ("message", 5), ("message", 5)).repeated == 1
    assert account_of(("stream-cursor", 4), ("message", 5), ("message", 6), ("message", 5)).repeated == 1


def test_two_clients_receive_the_same_in_the_same_place() -> None:
    account = Account()
    assert account.same("t", 1, "a") and account.same("t", 1, "a") and not account.same("t", 1, "b")


def test_a_process_that_holds_more_than_before_falls_short() -> None:
    before = dict.fromkeys([*SAME, "objects", "resident"], 1)
    for name, more in (("streams", 1), ("sockets", -1), ("objects", 10_000), ("resident", 10**9)):
        result = Result(
            "memory", 10, 1.0, Account(), list(SAME), before=[before], after=[{**before, name: 1 + more}]
        )
        assert len(result.wrong) == 1, name
    assert not Result("memory", 10, 1.0, Account(), list(SAME), before=[before], after=[before]).wrong


def test_the_curve_of_a_restart_is_drawn() -> None:
    result = Restart("redis", 10, Account(), 100, 0, [(0.0, 2.0, 3.0), (8.0, 10.0, 11.0)], [1.0, 1.2, 9.0])
    drawn = ElementTree.fromstring(picture(result))
    kinds = [cast(str, part.get("class")) for part in drawn.iter() if part.get("class")]
    assert (kinds.count("bar"), kinds.count("drain"), kinds.count("away")) == (2, 2, 2)
    assert result.most == 2


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.parametrize("bus", ["memory", "sqlite", "redis"])
async def test_clients_that_come_and_go_hold_every_event_and_leave_nothing_behind(bus: str) -> None:
    """`python -m tests.soak` has 2,000 of them for ten minutes."""
    result = await soak(bus, clients=100, topics=5, seconds=8.0, rate=50, cuts=30, linger=0.0)
    assert result.disturbances > 100 and result.account.received > 1_000
    assert not result.wrong, result


@pytest.mark.slow
@pytest.mark.redis
@pytest.mark.parametrize("bus", ["sqlite", "redis"])
async def test_a_rolling_restart_loses_and_repeats_nothing(bus: str) -> None:
    """`python -m tests.rolling` has 2,000 clients."""
    result = await roll(bus, clients=100, topics=10, rate=50, drain=1.0)
    assert len(result.opened) >= 100 and not result.wrong, result
