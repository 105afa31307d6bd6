"""Where the peers come from: a Python environment, a folder of Node modules, Debian's package of nchan.

Everything goes below one cache folder. Nothing is installed into the system, and nothing is fetched twice.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

SERVERS = Path(__file__).resolve().parent / "servers"
PLACES = ("/usr/sbin", "/usr/local/go/bin")
"""Where Debian keeps servers, and Go's own archive its compiler: an ordinary user's PATH leaves both out."""
NCHAN = "ngx_nchan_module.so"
GO_ENVIRONMENT = {
    "GO111MODULE": "off",  # one file and the standard library
    "GOTOOLCHAIN": "local",
    "GOPROXY": "off",  # nothing is fetched
    "CGO_ENABLED": "0",
}
NEST_COMPILER = (
    *("--target", "es2022", "--module", "nodenext", "--skipLibCheck", "--noCheck"),
    *("--experimentalDecorators", "--emitDecoratorMetadata"),  # what Nest's own project template sets
)


class Unavailable(Exception):
    """A peer cannot be had here. The reason goes into the report."""


def python(cache: Path) -> Path:
    """The interpreter of the Python peers' environment."""
    folder = cache / "python"
    wanted = SERVERS / "requirements.txt"
    if _stale(folder, wanted):
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)], 120)
        _run(
            [str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)],
            600,
        )
        _stamp(folder, wanted)
    return folder / "bin/python"


def node(cache: Path) -> Path:
    """The folder of the Node peers: their modules, our servers, Nest's compiled."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise Unavailable("no node and npm on this machine")
    folder = cache / "node"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = SERVERS / "package.json"
    if _stale(folder, wanted):
        shutil.copy(wanted, folder)
        _run(
            ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"], 600, folder
        )
        _stamp(folder, wanted)
    for path in SERVERS.glob("*.mjs"):
        shutil.copy(path, folder)
    shutil.copy(SERVERS / "nest_server.ts", folder)
    _run(["node_modules/.bin/tsc", *NEST_COMPILER, "nest_server.ts"], 120, folder)
    return folder


def go(cache: Path) -> tuple[Path, str]:
    """Our server on Go's `net/http`, built anew only when it or the compiler changes, and Go's version."""
    compiler = _program("go", "golang-go")
    version = _run([compiler, "version"], 20).split()[2].removeprefix("go")
    folder, source = cache / "go", SERVERS / "go_server.go"
    digest = hashlib.sha256(source.read_bytes() + version.encode()).hexdigest()[:12]
    program = folder / f"server-{digest}"
    if not program.exists():
        folder.mkdir(parents=True, exist_ok=True)
        part = program.with_suffix(".part")
        environment = {
            **os.environ,
            **GO_ENVIRONMENT,
            "GOCACHE": str(folder / "cache"),
            "GOPATH": str(folder),
        }
        _run([compiler, "build", "-o", str(part), str(source)], 300, environment=environment)
        part.rename(program)
    return program, version


def nginx() -> str:
    """The nginx program."""
    return _program("nginx", "nginx-light")


def redis() -> str:
    """The Redis server program."""
    return _program("redis-server", "redis-server")


def redis_version(program: str) -> str:
    """What it calls itself."""
    return "Redis " + _run([program, "--version"], 20).partition("v=")[2].split()[0]


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *PLACES]))
    if found is None:
        raise Unavailable(f"no {name} on this machine (Debian: apt-get install {package})")
    return found


def nchan(cache: Path) -> Path:
    """nginx's push module: the installed one, or Debian's package unpacked beside the other peers."""
    nginx()
    for folder in (Path("/usr/lib/nginx/modules"), cache / "nchan/usr/lib/nginx/modules"):
        if (folder / NCHAN).exists():
            return folder / NCHAN
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Unavailable(f"{NCHAN} is not installed, and this is no Debian to fetch it from")
    target = cache / "nchan"
    target.mkdir(parents=True, exist_ok=True)
    _run(["apt-get", "-qq", "download", "libnginx-mod-nchan"], 120, target)
    package = next(target.glob("libnginx-mod-nchan_*.deb"))
    _run(["dpkg-deb", "--extract", str(package), str(target)], 60)
    return target / "usr/lib/nginx/modules" / NCHAN


def nchan_version(module: Path) -> str:
    """The version of Debian's package that `module` comes from."""
    packages = [path.name for path in module.parents[4].glob("libnginx-mod-nchan_*.deb")]
    if packages:
        return packages[0].split("_")[1].replace("%3a", ":")
    return _run(["dpkg-query", "-W", "-f=${Version}", "libnginx-mod-nchan"], 20)


def _stale(folder: Path, wanted: Path) -> bool:
    stamp = folder / "stamp"
    return not stamp.exists() or stamp.read_text("utf-8") != _digest(wanted)


def _stamp(folder: Path, wanted: Path) -> None:
    (folder / "stamp").write_text(_digest(wanted), "utf-8")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes() + sys.version.encode()).hexdigest()


def _run(
    command: Sequence[str],
    limit: float,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    try:
        done = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=limit
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{' '.join(command[:3])}: {error}") from error
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Unavailable(f"{' '.join(command[:3])}: {reason[-1] if reason else f'exit {done.returncode}'}")
    return done.stdout
