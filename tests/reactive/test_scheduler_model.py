"""`LoopScheduler` against a model of twenty lines: any program of actions, groups, disposals and failures."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reactivex import abc

import rx_sse.reactive.runner as under_test
from rx_sse.reactive import LoopScheduler


@dataclass(frozen=True)
class Schedule:
    node: Node


@dataclass(frozen=True)
class Run:
    node: Node


@dataclass(frozen=True)
class Dispose:
    """Takes back what was scheduled or run as the nth."""

    nth: int


@dataclass(frozen=True)
class Raise:
    pass


Step = Schedule | Run | Dispose | Raise


@dataclass(frozen=True, eq=False)
class Node:
    """An action: what it does, step by step."""

    steps: list[Step] = field(default_factory=list)


nodes = st.recursive(
    st.builds(Node),
    lambda children: st.builds(
        Node,
        st.lists(
            st.one_of(
                st.builds(Schedule, children),
                st.builds(Run, children),
                st.builds(Dispose, st.integers(0, 20)),
                st.builds(Raise),
            ),
            max_size=6,
        ),
    ),
    max_leaves=40,
)


class Failure(Exception):
    """Raised by an action."""


class Real:
    """The program on the real scheduler. Actions are called by the order in which they were scheduled."""

    def __init__(self, root: Node) -> None:
        self.scheduler = LoopScheduler()
        self.log: list[str] = []
        self.made: list[abc.DisposableBase] = []
        self.scheduler.schedule(lambda *_: self.perform(-1, root))

    def perform(self, number: int, node: Node) -> None:
        self.log.append(f"ran {number}")
        for step in node.steps:
            made = len(self.made)
            match step:
                case Schedule(child):
                    self.made.append(
                        self.scheduler.schedule(lambda *_, n=made, child=child: self.perform(n, child))
                    )
                case Run(child):
                    self.made.append(
                        self.scheduler.run(
                            lambda n=made, child=child: self.perform(n, child),
                            lambda n=made: self.log.append(f"settled {n}"),
                        )
                    )
                case Dispose(nth):
                    if nth < made:
                        self.made[nth].dispose()
                case Raise():
                    raise Failure


@dataclass(eq=False)
class Entry:
    number: int
    node: Node
    group: Group
    disposed: bool = False


@dataclass(eq=False)
class Group:
    run: int | None = None  # until it has settled
    queue: list[Entry] = field(default_factory=list)


class Model:
    """What should happen: each group is a list, and the groups take turns."""

    def __init__(self, root: Node) -> None:
        self.log: list[str] = []
        self.made: list[Entry] = []
        self.rotation: list[Group] = []
        self.put(Entry(-1, root, Group()))
        while self.rotation:
            group = self.rotation[0]
            entry = group.queue.pop(0)
            if not entry.disposed:
                self.perform(entry)
            self.rotation.pop(0)
            if group.queue:
                self.rotation.append(group)
            elif group.run is not None:
                self.log.append(f"settled {group.run}")
                group.run = None

    def put(self, entry: Entry) -> None:
        entry.group.queue.append(entry)
        if entry.group not in self.rotation:
            self.rotation.append(entry.group)

    def perform(self, entry: Entry) -> None:
        self.log.append(f"ran {entry.number}")
        for step in entry.node.steps:
            made = len(self.made)
            match step:
                case Schedule(child):
                    self.made.append(Entry(made, child, entry.group))
                    self.put(self.made[made])
                case Run(child):
                    self.made.append(Entry(made, child, Group(run=made)))
                    self.put(self.made[made])
                case Dispose(nth):
                    if nth < made:
                        taken_back = self.made[nth]
                        taken_back.disposed = True
                        if taken_back.group.run == nth:
                            taken_back.group.run = None
                case Raise():
                    return


@pytest.mark.parametrize("slice_seconds", [60.0, 0.0], ids=["one slice", "a turn for each action"])
@given(root=nodes)
@settings(max_examples=200, deadline=None)
def test_any_program_runs_as_the_model_says(slice_seconds: float, root: Node) -> None:
    model = Model(root)
    failures: list[BaseException] = []

    async def main() -> list[str]:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: failures.append(context["exception"])
        )
        real = Real(root)
        if slice_seconds == 0:
            for _ in range(len(model.made) + 1):  # the disposed ones take a turn too
                await asyncio.sleep(0)
        return real.log

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(under_test, "SLICE", slice_seconds)
        patch.setattr(under_test, "GRACE", 0)
        log = asyncio.run(main())
    assert log == model.log
    assert all(isinstance(failure, Failure) for failure in failures)
