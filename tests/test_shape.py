"""Files stay short, and the imports of the bus have no circle."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import pytest

from .test_rooms import Source, library

LONGEST = 400


def test_no_file_has_more_than_400_lines() -> None:
    assert [source.path for source in library() if len(source.text.splitlines()) > LONGEST] == []


def order(sources: list[Source]) -> list[str]:
    """The files, each behind those that it imports; imports for type checkers count as well."""
    files = {"rx_sse." + source.path.removesuffix(".py").replace("/", ".") for source in sources}
    arrows = {
        "rx_sse." + source.path.removesuffix(".py").replace("/", "."): {
            module for _, name in source.imports() if (module := name.rpartition(".")[0]) in files
        }
        for source in sources
    }
    return list(TopologicalSorter(arrows).static_order())


def test_the_imports_of_the_bus_have_no_circle() -> None:
    files = [source for source in library() if source.room == "bus"]
    built = order(files)
    assert built.index("rx_sse.bus.core") < built.index("rx_sse.bus.bus")


def test_a_circle_is_seen() -> None:
    one = Source("bus/one.py", "from rx_sse.bus.two import Two")
    two = Source("bus/two.py", "if TYPE_CHECKING:\n    from rx_sse.bus.one import One")
    with pytest.raises(CycleError):
        order([one, two])
