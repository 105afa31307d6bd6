"""A script's call: every refusal, and what is to be done about it. Without I/O."""

from __future__ import annotations

import hiredis
import pytest

from rx_sse.bus.redis.protocol.call import Done, Lost, Retry, ScriptCall, code_of, refusal
from rx_sse.bus.redis.protocol.scripts import PAGE
from rx_sse.errors import PublishRefused


def call() -> ScriptCall:
    return ScriptCall(PAGE, ["a", "b"], (1, "x"))


def words(it: ScriptCall) -> list[list[object]]:
    return [[word for word in command if word != PAGE.text] for command in it.commands()]


BY_DIGEST = ["EVALSHA", PAGE.digest, 2, "a", "b", 1, "x"]
BY_TEXT = ["EVAL", 2, "a", "b", 1, "x"]


def test_it_is_sent_by_its_digest_and_answered() -> None:
    it = call()
    assert words(it) == [BY_DIGEST]
    assert it.reply([b"answer"]) == Done([b"answer"])


def test_a_server_that_does_not_know_the_script_gets_its_text_once() -> None:
    it = call()
    refused = hiredis.ReplyError("NOSCRIPT No matching script.")
    first = it.reply(refused)
    assert isinstance(first, Retry) and first.at_once and first.where is None
    assert words(it) == [BY_TEXT]
    again = it.reply(refused)
    assert isinstance(again, Retry) and not again.at_once, "it would be sent again for ever"


def test_a_slot_on_its_way_is_asked_for_where_the_server_says_once() -> None:
    it = call()
    refused = hiredis.ReplyError("ASK 3999 10.0.0.7:6381")
    first = it.reply(refused)
    assert isinstance(first, Retry) and first.at_once and first.where == "10.0.0.7:6381"
    assert words(it) == [["ASKING"], BY_TEXT]
    again = it.reply(refused)
    assert isinstance(again, Retry) and not again.at_once


@pytest.mark.parametrize(
    ("said", "code", "where"),
    [
        ("MOVED 3999 10.0.0.7:6381", "MOVED", "10.0.0.7:6381"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "TRYAGAIN", None),
        ("ERR user_script:7: Script attempted to access a non local key", "TRYAGAIN", None),
        ("READONLY You can't write against a read only replica.", "READONLY", None),
        ("LOADING Redis is loading the dataset in memory", "LOADING", None),
        ("OOM command not allowed when used memory > 'maxmemory'.", "OOM", None),
        ("ERR max number of clients reached", "BUSY", None),
        ("BUSY Redis is busy running a script.", "BUSY", None),
    ],
)
def test_what_passes_is_sent_again_later(said: str, code: str, where: str | None) -> None:
    assert call().reply(hiredis.ReplyError(said)) == Retry(code, where=where, said=said)
    assert refusal(said) == code


@pytest.mark.parametrize(
    "said",
    [
        "ERR user_script:12: attempt to compare nil with number script: 1b2, on @user_script:12.",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "NOPERM this user has no permissions",
    ],
)
def test_what_does_not_pass_is_done(said: str) -> None:
    """A script that fails is not a server that is busy."""
    error = hiredis.ReplyError(said)
    assert call().reply(error) == Done(error)
    assert isinstance(refusal(error), PublishRefused)


def test_a_lost_reply_is_not_a_refusal() -> None:
    answer = call().reply(Lost("the connection was lost"))
    assert isinstance(answer, Retry) and answer.code == "LOST" and not answer.at_once


def test_codes_are_the_first_word() -> None:
    assert [code_of(it) for it in ("", "ERR", "NOAUTH Authentication required.")] == ["", "ERR", "NOAUTH"]
