"""A rolling restart: `python -m tests.rolling`.

Two processes with clients that connect again where and when they are told to, while events are published. One
process after the other is drained, ends and starts anew. Every client has to hold every event once; and how
many connect in each moment is drawn.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from html import escape
from pathlib import Path

from .long_run import arguments, parse, playing, table
from .reader import Account

BUSES = ("redis", "sqlite")
"""Those that two processes share."""
CALM = 3.0
"""Seconds of publishing before the restart."""
STEP = 0.5
"""Seconds of a bar."""


@dataclass
class Result:
    """What came of a restart.

    Attributes:
        bus: its name.
        clients: how many.
        account: what they saw.
        published: events that were accepted.
        not_accepted: events whose publisher was told that they are not stored.
        restarts: when each process began to drain, had ended, and was ready again; seconds since the first.
        opened: when clients connected, from then on.
    """

    bus: str
    clients: int
    account: Account
    published: int = 0
    not_accepted: int = 0
    restarts: list[tuple[float, float, float]] = field(default_factory=list["tuple[float, float, float]"])
    opened: list[float] = field(default_factory=list[float])

    @property
    def most(self) -> int:
        """Clients that connected in the busiest second."""
        return max(_per(self.opened, 1.0).values(), default=0)

    @property
    def wrong(self) -> list[str]:
        """What falls short."""
        refused = [f"{self.not_accepted} publishes refused"] if self.not_accepted else []
        return self.account.wrong + refused


async def roll(bus: str, clients: int, topics: int, rate: float, drain: float) -> Result:
    """Restart both processes of a bus.

    Args:
        bus: which of `BUSES`.
        clients: how many.
        topics: how many they read.
        rate: events a second.
        drain: seconds, as for `setup`.
    """
    loop = asyncio.get_running_loop()
    async with playing(bus, topics, rate, setup={"drain": drain}) as readers:
        result = Result(bus, clients, readers.account)
        await readers.connect(clients, obeys=True)
        readers.publish()
        await asyncio.sleep(CALM)
        readers.account.opened.clear()
        begin = loop.time()
        for process in readers.processes:
            drained = loop.time() - begin
            await process.stop()
            ended = loop.time() - begin
            await process.start()
            await process.until(True)
            result.restarts.append((drained, ended, loop.time() - begin))
            await asyncio.sleep(CALM + _spread(clients))
        await readers.settled()
        await readers.leave()
        result.published, result.not_accepted = readers.sent - readers.not_accepted, readers.not_accepted
        result.opened = [at - begin for at in readers.account.opened]
    return result


def _spread(clients: int) -> float:
    """Seconds over which the clients of one process are told to connect again."""
    return 1.0 + max(2.0, 0.004 * clients / 2)


def _per(times: Sequence[float], step: float) -> Counter[int]:
    return Counter(int(at / step) for at in times)


# -- the picture ---------------------------------------------------------------------------------------------

WIDTH, HEIGHT = 720, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 40, 36
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#333}.bar{fill:#2f6fba}.drain{fill:#e8b04a;opacity:.35}"
    ".away{fill:#888;opacity:.25}.axis{stroke:#999;stroke-width:1}.paper{fill:#fff}"
    "@media (prefers-color-scheme:dark){text{fill:#ddd}.bar{fill:#6fa8e8}.axis{stroke:#777}"
    ".paper{fill:#1b1b1b}}"
)


def picture(result: Result) -> str:
    """The curve as SVG: clients that connect in a second, over the seconds since the first drain."""
    end = max([*result.opened, result.restarts[-1][2]]) + 1.0
    bars = _per(result.opened, STEP)
    top = _nice(max(bars.values(), default=1) / STEP)

    def x(seconds: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * seconds / end, 1)

    def y(rate: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * rate / top, 1)

    floor = y(0)
    title = (
        f"Rolling restart of two processes over {result.bus}: {result.clients:,} clients, "
        f"{result.published:,} events, {result.account.lost} lost, {result.account.repeated} repeated"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text x="{LEFT}" y="18">{escape(title)}</text>',
    ]
    for drained, ended, ready in result.restarts:
        for name, first, last in (("drain", drained, ended), ("away", ended, ready)):
            parts.append(
                f'<rect class="{name}" x="{x(first)}" y="{TOP}" width="{round(x(last) - x(first), 1)}" '
                f'height="{floor - TOP}"/>'
            )
        parts.append(f'<text x="{x(drained)}" y="{TOP - 6}">drain</text>')
    for step, count in sorted(bars.items()):
        at, top_edge = x(step * STEP), y(count / STEP)
        parts.append(
            f'<rect class="bar" x="{at}" y="{top_edge}" width="{round(x((step + 1) * STEP) - at - 1, 1)}" '
            f'height="{round(floor - top_edge, 1)}"/>'
        )
    parts.append(f'<path class="axis" fill="none" d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}"/>')
    for rate in (0, top // 2, top):
        parts.append(f'<text x="{LEFT - 6}" y="{y(rate) + 4}" text-anchor="end">{rate:,}</text>')
    for seconds in range(0, int(end) + 1, 5):
        parts.append(f'<text x="{x(seconds)}" y="{floor + 15}" text-anchor="middle">{seconds} s</text>')
    unit = "connections in a second, over the time since the first drain"
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 5}">{unit}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _nice(number: float) -> int:
    """A number above it for an axis."""
    step = 10
    while step * 10 < number:
        step *= 10
    return int(-(-number // step) * step)


HEAD = (
    "| bus | clients | events | lost | repeated | gaps | connections in the busiest second "
    "| restart of one process |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)


def line(result: Result) -> str:
    """A row of the table."""
    account = result.account
    longest = max(ready - drained for drained, _, ready in result.restarts)
    cells = [
        f"`{result.bus}`",
        f"{result.clients:,}",
        f"{result.published:,}",
        f"{account.lost}",
        f"{account.repeated + account.different}",
        f"{account.gaps}",
        f"{result.most:,}",
        f"{longest:.1f} s",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Restart, print what was counted and draw it; the exit status is 1 if anything falls short."""
    parser = arguments("tests.rolling", main.__doc__, topics=100, rate=200.0)
    parser.add_argument("--drain", type=float, default=5.0, help="seconds of `drain=` (default: %(default)s)")
    parser.add_argument("--pictures", type=Path, help="a folder for rolling-BUS.svg")
    given = parse(parser, BUSES)
    play = partial(roll, clients=given.clients, topics=given.topics, rate=given.rate, drain=given.drain)

    def row(result: Result) -> str:
        if given.pictures is not None:
            (given.pictures / f"rolling-{result.bus}.svg").write_text(picture(result), "utf-8")
        return line(result)

    whole = table(HEAD, given.buses, play, row)
    print(f"\n{given.rate:g} events a second, `drain={given.drain:g}`")
    return 0 if whole else 1


if __name__ == "__main__":
    raise SystemExit(main())
