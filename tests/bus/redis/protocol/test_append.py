"""A batch of appends: what it sends, how it is split. Without I/O."""

from __future__ import annotations

from rx_sse.bus.log.entry import TEXT, Draft
from rx_sse.bus.log.position import new_position
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.redis.protocol.append import AppendBatch
from rx_sse.bus.redis.protocol.fence import Fence
from rx_sse.bus.redis.protocol.keys import Keys
from rx_sse.errors import PublishRefused


def batch(*topics: str) -> AppendBatch:
    return AppendBatch([Draft(topic, TEXT, topic, None, Retention()) for topic in topics], Keys())


def sent(batch: AppendBatch, fence: Fence) -> tuple[int, int]:
    """The number that a call carries, and whether it leaves it in Redis."""
    (command,) = batch.call("PUBLISH", fence).commands()
    number, leave = command[command.index("PUBLISH") + 3 :][:2]
    return number, leave


def topics(parts: list[AppendBatch]) -> list[list[str]]:
    return [[draft.topic for draft in part.drafts] for part in parts]


def test_it_is_split_until_one_topic_is_alone_and_the_order_stays() -> None:
    whole = batch("a", "b", "a", "c", "b", "d")
    first, second = whole.split()
    assert topics([first, second]) == [["a", "b", "a", "b"], ["c", "d"]]
    assert topics(first.split()) == [["a", "a"], ["b", "b"]]
    assert topics(whole.split(one=True)) == [["a", "a"], ["b", "c", "b", "d"]]
    assert (alone := batch("a", "a")).split() == [alone]


def test_a_batch_whose_reply_was_lost_stays_unknown_when_it_is_split() -> None:
    whole, fence = batch("a", "b"), Fence()
    whole.call("PUBLISH", fence)
    whole.unknown = True
    for part in whole.split():
        (command,) = part.call("PUBLISH", fence).commands()
        assert command[command.index("PUBLISH") + 1] >= 60_000, "it looks for what it may have stored"


def test_a_lost_reply_raises_the_number_and_leaves_it_until_that_is_answered() -> None:
    fence = Fence()
    first = batch("a")
    assert sent(first, fence) == (0, 0), "nothing for a publisher that lost no reply"
    first.lost(fence)
    assert sent(batch("b"), fence) == (1, 0)
    assert sent(first, fence) == (1, 1)
    first.outcomes([b"1 1", b"!OOM"], fence)
    assert sent(first, fence) == (1, 1), "it was refused, and so was its number"
    first.outcomes([b"1 1", b"1-7"], fence)
    assert sent(batch("a"), fence) == (1, 0)


def test_what_is_stored_under_a_key_by_another_program_refuses_that_entry_alone() -> None:
    it = batch("a", "a")
    it.call("PUBLISH", Fence())
    _, outcomes = it.outcomes([b"1 1", b"hello", b"2-7"], Fence())
    assert isinstance(outcomes[0], PublishRefused) and outcomes[1] == new_position(2, 7)
