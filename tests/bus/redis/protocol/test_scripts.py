"""Logs that are damaged in every way: whatever a stream and its meta hold, a reader comes to the end of it,
and a topic that takes entries is read on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import hiredis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rx_sse.bus.log.entry import TEXT, Draft
from rx_sse.bus.log.port import Page, Query
from rx_sse.bus.log.position import Position, new_nonce, new_position, seq_of, text_of
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.redis.net.address import address_of
from rx_sse.bus.redis.net.blocking import BlockingConnection
from rx_sse.bus.redis.protocol.append import AppendBatch
from rx_sse.bus.redis.protocol.call import Done, ScriptCall
from rx_sse.bus.redis.protocol.codec import page_of
from rx_sse.bus.redis.protocol.fence import Fence
from rx_sse.bus.redis.protocol.keys import Keys
from rx_sse.bus.redis.protocol.scripts import PAGE
from rx_sse.errors import RxSseError

from ....redis_server import RedisServer

pytestmark = pytest.mark.redis

KEYS = Keys("damage")
LOG, META, _ = KEYS.places("t")
KEPT = Retention()
LIMIT = 3
"""Entries of a page: paging is part of every run."""


class Topic:
    """A topic in Redis, with the scripts and without a bus."""

    def __init__(self, server: RedisServer) -> None:
        address = address_of(server.url)
        self._connection = BlockingConnection(address.endpoints[0], address.access, time.monotonic() + 600)
        self._fence = Fence()

    def close(self) -> None:
        self._connection.close()

    def command(self, *words: Any) -> Any:
        try:
            return self._connection.ask(words, time.monotonic() + 20)
        except hiredis.ReplyError as error:  # damage that Redis itself does not let happen
            return error

    def call(self, call: ScriptCall) -> Any:
        while not isinstance(result := call.reply(self._connection.call(call, time.monotonic() + 20)), Done):
            assert result.at_once, result
        return result.answer

    def publish(self, retention: Retention = KEPT) -> Position | RxSseError | str:
        batch = AppendBatch([Draft("t", TEXT, "x" * 20, None, retention)], KEYS)
        answer = self.call(batch.call("PUBLISH", self._fence))
        if isinstance(answer, Exception):
            return batch.refused(answer)[0]
        return batch.outcomes(answer, self._fence)[1][0]

    def page(self, query: Query) -> Page | None:
        after = ("", "") if query.after is None else (text_of(query.after), seq_of(query.after))
        args = (new_nonce(), 100_000, 50_000, *after, query.last, query.max_entries, query.max_bytes)
        answer = self.call(ScriptCall(PAGE, [LOG, META], args))
        return None if isinstance(answer, Exception) else page_of(answer, query, float)

    def entries(self) -> list[tuple[int, int, list[bytes]]]:
        rows = self.command("XRANGE", LOG, "-", "+")
        ids = [(name.split(b"-"), fields) for name, fields in rows]
        return [(int(seq), int(nonce), fields) for (seq, nonce), fields in ids]


@pytest.fixture(scope="module")
def topic(redis: RedisServer) -> Iterator[Topic]:
    it = Topic(redis)
    yield it
    it.close()


NUMBER = st.integers(0, 6)
METAS = ["", "x", "1 2", "9" * 30 + " 1 1 0 0 0", "0 0 0 0 0 0", "5 1 1 0 0 7", "2 1 1 0 0 0 a:1 b:"]
DAMAGE = st.one_of(
    st.tuples(st.just("publish")),
    st.tuples(st.just("publish")),
    st.tuples(st.just("delete"), NUMBER),
    st.tuples(st.just("trim"), NUMBER),
    st.tuples(st.just("lose meta")),
    st.tuples(st.just("restore meta"), NUMBER),
    st.tuples(st.just("advance meta"), NUMBER),
    st.tuples(st.just("write meta"), st.sampled_from(METAS)),
    st.tuples(st.just("foreign entry"), NUMBER, st.sampled_from([0, 1, 2**48, 2**64 - 1])),
    st.tuples(st.just("wrong link"), NUMBER),
    st.tuples(st.just("second entry of a number"), NUMBER),
    st.tuples(st.just("unreadable text"), NUMBER),
)  # fmt: skip


def damage(topic: Topic, what: tuple[Any, ...], metas: list[bytes], positions: list[Position]) -> None:
    kind, *numbers = what
    entries = topic.entries()
    last = entries[-1][0] if entries else 0
    nonce = new_nonce()
    match kind:
        case "publish":
            if isinstance(position := topic.publish(), int):
                positions.append(position)
        case "delete" if entries:
            seq, number, _ = entries[numbers[0] % len(entries)]
            topic.command("XDEL", LOG, f"{seq}-{number}")
        case "trim":
            topic.command("XTRIM", LOG, "MAXLEN", numbers[0])
        case "lose meta":
            topic.command("DEL", META)
        case "restore meta" if metas:
            topic.command("SET", META, metas[numbers[0] % len(metas)])
        case "advance meta":
            topic.command("SET", META, f"{last + numbers[0]} {nonce} 7 0 0 0")
        case "write meta":
            topic.command("SET", META, numbers[0])
        case "foreign entry":
            topic.command("XADD", LOG, f"{last + numbers[0]}-{numbers[1]}", "hello", "world")
        case "wrong link":
            topic.command(
                "XADD", LOG, f"{last + numbers[0]}-{nonce}", "h", "77 1 1", "e", "1t\nlinks to nothing"
            )
        case "second entry of a number" if entries:
            topic.command("XADD", LOG, f"{last}-{entries[-1][1] + 1}", "h", "78 1 1", "e", "1t\nsecond")
        case "unreadable text":
            topic.command("XADD", LOG, f"{last + 1}-{nonce}", "h", f"{numbers[0]} 1 1", "e", "9?")
        case _:
            pass  # there is nothing to damage yet
    if (meta := topic.command("GET", META)) is not None:
        metas.append(meta)


def read_to_the_end(topic: Topic, after: Position | None) -> tuple[list[Position], Position | None]:
    """What a reader gets, and where it is then; every page makes progress."""
    got: list[Position] = []
    for _ in range(60):
        page = topic.page(Query("t", after, last=100, max_entries=LIMIT))
        if page is None:
            return got, None  # refused: the topic is asked again later
        chain = [page.start, *(entry.position for entry in page.entries)]
        assert [entry.prev for entry in page.entries] == chain[:-1], "a page is linked"
        if page.broken:
            assert after is not None and page.start != after and seq_of(page.start) >= seq_of(after)
        got += chain[1:]
        if chain[-1] == page.head:
            return got, page.head
        assert chain[-1] != after, "it would be asked again and again"
        after = chain[-1]
    raise AssertionError("it never comes to the end")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(DAMAGE, max_size=14), cursor=NUMBER)
def test_a_damaged_log_is_read_to_its_end_and_written_on(
    topic: Topic, steps: list[tuple[Any, ...]], cursor: int
) -> None:
    topic.command("DEL", LOG, META)
    metas, positions = list[bytes](), [new_position(0, 5)]
    for step in steps:
        damage(topic, step, metas, positions)
    after = positions[cursor % len(positions)]
    got, head = read_to_the_end(topic, after)
    fresh, same = read_to_the_end(topic, None)
    assert same == head
    for reading in (got, fresh):
        assert all(seq_of(one) < seq_of(two) for one, two in pairwise(reading)), "nothing twice, nothing back"
    ours = {seq for seq, nonce, fields in topic.entries() if is_ours(seq, nonce, fields)}
    if head is not None:
        assert {seq_of(it) for it in fresh} == ours, "every entry that can be read is read"
        outcome = topic.publish()
        assert isinstance(outcome, int), outcome
        assert seq_of(outcome) > max(ours, default=0)
        assert read_to_the_end(topic, head)[0][-1:] == [outcome]
        assert topic.page(Query("t", outcome)) == topic.page(Query("t", outcome))


def is_ours(seq: int, nonce: int, fields: list[bytes]) -> bool:
    return fields[0] == b"h" and 1 <= seq < 2**53 - 1 and nonce < 10**15


def test_history_is_trimmed_over_entries_of_other_programs(topic: Topic) -> None:
    topic.command("DEL", LOG, META)
    kept = Retention(bytes=1000)
    for number in range(1, 60):
        if number % 5:
            assert isinstance(topic.publish(kept), int)
        else:
            topic.command("XADD", LOG, f"{number}-7", "hello", "world")
    assert len(topic.entries()) < 20


def test_a_script_carries_the_digest_of_its_text() -> None:
    for script in (PAGE,):
        assert "local function state" in script.text and len(script.digest) == 40
