"""Once, in order, or told: what each client holds against what was stored.

Where a loss was told is read from the client's own stream: a `stream-gap` accounts for what was sent before
it came and was not there to be read any more (the log took it back), or lies behind it (trimmed). Sequence
numbers are dense, so between two events without a gap between them nothing at all may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .crowd import Client, Crowd, Got, Sent


@dataclass
class Verdict:
    """What the clients saw.

    Attributes:
        accepted: events that their publisher knows to be stored, or that are.
        due: what the clients should have received together.
        received: what they did.
        missing: events that a client does not have, and no gap accounts for.
        repeated: events that came twice or out of order.
        gaps: that were announced, at all clients.
        ghosts: events that were refused, and received.
        said: examples of what is wrong.
    """

    accepted: int = 0
    due: int = 0
    received: int = 0
    missing: int = 0
    repeated: int = 0
    gaps: int = 0
    ghosts: int = 0
    said: list[str] = field(default_factory=list[str])


Log = Mapping[tuple[int, int], int | None]
"""What a topic holds at the end: place → number, None for an entry of the library's own."""


def judge(crowd: Crowd, logs: Mapping[str, Log]) -> Verdict:
    """Hold every client to what was published."""
    verdict = Verdict()
    due: dict[str, dict[int, Sent]] = {topic: {} for topic in crowd.topics}
    for sent in crowd.sent:
        if sent.state == "accepted":
            due[sent.topic][sent.number] = sent
    for topic, log in logs.items():
        for place, number in log.items():
            if number is not None:
                sent = crowd.sent[number]
                if sent.state == "refused":
                    verdict.ghosts += 1
                    verdict.said.append(f"{topic}: {number} was refused, and is in the log at {place}")
                sent.place = place
                due[topic][number] = sent
    verdict.accepted = sum(map(len, due.values()))
    for client in crowd.clients:
        _client(client, due[client.topic], logs[client.topic], verdict)
        verdict.said += client.odd
    return verdict


def _client(client: Client, due: Mapping[int, Sent], log: Log, verdict: Verdict) -> None:
    got = client.got
    numbers = [item.number for item in got if item.number is not None]
    have = set(numbers)
    verdict.due += len(due)
    verdict.received += len(have)
    verdict.gaps += len(got) - len(numbers)
    for item, before in zip(got[1:], got, strict=False):
        if item.reason or before.reason or item.place[0] > before.place[0]:
            continue
        verdict.repeated += 1
        verdict.said.append(f"{client.topic}: {item.number} at {item.place} after {before.place}")
    twice = len(numbers) - len(have)
    if twice:
        verdict.repeated += twice
        again = sorted({number for number in numbers if numbers.count(number) > 1})
        verdict.said.append(f"{client.topic}: came twice: {again[:10]}")
    own = {place[0] for place, number in log.items() if number is None}
    holes = _holes(got) - own
    for number, sent in due.items():
        if number in have:
            continue
        assert sent.place is not None
        if sent.place[0] in holes or not _told(sent, got, sent.place in log):
            verdict.missing += 1
            verdict.said.append(f"{client.topic}: {number} at {sent.place} is missing, sent at {sent.at:.2f}")


def _holes(got: Sequence[Got]) -> set[int]:
    """Sequence numbers that are missing without a gap."""
    holes: set[int] = set()
    for item, before in zip(got[1:], got, strict=False):
        if not item.reason:
            holes.update(range(before.place[0] + 1, item.place[0]))
    return holes


def _told(sent: Sent, got: Sequence[Got], stored: bool) -> bool:
    """Whether a gap accounts for an event."""
    assert sent.place is not None
    before = 0
    for item in got:
        if item.reason and item.at > sent.at:
            behind = sent.place[0] <= item.place[0]
            if behind and (item.reason != "trimmed" or sent.place[0] > before):
                return True
            if not stored and item.reason != "trimmed":
                return True
        before = item.place[0]
    return False
