#!/usr/bin/env python3
"""One command from a clone to a running demo, another to a tested library.

    python3 dev.py demo [ARGS]     set up what the demo needs and run it: python -m rx_sse demo ARGS
    python3 dev.py test [ARGS]     set up what the tests need and run them: pytest ARGS, or all in parallel
    python3 dev.py run CMD [ARGS]  run any command in the environment of the tests: ruff, mypy, python

Needs Python 3.11 or newer and nothing else; this file imports the standard library alone. Packages go into
.venv beside it, which carries a hash of pyproject.toml and is brought up to date when that changes: about
half a minute the first time, nothing after that.

The tests also drive programs that pip cannot bring (a browser, Redis, nginx: [tool.rx_sse.parts]). Where
they are missing, root on Debian gets them by apt-get; anybody else is told the exact line and the tests
concerned skip, visibly. With CI set, a missing part is a failure and nothing is skipped.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

try:
    import tomllib
except ModuleNotFoundError:  # which came with 3.11
    sys.exit(f"rx_sse needs Python 3.11 or newer; this is {sys.version.split()[0]}")

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")

# How all tests run when nothing else is said. More processes than this would starve the tests' own servers.
PARALLEL = ["--numprocesses=auto", "--maxprocesses=4", "--dist=worksteal"]


def main(arguments: list[str]) -> NoReturn:
    command, *rest = arguments or ["help"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    if command == "demo":
        install("demo", project)
        execute(["python", "-m", "rx_sse", "demo", *rest])
    elif command == "test":
        bring_parts(project)
        install("dev", project)
        execute(["python", "-m", "pytest", *(rest or PARALLEL)])
    elif command == "run" and rest:
        install("dev", project)
        execute(rest)
    print(__doc__)
    sys.exit(0 if command in ("help", "-h", "--help") else 2)


def requirements(level: str, project: dict[str, Any]) -> list[str]:
    """What pip is asked for: the extras the demo runs on, or every extra and the developers' group."""
    if level == "demo":
        return ["-e", f"{ROOT}[demo,uvloop]"]
    extras = ",".join(project["project"]["optional-dependencies"])
    return ["-e", f"{ROOT}[{extras}]", *group("dev", project["dependency-groups"])]


def group(name: str, groups: dict[str, list[Any]]) -> list[str]:
    """The requirements of a dependency group, groups that it includes among them (PEP 735)."""
    found: list[str] = []
    for item in groups[name]:
        found += [item] if isinstance(item, str) else group(item["include-group"], groups)
    return found


def install(level: str, project: dict[str, Any]) -> None:
    """Bring .venv up to `level`. The stamp is written last: an interrupted set-up is done again."""
    content = (ROOT / "pyproject.toml").read_bytes()
    digest = hashlib.sha256(content + repr((sys.version_info[:3], str(ROOT))).encode()).hexdigest()
    stamps = [VENV / "dev.stamp"] if level == "dev" else [VENV / "dev.stamp", VENV / f"{level}.stamp"]
    if any(stamp.exists() and stamp.read_text("utf-8") == digest for stamp in stamps):
        return
    say(f"setting up {VENV.name}/ (about half a minute, once)")
    if not usable():
        if importlib.util.find_spec("ensurepip") is None:  # Debian keeps it in a package of its own
            package = f"python3.{sys.version_info.minor}-venv"
            if not apt_get([package]):
                sys.exit(f"rx_sse: this Python makes no virtual environments; {by_hand([package])}")
        run([sys.executable, "-m", "venv", "--clear", str(VENV)])
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    run([str(PYTHON), "-m", "pip", "install", *quiet, *requirements(level, project)])
    stamps[-1].write_text(digest, "utf-8")


def usable() -> bool:
    """Whether .venv is there, of this Python's version, and has a pip that starts."""
    probe = f"import sys, pip; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    try:
        return subprocess.run([str(PYTHON), "-c", probe], stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def bring_parts(project: dict[str, Any]) -> None:
    """Install the programs that the tests drive, or say how and what follows from their absence."""
    parts: dict[str, dict[str, Any]] = project["tool"]["rx_sse"]["parts"]
    absent = {
        name: part["debian"]
        for name, part in parts.items()
        if "debian" in part and not any(map(which, part["commands"]))  # the others come with .venv
    }
    if not absent:
        return
    packages: list[str] = sorted({package for names in absent.values() for package in names.split()})
    if apt_get(packages):
        return
    if os.environ.get("CI"):
        sys.exit(f"rx_sse: {', '.join(absent)} missing, and CI skips nothing; {by_hand(packages)}")
    say(f"{', '.join(absent)} missing: tests that need them skip. For all of them, {by_hand(packages)}")


def which(command: str) -> str | None:
    # Debian keeps servers in /usr/sbin, which an ordinary user's PATH leaves out.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    return shutil.which(command, path=path)


def apt_get(packages: list[str]) -> bool:
    """Install Debian packages, if this is a Debian and we are root. Says whether they are there now."""
    if os.name == "nt" or os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    say(f"apt-get install {' '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    options = ["-qq", "-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=120"]
    for step in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(["apt-get", *options, *step], env=environment, stdout=subprocess.DEVNULL)
        if done.returncode:
            return False
    return True


def by_hand(packages: list[str]) -> str:
    return f"run: sudo apt-get install -y {' '.join(packages)}"


def run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT)
    if done.returncode:
        sys.exit(f"rx_sse: this failed: {' '.join(command)}")


def execute(command: list[str]) -> NoReturn:
    """Become `command`, in the environment: its signals, its exit code, its terminal."""
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "PATH": path, "VIRTUAL_ENV": str(VENV)}
    program = shutil.which(command[0], path=path)
    if program is None:
        sys.exit(f"rx_sse: no command {command[0]!r}")
    os.chdir(ROOT)
    sys.stdout.flush()
    if os.name == "nt":  # there, exec returns to the shell at once
        sys.exit(subprocess.run([program, *command[1:]], env=environment).returncode)
    os.execve(program, [program, *command[1:]], environment)


def say(text: str) -> None:
    print(f"rx_sse: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
