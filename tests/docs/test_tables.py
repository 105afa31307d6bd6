"""What README.md and docs/ list is the code's: options, policies, operators, control events, commands."""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest

import rx_sse
from rx_sse.__main__ import main

from ..conftest import PROJECT, ROOT
from .blocks import HERE, README, Block, Page, cases

STREAMS = Page(ROOT / "docs" / "streams.md")
DEPLOYING = Page(ROOT / "docs" / "deploying.md")


@pytest.mark.parametrize(("page", "block", "command", "shown"), cases("python3", "python", "rx-sse"))
def test_commands_exist(page: Page, block: Block, command: str, shown: list[str]) -> None:
    words = shlex.split(command, comments=True)
    if words[1] == "dev.py":
        documented = (ROOT / "dev.py").read_text("utf-8")
        assert re.search(rf"^    python3 dev\.py {words[2]}\b", documented, re.MULTILINE)
        words = words[2:]
        if words[:3] == ["run", "python", "-m"]:
            options_exist(help_of_module(words[3]), words[4:])
    elif words[0] == "rx-sse":
        words = words[1 : words.index("|") if "|" in words else None]
    else:
        assert words[1:3] == ["-m", "rx_sse"]
        words = words[3:]
    if words[0] in ("demo", "tail", "publish"):
        options_exist(help_of(words[0]), words[1:])


@cache
def help_of_module(name: str) -> str:
    """What a module of the repository prints of itself."""
    done = subprocess.run([sys.executable, "-m", name, "--help"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def help_of(command: str) -> str:
    """What a command of the library prints of itself."""
    with redirect_stdout(StringIO()) as printed, pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    return printed.getvalue()


def options_exist(printed: str, words: list[str]) -> None:
    """A command has the options shown."""
    for option in (word for word in words if word.startswith("--")):
        assert option in printed


COMMANDS = sorted(
    {
        found[1]
        for folder in ("benchmarks", "tests")
        for file in (ROOT / folder).rglob("*.py")
        if ".cache" not in file.parts  # the benchmarks' peers, which are others' packages
        for found in re.finditer(r'prog="python -m ([\w.]+)"', file.read_text("utf-8"))
    }
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_a_module_has_is_listed(command: str) -> None:
    listed = "".join((ROOT / name).read_text("utf-8") for name in ("CONTRIBUTING.md", "benchmarks/README.md"))
    assert re.search(rf"{re.escape(command)}(?![.\w])", listed)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_explains_itself(command: str) -> None:
    assert command in help_of_module(command)


def test_the_options_of_the_terminal_are_the_code() -> None:
    """Those of `tail`, of `publish`, and of both."""
    from rx_sse.terminal import publish, tail

    def options(parser: argparse.ArgumentParser) -> set[str]:
        return {name for name in parser._option_string_actions if name not in ("-h", "--help")}

    page = Page(ROOT / "docs" / "terminal.md")
    shown = [
        {
            word.split()[0]
            for cell in page.table(heading)
            for word in re.split(r"`?, `", cell)
            if word[0] == "-"
        }
        for heading in ("Reading: `tail`", "Writing: `publish`", "Headers, tokens, certificates")
    ]
    assert shown[0] | shown[2] == options(tail._parser())
    assert shown[1] | shown[2] == options(publish._parser())


def test_install_lines_name_extras_that_exist() -> None:
    lines = [line for page in HERE for line in re.findall(r"pip install ([^\n`]+)", page.text)]
    assert lines
    for line in lines:
        for extra in re.findall(r"\[([\w,]+)\]", line):
            assert set(extra.split(",")) <= PROJECT["project"]["optional-dependencies"].keys(), line


def test_the_options_table_is_the_code() -> None:
    from rx_sse.web.options import DEFAULTS

    shown = {name: eval(cells[0]) for name, cells in STREAMS.table("Options").items()}
    assert shown == dict(DEFAULTS)


@pytest.mark.parametrize("page", [README, STREAMS], ids=lambda page: page.name)
def test_the_policies_table_is_the_code(page: Page) -> None:
    from rx_sse.delivery.overflow import POLICIES

    assert [name.strip('"') for name in page.table("Slow clients")] == list(POLICIES)


def test_the_operators_take_what_is_shown() -> None:
    shown = STREAMS.table("Sharing a source, and threads")
    assert len(shown) == 5
    for call in shown:
        name, _, arguments = call.partition("(")
        parameters = inspect.signature(getattr(rx_sse, name)).parameters
        for argument in arguments.rstrip(")").split(", "):
            if argument != "…":
                parameter, _, default = argument.partition("=")
                assert not default or parameters[parameter].default == eval(default), call
                assert parameter in parameters, call


def test_the_reasons_of_an_end_are_the_code() -> None:
    from rx_sse.web.end_reason import End

    assert list(STREAMS.table("Why a stream ended")) == [end.value for end in End]


def test_the_limits_are_the_code() -> None:
    from dataclasses import fields

    shown = {name: eval(cells[0]) for name, cells in STREAMS.table("Limits").items()}
    assert shown == {field.name: field.default for field in fields(rx_sse.Limits)}


def logged() -> set[tuple[str, str]]:
    """Level and text of the lines that the library logs, `%s` and the like as …"""
    found: set[tuple[str, str]] = set()
    for path in (ROOT / "rx_sse").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            of, texts = node.func.value, [it.value for it in node.args if isinstance(it, ast.Constant)]
            notice = isinstance(of, ast.Attribute) and of.attr in ("notices", "_notices")
            logs = notice or (isinstance(of, ast.Name) and of.id == "logger")
            if logs and texts and isinstance(texts[0], str):
                levels = {"exception": "error", "log": "info", "seldom": "warning", "once": "warning"}
                level = levels.get(node.func.attr, node.func.attr)
                found.add((level, re.sub(r"%[-+.\d]*\w", "…", texts[0])))
    return found


def test_the_log_lines_are_the_code() -> None:
    (section,) = re.findall(r"^## Log lines$(.*?)^## ", DEPLOYING.text, re.MULTILINE | re.DOTALL)
    shown = re.findall(r"^\| (\w+) \| `(.+?)` \|", section, re.MULTILINE)
    assert len(shown) > 10
    lines = logged()
    for level, text in shown:
        start = text.removesuffix("…")
        assert any(level == known and line.startswith(start) for known, line in lines), text


def test_the_control_events_are_the_code() -> None:
    from rx_sse.wire import control

    source = Path(control.__file__).read_text("utf-8")
    known = set(re.findall(r"[\"'](stream-[a-z]+)[\"']", source))
    assert set(STREAMS.table("Control events")) == known
