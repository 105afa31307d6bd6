"""What the library has promised itself, checked against a run.

A ratio is taken within each round, between runs that stood minutes apart, and the median of the rounds is
what counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from benchmarks.rounds import Sample

EVENTS = "rx_sse, events"
ONE_WRITE = "aiohttp, one write"
NESTS = ("NestJS, fastify", "NestJS, express")
Row = tuple[str, str, str, str]


class _Book:
    def __init__(self, samples: Sequence[Sample]) -> None:
        self._values = {
            (each.who, each.task, each.label, each.round): each.values for each in samples if each.values
        }

    def rounds(self, who: str, task: str, label: str, value: str) -> dict[int, float]:
        """The value in each round; any label if `label` is empty."""
        return {
            key[3]: values[value]
            for key, values in self._values.items()
            if key[0] == who and key[1] == task and label in ("", key[2]) and value in values
        }

    def middle(self, who: str, task: str, label: str, value: str) -> float | None:
        found = self.rounds(who, task, label, value)
        return median(found.values()) if found else None

    def ratio(self, ours: tuple[str, str], theirs: tuple[str, str], task: str, value: str) -> float | None:
        """The median over the rounds of ours to theirs, each a contestant and a label."""
        mine, others = (
            self.rounds(ours[0], task, ours[1], value),
            self.rounds(theirs[0], task, theirs[1], value),
        )
        both = [mine[number] / others[number] for number in mine if others.get(number)]
        return median(both) if both else None


def rows(samples: Sequence[Sample]) -> Iterable[Row]:
    """What was promised, what was measured, and whether it holds."""
    book = _Book(samples)
    for clients in ("1,000", "5,000"):
        label = f"{clients} clients, 20,000/s"
        for rival, bar in (("C floor", 1.5), ("nchan (nginx)", 1.0)):
            measured = book.ratio((EVENTS, label), (rival, label), "broadcast", "us")
            yield _row(f"CPU per event, {clients} clients, to {rival}", measured, "≤", bar)
    label = "5,000 clients, saturated"
    for rival, bar in (("nchan (nginx)", 2.0), ("aiohttp-sse", 10.0), *((nest, 10.0) for nest in NESTS)):
        measured = book.ratio((EVENTS, label), (rival, label), "broadcast", "per_second")
        yield _row(f"deliveries per second, saturated, 5,000 clients, to {rival}", measured, "≥", bar)
    for nest in NESTS:
        measured = book.ratio(("rx_sse, pipeline", ""), (nest, ""), "pipeline", "us")
        yield _row(f"CPU per event through three operators, to {nest}", measured, "≤", 0.5)
    yield from _users(book)
    label = "1,000 clients, 20,000/s"
    measured = book.ratio((EVENTS, label), ("nchan (nginx)", label), "broadcast", "p99")
    yield _row("99th percentile of latency, 1,000 clients, to nchan (nginx)", measured, "≤", 1.0)
    for who in (EVENTS, "rx_sse, topic"):
        for headers, bar in (("three headers", 14.0), ("a browser’s headers", 18.0)):
            measured = book.middle(who, "idle", f"10,000 streams, {headers}", "resident")
            yield _row(f"KiB per idle stream, {headers}, {who}", measured, "≤", bar, "")
    measured = book.middle(EVENTS, "idle", "10,000 streams, three headers", "cpu")
    yield _row("% of a core for 10,000 idle streams", measured, "≤", 3.0, "")
    measured = book.middle("rx_sse, events, probe", "hold", "", "longest")
    yield _row("longest turn of the loop in a broadcast to 10,000, ms of CPU time", measured, "≤", 10.0, "")
    alone = "200 clients, 5,000/s"
    measured = book.ratio((EVENTS, f"{alone}, 10% stopped"), (EVENTS, alone), "slow", "p99")
    yield _row("the others' 99th percentile while 10 % are stopped, to without", measured, "≤", 1.2)
    few, many = "100 clients, 20,000/s", "10,000 clients, 20,000/s"
    measured = book.ratio((EVENTS, many), (EVENTS, few), "broadcast", "us")
    yield _row("CPU per event, 10,000 clients to 100", measured, "≤", 2.0)


def _users(book: _Book) -> Iterable[Row]:
    """One event for one of many users, each with a stream of their own."""
    for load in ("saturated", "5,000/s"):
        label = f"1,000 users, {load}"
        rivals = ((ONE_WRITE, 1.6), ("NestJS, fastify", 1.0), ("nchan (nginx)", 1.0), ("aiohttp-sse", 1.0))
        for rival, bar in rivals:
            measured = book.ratio((EVENTS, label), (rival, label), "users", "us")
            yield _row(f"CPU per event for one of {label}, to {rival}", measured, "≤", bar)
    label = "1,000 users arrive"
    for rival, bar in ((ONE_WRITE, 1.25), ("NestJS, fastify", 1.0)):
        measured = book.ratio((EVENTS, label), (rival, label), "users", "open_us")
        yield _row(f"CPU to open a user's stream, to {rival}", measured, "≤", bar)
    for value, what, bar in (("objects", "objects tracked", 25.0), ("resident", "KiB", 6.0)):
        measured = book.middle(EVENTS, "users", label, value)
        yield _row(f"{what} for each user's idle stream", measured, "≤", bar, "")
    many = ("saturated", "1,000/s", "5,000/s")
    found = [book.middle(EVENTS, "users", f"10,000 users, {load}", "stall") for load in many]
    stalls = [stall for stall in found if stall is not None]
    yield _row("longest stall with 10,000 users, ms", max(stalls) / 1e3 if stalls else None, "≤", 60.0, "")


def _row(what: str, measured: float | None, sign: str, bar: float, unit: str = "× ") -> Row:
    if measured is None:
        return what, "not measured", f"{sign} {unit}{bar:g}", ""
    holds = measured <= bar if sign == "≤" else measured >= bar
    return what, f"{unit}{measured:.2f}", f"{sign} {unit}{bar:g}", "holds" if holds else "**falls short**"
