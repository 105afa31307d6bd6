"""`Overflow`: what is wrong is refused when it is made, with the value and the way out."""

from __future__ import annotations

from typing import Any

import pytest

import rx_sse
from rx_sse.delivery import Outbox, Overflow, make_outbox
from rx_sse.delivery.latest import LatestOutbox
from rx_sse.delivery.outbox import Gap
from rx_sse.delivery.overflow import POLICIES
from rx_sse.errors import UsageError


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_has_documented_limits(policy: Any) -> None:
    overflow = Overflow(policy)
    assert (overflow.max_events, overflow.max_bytes, overflow.key) == (512, 256 * 1024, None)
    assert Overflow.of(policy) == overflow
    assert Overflow.of(overflow) is overflow
    with pytest.raises(AttributeError):
        overflow.max_events = 1  # type: ignore[misc]


def test_the_policies_are_these() -> None:
    assert POLICIES == ("disconnect", "drop_oldest", "drop_newest", "latest")
    assert rx_sse.Overflow is Overflow


class Silent:
    def relieve(self) -> None:
        pass

    def render_gap(self, gap: Gap) -> bytes:
        return b""


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_gets_its_outbox(policy: Any) -> None:
    box = make_outbox(Overflow(policy), Silent(), 1)
    assert type(box) is (LatestOutbox if policy == "latest" else Outbox)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"policy": "drop"}, "overflow policy 'drop' does not exist; use one of disconnect, drop_oldest"),
        ({"policy": None}, "overflow policy None does not exist"),
        ({"policy": ["latest"]}, "overflow policy ['latest'] does not exist"),
        ({"policy": "disconnect", "key": str}, "overflow key= belongs to the policy 'latest'"),
        (
            {"policy": "latest", "key": "price"},
            "overflow key='price' must be a function of the emitted value",
        ),
        ({"policy": "latest", "max_events": 0}, "overflow max_events=0 must be an integer of at least 1"),
        ({"policy": "latest", "max_events": 1.5}, "overflow max_events=1.5 must be an integer"),
        ({"policy": "latest", "max_events": True}, "overflow max_events=True must be an integer"),
        ({"policy": "latest", "max_bytes": -1}, "overflow max_bytes=-1 must be an integer of at least 1"),
        ({"policy": "latest", "max_bytes": None}, "overflow max_bytes=None must be an integer"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        Overflow(**arguments)
    assert said in str(caught.value)


@pytest.mark.parametrize("given", ["fastest", 5, None, {"policy": "latest"}])
def test_of_takes_a_policy_or_its_name_alone(given: Any) -> None:
    with pytest.raises(UsageError, match=r"overflow policy .* does not exist"):
        Overflow.of(given)
