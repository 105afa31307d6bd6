#!/usr/bin/env python3
"""One command from a clone to a running demo, another to a tested library.

    python3 dev.py demo [ARGS]     set up what the demo needs and run it: python -m rx_sse demo ARGS
    python3 dev.py test [ARGS]     set up what the tests need and run them: pytest ARGS, or all in parallel
    python3 dev.py check           every static gate: ruff, its format, codespell, mypy, pyright
    python3 dev.py fix             mend what ruff and codespell can mend by themselves
    python3 dev.py docs            build the site of docs/ into build/site
    python3 dev.py docs serve      show it while it is edited
    python3 dev.py run CMD [ARGS]  run any command in the environment of the tests: ruff, mypy, python
    python3 dev.py test --python 3.13 [ARGS]   pytest ARGS, or a subset of the tests, under another Python
    python3 dev.py test --lowest [ARGS]        the same with the lowest dependencies pyproject.toml allows
    python3 dev.py pythons         print the other Pythons of pyproject.toml's classifiers that are installed

Needs Python 3.11 or newer and nothing else; this file imports the standard library alone. Packages go into
.venv beside it, which carries a hash of pyproject.toml and is brought up to date when that changes: about
half a minute the first time, nothing after that. Another Python has .venv-3.13 or the like, the lowest
dependencies have .venv-lowest; the subset is [tool.rx_sse] subset. Pythons are looked for on the PATH and
among those of pyenv.

The tests also drive programs that pip cannot bring (a browser, Redis, nginx: [tool.rx_sse.parts]). Where
they are missing, root on Debian gets them by apt-get; anybody else is told the exact line and the tests
concerned skip, visibly. With CI set, a missing part is a failure and nothing is skipped.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

try:
    import tomllib
except ModuleNotFoundError:  # which came with 3.11
    sys.exit(f"rx_sse needs Python 3.11 or newer; this is {sys.version.split()[0]}")

ROOT = Path(__file__).resolve().parent
HERE = "{}.{}".format(*sys.version_info)

# How all tests run when nothing else is said: one process more than there are cores, because half of a test's
# time is waiting. More processes than this would starve the tests' own servers.
PARALLEL = [f"--numprocesses={min(4, 1 + (os.cpu_count() or 1))}", "--dist=worksteal"]


CHECKS = [
    ["ruff", "check", "."],
    ["ruff", "format", "--check", "."],
    ["codespell"],
    ["mypy"],
    ["pyright"],
]
FIXES = [["ruff", "check", "--fix", "."], ["ruff", "format", "."], ["codespell", "--write-changes"]]


@dataclass(frozen=True)
class Environment:
    """A virtual environment: where it is, which Python makes it, and what is installed in it.

    Attributes:
        folder: .venv, or another beside it.
        level: "demo", "dev" (everything), "test" (every extra and the tests' group), or "lowest" (the same,
            with the lowest versions of the dependencies and extras).
        maker: the interpreter that makes it.
        version: the maker's version, like "3.13".
    """

    folder: Path
    level: str
    maker: str = sys.executable
    version: str = HERE

    @property
    def bin(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    @property
    def python(self) -> Path:
        return self.bin / ("python.exe" if os.name == "nt" else "python")


DEMO = Environment(ROOT / ".venv", "demo")
DEV = Environment(ROOT / ".venv", "dev")
LOWEST = Environment(ROOT / ".venv-lowest", "lowest")


def main(arguments: list[str]) -> NoReturn:
    command, *rest = arguments or ["help"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    if command == "demo":
        install(DEMO, project)
        execute(DEMO, ["python", "-m", "rx_sse", "demo", *rest])
    elif command == "test":
        test(rest, project)
    elif command == "pythons":
        print(*pythons(project), sep="\n")
        sys.exit(0)
    elif command in ("check", "fix") and not rest:
        install(DEV, project)
        sys.exit(all_of(CHECKS if command == "check" else FIXES))
    elif command == "docs" and rest in ([], ["serve"]):
        os.environ["NO_MKDOCS_2_WARNING"] = "1"
        install(DEV, project)
        execute(DEV, ["mkdocs", *(rest or ["build", "--strict"])])
    elif command == "run" and rest:
        install(DEV, project)
        execute(DEV, rest)
    print(__doc__)
    sys.exit(0 if command in ("help", "-h", "--help") else 2)


def test(arguments: list[str], project: dict[str, Any]) -> NoReturn:
    """Run pytest in the environment that the arguments ask for."""
    environment, chosen = DEV, []
    if arguments[:1] == ["--lowest"]:
        environment, arguments = LOWEST, arguments[1:]
    elif arguments[:1] == ["--python"]:
        version, arguments = "".join(arguments[1:2]), arguments[2:]
        maker = interpreter(version)
        if maker is None:
            sys.exit(f"rx_sse: no Python {version!r} on the PATH or in pyenv; give one like 3.13")
        environment = Environment(ROOT / f".venv-{version}", "test", maker, version)
    if environment is not DEV:
        chosen = project["tool"]["rx_sse"]["subset"]
    bring_parts(project)
    install(environment, project)
    execute(environment, ["python", "-m", "pytest", *(arguments or [*PARALLEL, *chosen])])


def all_of(commands: list[list[str]]) -> int:
    """Run each, whatever the others say; 1 if one of them failed."""
    variables = {**os.environ, "PATH": os.pathsep.join([str(DEV.bin), os.environ.get("PATH", os.defpath)])}
    failed: list[str] = []
    for command in commands:
        print(f"== {' '.join(command)}", flush=True)
        program = str(DEV.bin / command[0])
        if subprocess.run([program, *command[1:]], cwd=ROOT, env=variables).returncode:
            failed.append(" ".join(command))
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def pythons(project: dict[str, Any]) -> list[str]:
    """The versions in the classifiers, but for this one, that are installed; says which are not."""
    prefix = "Programming Language :: Python :: 3."
    classifiers: list[str] = project["project"]["classifiers"]
    named = [line.rpartition(" ")[2] for line in classifiers if line.startswith(prefix)]
    others = [version for version in named if version != HERE]
    found = [version for version in others if interpreter(version)]
    if missing := [version for version in others if version not in found]:
        say(f"not installed, and so not tried: Python {', '.join(missing)}")
    return found


def interpreter(version: str) -> str | None:
    """The program of Python `version`, like "3.13", or None."""
    if version == HERE:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    programs = [which(f"python{version}"), *sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)]
    probe = "import sys; print('%d.%d' % sys.version_info[:2])"
    for program in programs:
        # A program of this name may be pyenv's shim, which only says that the version is not chosen.
        if program is not None:
            asked = subprocess.run([program, "-c", probe], capture_output=True, text=True)
            if asked.stdout.strip() == version:
                return str(program)
    return None


def requirements(level: str, project: dict[str, Any]) -> list[str]:
    """What pip is asked for."""
    if level == "demo":
        return ["-e", f"{ROOT}[demo,uvloop]"]
    extras: dict[str, list[str]] = project["project"]["optional-dependencies"]
    groups = project["dependency-groups"]
    found = ["-e", f"{ROOT}[{','.join(extras)}]", *group("dev" if level == "dev" else "test", groups)]
    if level == "lowest":
        allowed = [
            *project["project"]["dependencies"],
            *(line for extra in extras.values() for line in extra),
        ]
        found += map(lowest, allowed)
    return found


def lowest(requirement: str) -> str:
    """`aiohttp>=3.14.1,<5` as `aiohttp==3.14.1`."""
    return re.sub(r">=\s*([^\s,;]+)[^;]*", r"==\1", requirement, count=1)


def group(name: str, groups: dict[str, list[Any]]) -> list[str]:
    """The requirements of a dependency group, groups that it includes among them (PEP 735)."""
    found: list[str] = []
    for item in groups[name]:
        found += [item] if isinstance(item, str) else group(item["include-group"], groups)
    return found


def install(environment: Environment, project: dict[str, Any]) -> None:
    """Bring an environment up to date. The stamp is written last: an interrupted set-up is done again."""
    content = (ROOT / "pyproject.toml").read_bytes()
    told = (environment.maker, environment.version, sys.version_info[:3], str(ROOT))
    digest = hashlib.sha256(content + repr(told).encode()).hexdigest()
    folder = environment.folder
    stamps = [folder / "dev.stamp", folder / f"{environment.level}.stamp"]  # dev has what the demo needs
    if any(stamp.exists() and stamp.read_text("utf-8") == digest for stamp in stamps):
        return
    say(f"setting up {folder.name}/ (about half a minute, once)")
    if not usable(environment):
        if importlib.util.find_spec("ensurepip") is None:  # Debian keeps it in a package of its own
            package = f"python3.{sys.version_info.minor}-venv"
            if not apt_get([package]):
                sys.exit(f"rx_sse: this Python makes no virtual environments; {by_hand([package])}")
        run([environment.maker, "-m", "venv", "--clear", str(folder)])
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    wanted = requirements(environment.level, project)
    run([str(environment.python), "-m", "pip", "install", *quiet, *wanted])
    stamps[-1].write_text(digest, "utf-8")


def usable(environment: Environment) -> bool:
    """Whether it is there, of the right version, and has a pip that starts."""
    probe = f"import sys, pip; sys.exit('%d.%d' % sys.version_info[:2] != {environment.version!r})"
    try:
        command = [str(environment.python), "-c", probe]
        return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0
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


def execute(environment: Environment, command: list[str]) -> NoReturn:
    """Become `command`, in the environment: its signals, its exit code, its terminal."""
    path = os.pathsep.join([str(environment.bin), os.environ.get("PATH", os.defpath)])
    variables = {**os.environ, "PATH": path, "VIRTUAL_ENV": str(environment.folder)}
    program = shutil.which(command[0], path=path)
    if program is None:
        sys.exit(f"rx_sse: no command {command[0]!r}")
    os.chdir(ROOT)
    sys.stdout.flush()
    if os.name == "nt":  # there, exec returns to the shell at once
        sys.exit(subprocess.run([program, *command[1:]], env=variables).returncode)
    os.execve(program, [program, *command[1:]], variables)


def say(text: str) -> None:
    print(f"rx_sse: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
