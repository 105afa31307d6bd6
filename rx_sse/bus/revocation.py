"""Revoked users and tokens: refused from now on, although the token itself is valid.

A revocation is an entry of a topic of the library's own, and the state of that topic's reader: every process
reads it from its oldest entry, and receives new entries as for any other topic. So a revocation made while a
process was cut off reaches it with the repair, and a lost log is rewritten by the processes that remember.

By user, tokens issued before the revocation are refused, for as long as any of them may live; by token id,
until the token expires. How long a token may live is `max_token_life`, and every token is checked for it: a
token that lives longer is refused from the start (`outlives`), because its revocation would expire before the
token.

Standard: ``jti``, ``sub``, ``iat``, ``exp`` are RFC 7519's.
Never: a refused token is accepted later, unless the log and every process that knew the revocation were lost
at once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from reactivex import abc
from reactivex.disposable import Disposable

from rx_sse.bus.gap import Gap
from rx_sse.bus.log.entry import JSON, Draft
from rx_sse.bus.log.retention import Retention
from rx_sse.bus.own_topic import OwnTopic
from rx_sse.bus.resume.reader import Reader
from rx_sse.bus.resume.replay import Phase
from rx_sse.bus.runtime import Runtime
from rx_sse.bus.topics import Topics
from rx_sse.errors import Overloaded, UsageError
from rx_sse.wire.event import ServerSentEvent

ALL = 1_000_000
"""Revocations that are kept at most; each is about 150 bytes. Beyond it, a new revocation is refused rather
than an old one forgotten."""
SLACK = 60.0
"""Clock difference, in seconds, that is tolerated where lives of tokens are compared."""

Watcher = Callable[["str | None", "str | None", "float | None"], None]


class Revocations(OwnTopic):
    """The revocations in force. Loop thread only.

    Args:
        runtime: the bus whose log stores them.
        topics: its topics.
        max_token_life: seconds that a token may live at most.
        blind_limit: seconds for which a process that is cut off from its log relies on the revocations that
            it knows.

    Attributes:
        most: revocations that may be in force together.
    """

    NAME = "!revocations"
    BACKLOG = ALL
    FAILED = "a revocation could not be read"

    def __init__(self, runtime: Runtime, topics: Topics, max_token_life: float, blind_limit: float) -> None:
        kept = Retention(entries=ALL, bytes=256 * ALL, age=max_token_life + SLACK)
        super().__init__(runtime, topics, kept)
        self.most = ALL
        self._life = max_token_life
        self._blind_limit = blind_limit
        self._blind_since: float | None = None
        self._users: dict[str, tuple[float, float]] = {}
        self._tokens: dict[str, float] = {}
        self._watchers: dict[object, Watcher] = {}
        self._again: Reader | None = None

    @property
    def loaded(self) -> bool:
        """Whether the answers are reliable: the topic was read, and the log is reachable or was, at most
        `blind_limit` seconds ago.
        """
        if self.reader is None or self.reader.way is not Phase.LIVE:
            return False
        return self._blind_since is None or self._runtime.now() - self._blind_since <= self._blind_limit

    def is_revoked(self, user: str | None, token_id: str | None, issued_at: float | None) -> bool:
        """Whether a token is refused.

        Args:
            user: its subject.
            token_id: its ``jti``, None if it has none.
            issued_at: its ``iat`` in seconds; a token without one counts as issued before any revocation.
        """
        if token_id is not None and token_id in self._tokens:
            return True
        known = self._users.get(user) if user is not None else None
        # `iat` is in whole seconds: a token issued in the second of the revocation may be the very token to
        # be revoked.
        return known is not None and (issued_at is None or issued_at <= known[0])

    def outlives(self, issued_at: float | None, expires_at: float | None) -> str | None:
        """The reason why a token could be accepted again after its revocation is forgotten; None if it
        cannot.

        A revocation is kept for `max_token_life`. That suffices for a token that lives no longer; a token
        that does is refused from the start, so that the first token ever issued reveals the misconfiguration.

        Args:
            issued_at: its ``iat`` in seconds; without one, its life counts from now.
            expires_at: its ``exp`` in seconds; None if it does not expire.
        """
        if expires_at is None:
            return None
        life = expires_at - (time.time() if issued_at is None else issued_at)
        if life <= self._life + SLACK:
            return None
        return (
            f"it lives for {life:.0f} s, and with max_token_life={self._life:.0f} its revocation would be "
            "forgotten before it ends: give the bus a longer max_token_life, or the token a shorter life"
        )

    def watch(self, callback: Watcher) -> abc.DisposableBase:
        """Call `callback(user, token_id, issued_before)` for every revocation from now on.

        Args:
            callback: one of `user` and `token_id` is None.
        """
        key = object()
        self._watchers[key] = callback
        return Disposable(lambda: self._watchers.pop(key, None) and None)

    # -- called by the bus -----------------------------------------------------------------------------------

    def stop(self) -> None:
        """Read nothing more."""
        super().stop()
        self._forget_again()

    def sweep(self, now: float, ready: bool) -> None:
        """Forget expired revocations; note whether the log can be reached."""
        self._blind_since = None if ready else now if self._blind_since is None else self._blind_since
        wall = time.time()
        if any(until <= wall for until in self._tokens.values()):
            self._tokens = {token: until for token, until in self._tokens.items() if until > wall}
        if any(until <= wall for _, until in self._users.values()):
            self._users = {user: known for user, known in self._users.items() if known[1] > wall}

    def request(self, user: str | None, token_id: str | None, until: float | None) -> Draft:
        """The entry of a new revocation.

        Raises:
            UsageError: `until` is later than the expiry of any token that is accepted.
            Overloaded: `most` revocations are in force.
        """
        if until is not None and until > (latest := time.time() + self._life + SLACK):
            raise UsageError(
                f"revoke(until={until!r}) is {until - latest:.0f} s later than a revocation is kept: with "
                f"max_token_life={self._life:.0f} no token that lives so long is accepted"
            )
        known = user in self._users or token_id in self._tokens
        if not known and len(self._users) + len(self._tokens) >= self.most:
            raise Overloaded(
                f"{self.most:,} revocations are in force, which is the most: nothing was revoked"
            )
        return self.draft(user, token_id, until, None)

    def draft(
        self,
        user: str | None,
        token_id: str | None,
        until: float | None,
        settle: Callable[[Any], None] | None,
        before: float | None = None,
    ) -> Draft:
        """The entry of a revocation."""
        now = time.time()
        said: dict[str, Any] = {"until": until if until is not None else now + self._life + SLACK}
        if user is not None:
            said |= {"user": user, "before": now if before is None else before}
        else:
            said |= {"token": token_id}
        kept = self._runtime.retention_of(self.NAME)
        return Draft(self.NAME, JSON, json.dumps(said), None, kept, settle=settle)

    # -- called by the reader --------------------------------------------------------------------------------

    def missed(self, reader: Reader, gap: Gap) -> None:
        """The log lost entries: write the known revocations again, if they may be among these; and read the
        log again."""
        if reader is not self.reader or gap.reason == "trimmed":  # trimmed revocations have expired
            return
        self._read_again()
        for user, (before, until) in list(self._users.items()):
            self._runtime.log.append(self.draft(user, None, until, None, before))
        for token, until in list(self._tokens.items()):
            self._runtime.log.append(self.draft(None, token, until, None))

    def caught_up(self, reader: Reader) -> None:
        """All revocations of the log are known."""
        if reader is self._again:
            self._forget_again()

    def take(self, event: ServerSentEvent) -> None:
        """A revocation, of any process."""
        said = event.json()
        until = float(said["until"])
        if until <= time.time():
            return
        user, token, before = said.get("user"), said.get("token"), said.get("before")
        if user is not None:
            known = self._users.get(user, (0.0, 0.0))
            if before <= known[0]:
                return  # written again by a process that knows it
            self._users[user] = (before, max(until, known[1]))
        elif token is not None:
            if token in self._tokens:
                return
            self._tokens[token] = until
        for callback in list(self._watchers.values()):
            try:
                callback(user, token, before)
            except Exception as error:
                self._runtime.raised("rx_sse: a watcher of revocations raised", error)

    # -- inside ----------------------------------------------------------------------------------------------

    def _read_again(self) -> None:
        """Read the whole log, beside the reader. After a gap the reader gets only entries with a higher
        number than its position had; what others revoked in a log that began anew, or in the branch that
        stayed, may have lower ones.
        """
        self._forget_again()
        local = self._topics.local(self.NAME)
        self._again = again = Reader(local, self._runtime, self, self._take, last=self.BACKLOG)
        self._runtime.soon(again.locate)

    def _forget_again(self) -> None:
        if self._again is not None:
            self._again.close()
            self._again = None
