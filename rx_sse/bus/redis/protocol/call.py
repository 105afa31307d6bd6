"""A script's call, without I/O: commands out, a reply in, and the decision what to do next.

A server may not know the script (NOSCRIPT), no longer have the keys (MOVED), have moved some of them to
another server already (ASK, TRYAGAIN), not be a master (READONLY), or be busy; the connection may be lost
before the reply. Each of these is a `Retry`, which says whether it can be sent again at once and where;
everything else is `Done`. The loop's connections and the blocking ones of `RedisPublisher` use the same
object.

Standard: the error codes of Redis 7.0, and the Redis Cluster specification ("Redirection and resharding").
Never: a failing script is mistaken for a busy server: it would be sent again endlessly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import hiredis

from rx_sse.bus.redis.protocol.scripts import Script
from rx_sse.errors import PublishRefused, RxSseError

ELSEWHERE = frozenset(("MOVED", "ASK", "READONLY", "CLUSTERDOWN", "MASTERDOWN"))
"""Refusals of a server that does not, or no longer, have the keys: find the server that has them."""
TRANSIENT = ELSEWHERE | {
    "TRYAGAIN", "LOADING", "BUSY", "OOM", "MISCONF", "NOREPLICAS", "NOSCRIPT", "UNKILLABLE", "CROSSSLOT",
}  # fmt: skip
"""Transient refusals: the same call is worth sending again, perhaps elsewhere."""
QUIET = ELSEWHERE | {"TRYAGAIN", "LOADING"}
"""Refusals that a restart, a failover or a resharding causes, and that need not be reported."""
LOST = "LOST"
"""The code of a lost reply: the call may have been executed."""


class Lost(Exception):
    """The connection was lost before the answer came."""


@dataclass(frozen=True, slots=True)
class Done:
    """The call is over.

    Attributes:
        answer: the script's answer, or the final error.
    """

    answer: Any


@dataclass(frozen=True, slots=True)
class Retry:
    """The call has to be sent again.

    Attributes:
        code: the reason.
        at_once: whether the same call can be sent again now: nothing has to change first.
        where: the ``host:port`` that a server named; None: the server that has the keys by then.
        said: the server's message.
    """

    code: str
    at_once: bool = False
    where: str | None = None
    said: str = ""


class ScriptCall:
    """One call of a script, until it is answered.

    Args:
        script: the script.
        keys: its keys.
        args: its arguments.
    """

    __slots__ = ("_args", "_asking", "_keys", "_script", "_whole")

    def __init__(self, script: Script, keys: list[str], args: tuple[Any, ...]) -> None:
        self._script = script
        self._keys = keys
        self._args = args
        self._whole = False
        self._asking = False

    def commands(self) -> list[tuple[Any, ...]]:
        """The commands to send. The reply to the last one counts."""
        script = self._script
        how = ("EVAL", script.text) if self._whole else ("EVALSHA", script.digest)
        call = (*how, len(self._keys), *self._keys, *self._args)
        return [("ASKING",), call] if self._asking else [call]

    def reply(self, answer: Any) -> Done | Retry:
        """Decide by an answer, an error or a `Lost`. Commands to send again at once are in `commands`."""
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
            # The slot is being moved there, and these keys have arrived. The script may not have.
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
    """The meaning of an error reply for a publisher: the code of a transient refusal, or the final error."""
    said = str(error)
    code = code_of(said)
    if code in TRANSIENT:
        return code
    return PublishRefused(f"Redis refused it: {said[:300]}; nothing was stored")
