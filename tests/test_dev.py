"""The set-up script and the word on missing parts: what a person reads, and that CI skips nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import PARTS, PROJECT, ROOT

LINE = "sudo apt-get install -y no-such-package"
ABSENT = {"no-such-part": {"commands": ["no-such-command"], "debian": "no-such-package"}}


def python(program: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program where no command is found, so that nothing can be installed either."""
    kept = {key: value for key, value in os.environ.items() if key not in ("CI", "PATH")}
    # A pytest in it needs none of the plug-ins that are installed, and is there in a third of the time.
    own = {"PATH": str(folder), "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment = {**kept, **own, **environment}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)


def test_help_and_nonsense() -> None:
    for arguments, code in ((["--help"], 0), ([], 0), (["run"], 2), (["nonsense"], 2)):
        done = subprocess.run(
            [sys.executable, str(ROOT / "dev.py"), *arguments], capture_output=True, text=True
        )
        assert done.returncode == code
        assert "python3 dev.py test" in done.stdout


def test_it_imports_the_standard_library_alone() -> None:
    done = subprocess.run([sys.executable, "-I", "-S", str(ROOT / "dev.py"), "--help"], capture_output=True)
    assert done.returncode == 0


def test_groups_are_resolved_with_what_they_include(tmp_path: Path) -> None:
    groups = PROJECT["dependency-groups"]
    done = python(f"import dev; print(dev.group('dev', {groups!r}))", tmp_path)
    assert done.stdout.strip() == repr([*groups["test"], *groups["lint"], *groups["docs"]])


def test_the_lowest_versions_are_those_that_the_project_allows(tmp_path: Path) -> None:
    allowed = {
        "aiohttp>=3.14.1,<5": "aiohttp==3.14.1",
        "redis[hiredis]>=5.2,<9": "redis[hiredis]==5.2",
        "uvloop>=0.21; sys_platform != 'win32'": "uvloop==0.21; sys_platform != 'win32'",
        "zstd>= 1.0 ; python_version>='3.12'": "zstd==1.0; python_version>='3.12'",
    }
    done = python(f"import dev; print([dev.lowest(r) for r in {list(allowed)!r}])", tmp_path)
    assert done.stdout.strip() == repr(list(allowed.values())), done.stderr
    program = f"import dev; print(*dev.requirements('lowest', {PROJECT!r}), sep='\\n')"
    asked = python(program, tmp_path).stdout.splitlines()
    project = PROJECT["project"]
    bounded = [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]
    assert sum(
        "==" in line.partition(";")[0] and ">=" not in line.partition(";")[0] for line in asked
    ) >= len(bounded)


def a_pyenv(folder: Path, **versions: str) -> dict[str, str]:
    """A folder like pyenv's, with programs that say they are these versions; and the PATH to find them by."""
    for name, says in versions.items():
        program = folder / "versions" / name.replace("_", ".") / "bin" / "python"
        program.parent.mkdir(parents=True)
        program.write_text(f"#!/bin/sh\necho {says}\n")
        program.chmod(0o755)
    return {"PYENV_ROOT": str(folder)}


def test_the_other_pythons_are_those_of_the_classifiers_that_are_installed(tmp_path: Path) -> None:
    """What is not here is named, and is no failure: a developer has one Python, CI has all of them."""
    here = "{}.{}".format(*sys.version_info)
    names = [here, "3.98", "3.99", "3.97", "4.0"]
    classifiers = [f"Programming Language :: Python :: {name}" for name in names]
    project = {"project": {"classifiers": classifiers}}
    # The second says of itself that it is another: a program's name is no proof.
    pyenv = a_pyenv(tmp_path / "pyenv", **{"3_98_1": "3.98", "3_99_0": "3.9", "3_97_2": "3.97"})
    done = python(f"import dev; print(dev.pythons({project!r}))", tmp_path, **pyenv)
    assert done.stdout.strip() == "['3.98', '3.97']", done.stderr
    assert "Python 3.99" in done.stderr and done.returncode == 0


def test_a_python_that_is_not_there_is_told(tmp_path: Path) -> None:
    for version in ("3.99", "", "../3.11", "*"):
        arguments = f"['test', '--python', {version!r}]"
        done = python(f"import dev; dev.main({arguments})", tmp_path, **a_pyenv(tmp_path / "pyenv"))
        assert done.returncode == 1 and "no Python" in done.stderr and "Traceback" not in done.stderr


def test_ci_and_the_hook_before_a_commit_run_the_same_checks() -> None:
    assert "step python3 dev.py check\n" in (ROOT / ".ci" / "run").read_text("utf-8")
    assert "entry: python3 dev.py check\n" in (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    text = (ROOT / "dev.py").read_text("utf-8")
    assert all(f'["{name}"' in text for name in ("ruff", "codespell", "mypy", "pyright"))


def test_every_check_runs_and_the_failed_ones_are_named(tmp_path: Path) -> None:
    for name, status in (("good", 0), ("bad", 3), ("worse", 1)):
        (tmp_path / name).write_text(f"#!/bin/sh\necho ran {name}\nexit {status}\n")
        (tmp_path / name).chmod(0o755)
    program = (
        f"import dev, pathlib\nclass Here: bin = pathlib.Path({str(tmp_path)!r})\ndev.DEV = Here\n"
        "print(dev.all_of([['bad', 'x'], ['good'], ['worse']]), dev.all_of([['good']]))"
    )
    done = python(program, tmp_path)
    assert done.stdout.splitlines()[-1] == "1 0", done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("ran")][:3] == [
        "ran bad", "ran good", "ran worse",
    ]  # fmt: skip
    assert "failed: bad x, worse" in done.stderr


def test_the_subset_is_there_and_ci_runs_it_everywhere() -> None:
    subset = PROJECT["tool"]["rx_sse"]["subset"]
    paths = [ROOT / part for part in subset if part.startswith("tests/")]
    assert len(paths) >= 10 and all(path.exists() for path in paths)
    steps = (ROOT / ".ci" / "run").read_text("utf-8")
    assert (
        "pythons=$(python3 dev.py pythons) || failed" in steps and 'dev.py test --python "$version"' in steps
    )
    assert "dev.py test --lowest" in steps


@pytest.mark.parametrize("ci", [False, True], ids=["locally", "in CI"])
def test_the_script_names_the_line_that_installs_a_missing_part(ci: bool, tmp_path: Path) -> None:
    project = {"tool": {"rx_sse": {"parts": ABSENT}}}
    program = f"import dev; dev.bring_parts({project!r}); print('went on')"
    done = python(program, tmp_path, **({"CI": "true"} if ci else {}))
    assert LINE in done.stderr
    assert ("went on" in done.stdout) is not ci
    assert (done.returncode != 0) is ci


@pytest.mark.parametrize("ci", [False, True], ids=["locally", "in CI"])
def test_a_test_with_a_missing_part_skips_and_fails_in_ci(ci: bool, tmp_path: Path) -> None:
    (tmp_path / "test_absent.py").write_text(
        "from tests import conftest\n"
        f"def test_absent():\n    conftest.PARTS.update({ABSENT!r})\n    conftest.require('no-such-part')\n"
    )
    program = (
        f"import pytest, sys; sys.exit(pytest.main(['-rsf', '-p', 'no:cacheprovider', {str(tmp_path)!r}]))"
    )
    done = python(program, tmp_path, **({"CI": "true"} if ci else {}))
    assert ("1 failed" if ci else "1 skipped") in done.stdout, done.stdout
    assert LINE in done.stdout
    assert (done.returncode != 0) is ci


def test_parts_are_complete() -> None:
    for part in PARTS.values():
        assert part["commands"] and bool(part.get("debian")) is not bool(part.get("pip"))
        assert part.get("pip") is None or any(
            requirement.startswith(part["pip"]) for requirement in PROJECT["dependency-groups"]["test"]
        )


@pytest.mark.parametrize("ci", [False, True], ids=["locally", "in CI"])
@pytest.mark.parametrize("where", ["def test_it():\n    ", ""], ids=["a test", "a module"])
def test_any_other_skip_fails_in_ci_too(where: str, ci: bool, tmp_path: Path) -> None:
    (tmp_path / "test_absent.py").write_text(f"import pytest\n{where}pytest.importorskip('no_such_module')\n")
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.rx_sse]\nparts = {}\n")
    (tmp_path / "tests").mkdir()
    for name in ("conftest.py", "test_absent.py"):
        (tmp_path / name).rename(tmp_path / "tests" / name)
    program = f"import pytest, sys; sys.exit(pytest.main(['-p', 'no:cacheprovider', {str(tmp_path)!r}]))"
    done = python(program, tmp_path, **({"CI": "true"} if ci else {}))
    assert ("CI skips nothing" in done.stdout) is ci, done.stdout
    assert (done.returncode in (1, 2)) is ci
