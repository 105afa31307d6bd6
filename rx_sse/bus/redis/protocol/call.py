"""A script's call, without I/O: commands out, a reply in, and what to do about it.

A server may not know the script (NOSCRIPT), not have the keys any more (MOVED), have sent some of them to
another server already (ASK, TRYAGAIN), not be a master (READONLY), or be busy; the connection may be lost
before the reply. Each of these is a `Retry`, and says whether it can be sent again at once and where; all
else is `Done`. The loop's connections and the blocking ones of `RedisPublisher` drive the same object.

Standard: the error codes of Redis 7.0, and the Redis Cluster specification ("Redirection and resharding").
Never: a script that fails is taken for a server that is busy: it would be sent again without an end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import hiredis

from rx_sse.bus.redis.protocol.scripts import Script
from rx_sse.errors import PublishRefused, RxSseError

ELSEWHERE = frozenset(("MOVED", "ASK", "READONLY", "CLUSTERDOWN", "MASTERDOWN"))
"""Refusals of a server that is not the right one, or not any more: look who is."""
TRANSIENT = ELSEWHERE | {
    "TRYAGAIN", "LOADING", "BUSY", "OOM", "MISCONF", "NOREPLICAS", "NOSCRIPT", "UNKILLABLE", "CROSSSLOT",
}  # fmt: skip
"""Refusals that pass: the same call is worth sending again, perhaps elsewhere."""
QUIET = ELSEWHERE | {"TRYAGAIN", "LOADING"}
"""Refusals that a restart, a failover or a resharding brings with it, and that need not be reported."""
LOST = "LOST"
"""The code of a reply that was lost: the call may have been done."""


class Lost(Exception):
    """The connection was lost before the answer came."""


@dataclass(frozen=True, slots=True)
class Done:
    """It is over.

    Attributes:
        answer: what the script answered, or the error that it is for good.
    """

    answer: Any


@dataclass(frozen=True, slots=True)
class Retry:
    """It has to be sent again.

    Attributes:
        code: why.
        at_once: whether the same call can be sent again now: nothing has to change first.
        where: the ``host:port`` that a server named; None: whoever is right by then.
        said: the server's words.
    """

    code: str
    at_once: bool = False
    where: str | None = None
    said: str = ""


class ScriptCall:
    """One call of a script, until its answer is there.

    Args:
        script: which.
        keys: that it touches.
        args: what it gets.
    """

    __slots__ = ("_args", "_asking", "_keys", "_script", "_whole")

    def __init__(self, script: Script, keys: list[str], args: tuple[Any, ...]) -> None:
        self._script = script
        self._keys = keys
        self._args = args
        self._whole = False
        self._asking = False

    def commands(self) -> list[tuple[Any, ...]]:
        """What to send. The reply to the last one counts."""
        script = self._script
        how = ("EVAL", script.text) if self._whole else ("EVALSHA", script.digest)
        call = (*how, len(self._keys), *self._keys, *self._args)
        return [("ASKING",), call] if self._asking else [call]

    def reply(self, answer: Any) -> Done | Retry:
        """What an answer, an error or a `Lost` means. What is to be sent again at once is in `commands`."""
        if not isinstance(answer, Exception):
            return Done(answer)
        said = str(answer)
        if not isinstance(answer, hiredis.ReplyError):
            return Retry(LOST, said=said)
        code = code_of(said)
        if code == "NOSCRIPT" and not self._whole:
            self._whole = True
            return Retry(code, at_once=True, said=said)
        if code == "ASK" and not self._asking:
            # The slot is on its way there, and these keys have arrived. The script may not have.
            self._asking = self._whole = True
            return Retry(code, at_once=True, where=said.split()[-1], said=said)
        if code in TRANSIENT:
            return Retry(code, where=said.split()[-1] if code == "MOVED" else None, said=said)
        return Done(answer)


def code_of(said: str) -> str:
    """The code of an error reply."""
    code = said.split(" ", 1)[0].rstrip(":")
    if "non local key" in said:  # a script met a key that has moved
        return "TRYAGAIN"
    if code == "ERR" and ("max number of clients" in said or "Script killed" in said):
        return "BUSY"
    return code


def refusal(error: object) -> RxSseError | str:
    """What an error reply means to a publisher: the code of a refusal that passes, or the error for good."""
    said = str(error)
    code = code_of(said)
    if code in TRANSIENT:
        return code
    return PublishRefused(f"Redis refused it: {said[:300]}; nothing was stored")
