"""Results as a Markdown page: the bars first, then one table for each thing that was measured.

A cell is `median (lowest–highest)` over the rounds. What was lost, late or cut off stands beside the number
it spoils.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import bars, plot
from benchmarks.roster import ROSTER
from benchmarks.rounds import Results, Sample

Pick = Callable[[str], bool]


@dataclass(frozen=True)
class Table:
    """One value of one task, a row for each contestant, a column for each run."""

    title: str
    task: str
    value: str
    scale: float = 1.0
    digits: int = 1
    pick: Pick = lambda label: True


def _paced(label: str) -> bool:
    return "saturated" not in label


def _saturated(label: str) -> bool:
    return "saturated" in label


def _arriving(label: str) -> bool:
    return "arrive" in label


def _delivering(label: str) -> bool:
    return not _arriving(label)


def _at_a_rate(label: str) -> bool:
    return _paced(label) and _delivering(label)


def _stopped(label: str) -> bool:
    return "stopped" in label


def _few_headers(label: str) -> bool:
    return "three" in label


STALLS = ("users", "broadcast", "connect", "resume", "slow", "redis", "workers", "hold", "idle")
"""All tasks but the pipeline, in which events may be left out: it is unknown when one is due."""

TABLES = (
    Table("Broadcast at a fixed rate: CPU µs per delivered event", "broadcast", "us", pick=_paced, digits=2),
    Table("Broadcast at a fixed rate: latency, 99th percentile, ms", "broadcast", "p99", 1e-3, pick=_paced),
    Table(
        "Broadcast, saturated: deliveries per second", "broadcast", "per_second", digits=0, pick=_saturated
    ),
    Table("Broadcast, saturated: CPU µs per delivered event", "broadcast", "us", pick=_saturated, digits=2),
    Table(
        "Three operators for each client (filter, map, throttle): CPU µs per delivered event",
        "pipeline",
        "us",
        digits=2,
    ),
    Table("One event for one user: CPU µs per delivered event", "users", "us", pick=_delivering),
    Table("One event for one user: deliveries per second", "users", "per_second", digits=0, pick=_saturated),
    Table("One event for one user: latency, 99th percentile, ms", "users", "p99", 1e-3, pick=_at_a_rate),
    Table("A stream for each user: CPU µs to open it", "users", "open_us", digits=0, pick=_arriving),
    Table("A stream for each user: KiB resident while it is idle", "users", "resident", pick=_arriving),
    Table(
        "A stream for each user: objects that Python’s collector tracks for it",
        "users",
        "objects",
        pick=_arriving,
    ),
    Table("Connecting: streams per second", "connect", "per_second", digits=0),
    Table("Connecting: CPU µs per stream", "connect", "us", digits=0),
    Table("Coming back with Last-Event-ID: replayed events per second", "resume", "per_second", digits=0),
    Table("Coming back with Last-Event-ID: CPU µs per replayed event", "resume", "us", digits=2),
    Table("Stopped readers: the others' latency, 99th percentile, ms", "slow", "p99", 1e-3),
    Table("Stopped readers: growth of the server's memory, MiB", "slow", "growth", digits=0, pick=_stopped),
    Table(
        "Stopped readers: how many of them the server has dismissed",
        "slow",
        "dismissed",
        digits=0,
        pick=_stopped,
    ),
    Table("Over Redis: CPU µs of the streaming process per delivered event", "redis", "us", digits=2),
    Table("Over Redis: CPU µs of the publishing process per event", "redis", "publisher_us", digits=0),
    Table("Over Redis: CPU µs of redis-server per event", "redis", "redis_us", digits=0),
    Table("Over Redis: latency, median, ms", "redis", "p50", 1e-3, digits=2),
    Table("Over Redis: latency, 99th percentile, ms", "redis", "p99", 1e-3),
    Table("Workers on one port, saturated: deliveries per second", "workers", "per_second", digits=0),
    Table("Workers on one port, saturated: CPU µs per delivered event", "workers", "us", digits=2),
    *(Table(f"The longest stall, ms: {task}", task, "stall", 1e-3) for task in STALLS),
    Table("The longest turn of the loop, ms of CPU time", "hold", "longest"),
    Table("Idle: KiB resident per stream", "idle", "resident"),
    Table("Idle: KiB in the kernel per stream, both ends", "idle", "kernel", pick=_few_headers),
    Table("Idle: % of a core for the heartbeats", "idle", "cpu", digits=2, pick=_few_headers),
)


def write(results: Results, folder: Path) -> None:
    """results.md and results.svg into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(markdown(results), "utf-8")
    (folder / "results.svg").write_text(plot.draw(results), "utf-8")


def markdown(results: Results) -> str:
    """The whole page."""
    blocks = ["# Results", "![CPU per event and throughput](results.svg)"]
    blocks.append("\n".join(f"- {name}: {value}" for name, value in results.machine.items()))
    blocks += ["## The bars", _grid(("", "measured", "bar", ""), bars.rows(results.samples))]
    for table in TABLES:
        if drawn := _table(table, results):
            blocks += [f"## {table.title}", drawn]
    blocks += ["## Who", _grid(("", "versions"), sorted(results.versions.items()))]
    if results.unavailable:
        rows = [(name, f"not measured: {reason}") for name, reason in results.unavailable.items()]
        blocks.append(_grid(("", "why"), rows))
    return "\n\n".join(blocks) + "\n"


def _table(table: Table, results: Results) -> str:
    samples = [each for each in results.samples if each.task == table.task and table.pick(each.label)]
    labels = list(dict.fromkeys(each.label for each in samples))
    if not any(table.value in each.values for each in samples):
        return ""
    rows = []
    for contestant in ROSTER:
        mine = [each for each in samples if each.who == contestant.name]
        if mine:
            cells = [_cell(table, [each for each in mine if each.label == label]) for label in labels]
            rows.append((contestant.name, *cells))
        elif contestant.name in results.unavailable and table.task in contestant.tasks:
            rows.append((contestant.name, *("not available" for _ in labels)))
    return _grid(("", *labels), rows)


def _cell(table: Table, samples: Sequence[Sample]) -> str:
    numbers = [each.values[table.value] * table.scale for each in samples if table.value in each.values]
    if not numbers:
        errors = [each.error for each in samples if each.error]
        return f"failed: {errors[0].splitlines()[-1]}" if errors else "–"
    text = f"{median(numbers):,.{table.digits}f}"
    if len(numbers) > 1:
        text += f" ({min(numbers):,.{table.digits}f}–{max(numbers):,.{table.digits}f})"
    return " ".join([text, *_blemishes(table, samples)])


def _blemishes(table: Table, samples: Sequence[Sample]) -> Iterable[str]:
    good = [each.values for each in samples if each.values]
    lost = median(each.get("lost", 0) for each in good)
    if lost:
        share = lost / (lost + median(each["delivered"] for each in good))
        yield f"· {share:.0%} lost or late" if share >= 0.005 else f"· {lost:.0f} lost or late"
    if closed := median(each.get("closed", 0) for each in good):
        yield f"· {closed:.0f} cut off"
    if repeated := median(each.get("repeated", 0) for each in good):
        yield f"· {repeated:.0f} repeated"
    if failed := sum(bool(each.error) for each in samples):
        yield f"· failed {failed} of {len(samples)}"
    if table.pick is _saturated and (share := median(each.get("server", 1) for each in good)) < 0.9:
        busy = median(each.get("client", 0) for each in good) > 0.9
        yield "· client-bound" if busy else f"· had {share:.0%} of its core"


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
