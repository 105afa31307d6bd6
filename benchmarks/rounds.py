"""The runs, round by round.

In each round every contestant does every run once, one after another, so that whatever the machine does
meanwhile is done to all of them.

Never: it lets a contestant's failure end the others' runs, or hides it.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.load import Client, RunFailed
from benchmarks.peers import Unavailable
from benchmarks.process import Server, ServerFailed
from benchmarks.roster import Contestant, Ready
from benchmarks.tasks import Cell, Values

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sample:
    """One run of one contestant."""

    who: str
    task: str
    label: str
    round: int
    values: Values
    error: str = ""


@dataclass
class Results:
    """All that a report is made from."""

    machine: dict[str, str] = field(default_factory=dict[str, str])
    versions: dict[str, str] = field(default_factory=dict[str, str])
    unavailable: dict[str, str] = field(default_factory=dict[str, str])
    samples: list[Sample] = field(default_factory=list[Sample])

    def save(self, path: Path) -> None:
        """As JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1), "utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        """What `save` wrote."""
        raw = json.loads(path.read_text("utf-8"))
        samples = [Sample(**sample) for sample in raw.pop("samples")]
        return cls(samples=samples, **raw)

    def without(self, replaced: set[tuple[str, str, str]]) -> None:
        """Forget the runs that are about to be made again."""
        self.samples = [each for each in self.samples if (each.who, each.task, each.label) not in replaced]


def prepare(roster: Sequence[Contestant], cache: Path, results: Results, say: Say) -> dict[str, Ready]:
    """Install what is missing. Who cannot be had is noted with the reason."""
    ready: dict[str, Ready] = {}
    for contestant in roster:
        try:
            ready[contestant.name] = found = contestant.prepare(cache)
            results.versions[contestant.name] = found.version
            results.unavailable.pop(contestant.name, None)
            say(f"{contestant.name}: {found.version}")
        except Unavailable as reason:
            results.unavailable[contestant.name] = str(reason)
            say(f"{contestant.name}: not available: {reason}")
    return ready


def measure(
    ready: dict[str, Ready],
    pairs: Sequence[tuple[Cell, Sequence[Contestant]]],
    rounds: int,
    minutes: float,
    client: Client,
    core: int,
    say: Say,
) -> Iterator[Sample]:
    """Run everything `rounds` times; no new round is begun when `minutes` are over."""
    started = time.monotonic()
    for number in range(rounds):
        if number and (time.monotonic() - started) * (number + 1) / number > minutes * 60:
            say(f"stopping after {number} of {rounds} rounds: {minutes:g} minutes would be over")
            return
        for cell, contestants in pairs:
            if number >= cell.most_rounds:
                continue
            turn = number % len(contestants)
            for contestant in [*contestants[turn:], *contestants[:turn]]:
                sample = one(ready[contestant.name], contestant, cell, number, client, core)
                say(f"{number + 1}/{rounds} {cell.task}, {cell.label}: {contestant.name}: {_brief(sample)}")
                yield sample


def one(ready: Ready, contestant: Contestant, cell: Cell, number: int, client: Client, core: int) -> Sample:
    """One run of one contestant, on a server of its own."""
    values: Values = {}
    error = ""
    with tempfile.TemporaryDirectory(prefix="rx_sse_bench_") as folder:
        try:
            with Server(ready.start, core, client.core, Path(folder)) as server:
                values = cell.run(server, client, contestant.path(cell.task))
        except (RunFailed, ServerFailed, subprocess.TimeoutExpired, OSError) as failure:
            error = str(failure)
    return Sample(contestant.name, cell.task, cell.label, number, values, error)


def _brief(sample: Sample) -> str:
    if sample.error:
        return f"failed: {sample.error}"
    return ", ".join(f"{name} {value:,.4g}" for name, value in sample.values.items() if value or name == "us")
