"""The house rules, held by reading the source: which room imports what, what is private, where state lives.

`ROOMS` is the table. A room may import the rooms above it, directly, and the packages named beside it; the
face (`rx_sse` itself) is for users and leaves. The rules are functions from a parsed file to complaints, so
that the last tests can feed them code that breaks each one.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType

import pytest

from .conftest import ROOT

# Room → the packages from outside the standard library that it may import. In the order of the house.
ROOMS: dict[str, set[str]] = {
    "errors": set(),
    "arguments": set(),
    "tasks": set(),
    "histogram": set(),
    "wire": {"backports", "compression", "msgspec"},
    "delivery": set(),
    "reactive": {"reactivex"},
    "bus": {"reactivex", "redis", "hiredis"},
    "client": {"reactivex", "aiohttp", "multidict", "yarl"},
    "web": {"reactivex", "aiohttp", "multidict", "yarl", "jwt", "opentelemetry"},
}
# No room imports these; each imports the rooms that it needs.
LEAVES: dict[str, set[str]] = {
    "testing": {"reactivex", "aiohttp", "yarl"},
    "notebook": {"reactivex", "aiohttp", "IPython"},
    "metrics": {"aiohttp", "prometheus_client"},
    "demo": {"reactivex", "aiohttp", "psutil", "uvloop", "jwt"},
    "terminal": {"reactivex", "aiohttp", "yarl"},
    "__main__": {"reactivex", "aiohttp", "uvloop"},
}
# Rooms above that are closed all the same.
CLOSED = {"client": {"delivery", "bus"}}
# A package that is the business of one part of a room. (The demo signs tokens, as any application does.)
ONLY_IN = {
    "backports": "wire/zstd",
    "hiredis": "bus/redis/",
    "jwt": "web/auth/",
    "opentelemetry": "web/tracing",
    "msgspec": "wire/json",
    "redis": "bus/redis/net/address",
}
# Names that the documentation of Python describes as public, despite the underscore.
DOCUMENTED = {"sys._current_frames"}
SANS_IO = {"errors", "arguments", "histogram", "wire"}


@dataclass(frozen=True)
class Source:
    """One file of the library: its path below ``rx_sse/`` and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @cached_property
    def private(self) -> set[str]:
        """The private names that the file makes."""
        return set(private_definitions(self.tree))

    @property
    def room(self) -> str:
        """The first part of the path: ``wire`` of ``wire/event.py``, ``""`` for the face."""
        first = self.path.split("/")[0].removesuffix(".py")
        return "" if first == "__init__" else first

    def at(self, node: ast.AST, complaint: str) -> str:
        return f"rx_sse/{self.path}:{getattr(node, 'lineno', 1)}: {complaint}"

    def imports(self) -> Iterator[tuple[ast.stmt, str]]:
        """Every module that is imported anywhere in the file, in full; ``from a import b`` is ``a.b``."""
        package = ["rx_sse", *self.path.split("/")[:-1]]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for name in node.names:
                    yield node, name.name
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                for name in node.names:
                    yield node, f"{base}.{name.name}"


def imports_what_it_may(source: Source, _: list[Source]) -> Iterator[str]:
    if source.room == "":
        return  # the face names every room, lazily: test_face.py
    order = list(ROOMS)
    above = set(order[: order.index(source.room)]) if source.room in ROOMS else set(ROOMS)
    above -= CLOSED.get(source.room, set())
    for node, name in source.imports():
        top, *rest = name.split(".")
        if top == "rx_sse":
            # Only a leaf goes through the front door; what follows the package there is a name, not a room.
            room = rest[0] if rest else ""
            inside = {*ROOMS, *LEAVES}
            if room not in inside:
                if source.room not in LEAVES:
                    yield source.at(node, f"imports the face ({name}): import the room directly")
            elif room != source.room and room not in above:
                yield source.at(node, f"{source.room} must not import {room}")
        elif top in sys.stdlib_module_names:
            if top == "asyncio" and source.room in SANS_IO:
                yield source.at(node, f"{source.room} is without I/O and must not import asyncio")
        elif top not in (ROOMS | LEAVES).get(source.room, set()):
            yield source.at(node, f"{source.room} must not import {top}")
        elif top in ONLY_IN and source.room in ROOMS and not source.path.startswith(ONLY_IN[top]):
            yield source.at(node, f"only {ONLY_IN[top]}* imports {top}")


