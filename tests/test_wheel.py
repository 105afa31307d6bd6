"""What people install: the wheel, in an environment that has never seen this repository, runs the README's
first program. Slow, because pip fetches the dependencies anew."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import rx_sse

from .conftest import ROOT
from .docs.blocks import README, first_lines, running
from .test_face import LOOKING

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command as on a computer without this environment."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution, as an installer without wheels would get it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    assert list(folder.glob("*.tar.gz"))
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel and what it asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("empty")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    interpreter = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel, cwd=folder)
    return interpreter


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    source = {path.relative_to(ROOT).as_posix() for path in (ROOT / "rx_sse").rglob("*") if path.is_file()}
    expected = {name for name in source if "__pycache__" not in name}
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert "rx_sse/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


async def test_the_first_program_of_the_readme_runs(python: Path, tmp_path: Path, curl: str) -> None:
    where = run(python, "-c", "import rx_sse; print(rx_sse.__file__)", cwd=tmp_path)
    assert str(ROOT) not in where
    async with running(README.servers[0], tmp_path, python=[str(python)]) as address:
        printed = await first_lines([curl, "--silent", "--no-buffer", f"{address}/ticks"], 4)
    assert [line for line in printed if line.startswith("data:")][:1] == ['data: {"count":0}']


def test_looking_at_the_face_works_without_extras(python: Path, tmp_path: Path) -> None:
    """And what is nothing without an extra asks for it by the pip line when it is called."""
    told = run(python, "-c", LOOKING, cwd=tmp_path).splitlines()
    assert [line.split()[0] for line in told] == ["RedisBus", "RedisPublisher"]
    assert all("pip install" in line for line in told)


def test_version_and_name_are_those_of_the_project(python: Path, tmp_path: Path) -> None:
    program = "from importlib.metadata import version; print(version('rx_sse'))"
    assert run(python, "-c", program, cwd=tmp_path).strip() == rx_sse.__version__
