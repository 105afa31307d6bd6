"""Statistics of a bus over Redis.

Precedent: trio's statistics records.
Never: the name of a user, a payload, or a password.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from rx_sse.bus.stats import BusStats

if TYPE_CHECKING:
    from rx_sse.bus.redis.log import RedisLog


@dataclass(frozen=True, slots=True)
class RedisStats(BusStats):
    """The state of a `RedisBus` at one moment: that of any bus, and these attributes.

    Attributes:
        deaf: whether Redis accepts the publishes of this process, and this process receives no announcement.
        nodes: servers in use.
        connections: connections made since the start; two a node, if none was lost.
        unsettled: entries that Redis has not accepted yet.
        unconfirmed: entries that were stored while fewer replicas than required acknowledged them in time.
        batches: script calls that published, repeated ones included.
        questions: script calls that read or compared.
        watched: topics that it is subscribed to.
        differed: topics whose last position in the log was not the last announced.
        worst_silence: seconds after which a lost announcement is recovered at the latest.
        last_error: the last reason why a connection could not be made, or a command was refused.
    """

    deaf: bool
    nodes: int
    connections: int
    unsettled: int
    unconfirmed: int
    batches: int
    questions: int
    watched: int
    differed: int
    worst_silence: float
    last_error: str

    @staticmethod
    def over(stats: BusStats, log: RedisLog) -> RedisStats:
        """`stats`, and the state of the log."""
        base: dict[str, Any] = {field.name: getattr(stats, field.name) for field in fields(BusStats)}
        servers = log.topology.servers
        return RedisStats(
            **base,
            deaf=log.deaf,
            nodes=len(servers),
            connections=sum(it.commands.made + it.ears.made for it in servers),
            unsettled=log.unsettled,
            unconfirmed=log.ledger.short,
            batches=log.ledger.batches,
            questions=log.questions,
            watched=len(log.subscriptions),
            differed=log.subscriptions.repaired,
            worst_silence=log.subscriptions.worst,
            last_error=log.topology.last_error,
        )