def keeps_off_private_names(source: Source, house: list[Source]) -> Iterator[str]:
    for node, name in source.imports():
        *modules, last = name.split(".")
        foreign = modules and (modules[0] != "rx_sse" or len(modules) < 2 or modules[1] != source.room)
        if any(map(private, modules)) or (foreign and private(last)) or name.startswith("reactivex.internal"):
            yield source.at(node, f"imports {name}, which is private")
    own = source.private
    room = {name for other in house if other.room == source.room for name in other.private}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and private(node.attr):
            inherited = ast.unparse(node.value) == "self" and node.attr in room
            if node.attr not in own and not inherited and ast.unparse(node) not in DOCUMENTED:
                yield source.at(node, f"reads .{node.attr}, which this file does not define")


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_definitions(tree: ast.AST) -> Iterator[str]:
    """The private names that a file makes: functions, classes, variables, attributes, slots, parameters."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.attr if isinstance(node, ast.Attribute) else node.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value  # an entry of __slots__


def keeps_no_state_at_module_level(source: Source, _: list[Source]) -> Iterator[str]:
    """No empty container, lock, counter or `global`: what can change belongs to an object with an owner."""
    changing = {"list", "dict", "set", "deque", "defaultdict", "OrderedDict", "Counter", "count", "bytearray"}
    changing |= {"Lock", "RLock", "Condition", "Event", "Queue", "SimpleQueue", "local"}
    changing |= {"WeakSet", "WeakKeyDictionary", "WeakValueDictionary"}
    for statement in module_level(source.tree.body):
        if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign) and statement.value:
            value = statement.value
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names = [ast.unparse(target) for target in targets]
            if "__all__" in names:
                continue
            empty = (isinstance(value, ast.List | ast.Set) and not value.elts) or (
                isinstance(value, ast.Dict) and not value.keys
            )
            made = isinstance(value, ast.Call) and ast.unparse(value.func).split(".")[-1] in changing
            table = isinstance(
                value, ast.List | ast.Set | ast.Dict | ast.ListComp | ast.SetComp | ast.DictComp
            )
            if empty or made or (table and not all(name.isupper() for name in names)):
                yield source.at(statement, f"{', '.join(names)} is state at module level")
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Global):
            yield source.at(node, f"global {', '.join(node.names)}: state at module level")
        elif isinstance(node, ast.FunctionDef):
            for decorator in map(ast.unparse, node.decorator_list):
                if decorator.split(".")[-1] in ("cache", "lru_cache(None)", "lru_cache(maxsize=None)"):
                    yield source.at(node, f"{node.name} is cached without a bound")


def module_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try | ast.With):
            yield from module_level(statement.body)
            if isinstance(statement, ast.If | ast.Try):
                yield from module_level(statement.orelse)


def starts_tasks_in_one_way(source: Source, _: list[Source]) -> Iterator[str]:
    """Under an eager task factory a task runs before `create_task` has returned it."""
    if source.room not in ROOMS or source.room == "tasks":
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).split(".")[-1]
            if called in ("create_task", "ensure_future", "Task"):
                yield source.at(node, f"calls {called}: use rx_sse.tasks.start")


RULES = [
    imports_what_it_may,
    keeps_off_private_names,
    keeps_no_state_at_module_level,
    starts_tasks_in_one_way,
]


@cache
def library() -> list[Source]:
    base = ROOT / "rx_sse"
    files = sorted(base.rglob("*.py"))
    return [Source(path.relative_to(base).as_posix(), path.read_text("utf-8")) for path in files]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_file_keeps_the_rule(rule) -> None:
    house = library()
    complaints = [complaint for source in house for complaint in rule(source, house)]
    assert not complaints, "\n" + "\n".join(complaints)


def test_every_file_belongs_to_a_room() -> None:
    strangers = {source.path for source in library() if source.room not in {"", *ROOMS, *LEAVES}}
    assert not strangers, "a new room needs its line in ROOMS or LEAVES, and in the docstring of rx_sse"


def modules() -> list[ModuleType]:
    names = []
    for source in library():
        parts = Path(source.path).with_suffix("").parts
        if parts[-1] not in ("__init__", "__main__"):
            names.append(".".join(["rx_sse", *parts]))
    return [importlib.import_module(name) for name in names]


def test_no_class_overrides_a_private_method_of_somebody_elses() -> None:
    """Reading the source cannot see it: a `_subscribe_core` of ours would quietly become reactivex's."""
    complaints = []
    for module in modules():
        for cls in vars(module).values():
            if not (isinstance(cls, type) and cls.__module__.startswith("rx_sse")):
                continue
            for base in cls.__mro__[1:]:
                if base.__module__.split(".")[0] in ("aiohttp", "asyncio", "reactivex", "redis"):
                    same = set(filter(private, vars(cls).keys() & vars(base).keys())) - {"_abc_impl"}
                    complaints += [
                        f"{cls.__qualname__}.{name} overrides {base.__qualname__}'s" for name in same
                    ]
    assert not complaints, "\n" + "\n".join(complaints)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("wire/event.py", "import asyncio"),
        ("wire/event.py", "def f():\n    import aiohttp"),
        ("wire/event.py", "from ..web.sse import sse"),
        ("errors.py", "from .wire import event"),
        ("delivery/outbox.py", "import reactivex as rx"),
        ("reactive/bridges.py", "from aiohttp import web"),
        ("bus/core.py", "import redis"),
        ("bus/core.py", "import hiredis"),
        ("bus/redis/log.py", "import redis.asyncio"),
        ("bus/core.py", "from rx_sse.web import mount"),
        ("client/source.py", "from ..delivery.outbox import Outbox"),
        ("delivery/connection.py", "import jwt"),
        ("delivery/connection.py", "from redis.asyncio import Redis"),
        ("delivery/connection.py", "from .. import ServerSentEvent"),
        ("delivery/connection.py", "from ..testing import open_stream"),
        ("testing.py", "from .demo import app"),
        ("delivery/connection.py", "from aiohttp._websocket import reader"),
        ("delivery/connection.py", "from asyncio import _get_running_loop"),
        ("delivery/connection.py", "from ..wire.event import _frame"),
        ("delivery/connection.py", "def f(request): return request._protocol"),
        ("delivery/connection.py", "class A(Base):\n    def f(self): return self._inherited_from_elsewhere"),
        ("reactive/scheduler.py", "from reactivex.internal import concurrency"),
        ("reactive/scheduler.py", "import reactivex.internal"),
        ("bus/core.py", "topics = {}"),
        ("bus/core.py", "TOPICS: dict[str, int] = {}"),
        ("bus/core.py", "table = {'a': 1}"),
        ("bus/core.py", "import threading\nLOCK = threading.Lock()"),
        ("bus/core.py", "if True:\n    SEEN = set()"),
        ("bus/core.py", "def f():\n    global x\n    x = 1"),
        ("bus/core.py", "@functools.cache\ndef f(): ..."),
        ("web/pump.py", "def f(loop, run): return loop.create_task(run())"),
    ],
)
def test_a_breach_is_seen(path: str, text: str) -> None:
    assert [complaint for rule in RULES for complaint in rule(Source(path, text), [])]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("wire/event.py", "from __future__ import annotations\nimport re\nfrom ..errors import EncodeError"),
        ("delivery/inbox.py", "import asyncio\nfrom .outbox import Outbox"),
        ("reactive/scheduler.py", "import reactivex as rx\nfrom reactivex import abc"),
        ("bus/redis/net/address.py", "import redis.asyncio"),
        ("bus/redis/net/connection.py", "import hiredis"),
        ("web/auth/keys.py", "import jwt"),
        (
            "delivery/connection.py",
            "from ..wire import control\nfrom . import outbox",
        ),
        (
            "delivery/connection.py",
            "class A:\n    def __init__(self): self._x = 1\n    def f(self, b): return b._x",
        ),
        ("web/options.py", "DEFAULTS = {'retry': None}\nNAMES = ('a', 'b')\n__all__ = ['DEFAULTS']"),
        ("demo/app.py", "import rx_sse\nfrom rx_sse import sse"),
    ],
)
def test_what_is_allowed_is_not_complained_about(path: str, text: str) -> None:
    assert not [complaint for rule in RULES for complaint in rule(Source(path, text), [])]
