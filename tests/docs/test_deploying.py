"""docs/deploying.md: its program runs under gunicorn, systemd accepts the unit, the probes exist."""

from __future__ import annotations

import asyncio
import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import aiohttp
import yaml

from ..conftest import PROJECT, ROOT
from ..ports import free_port
from .blocks import Page, running

PAGE = Page(ROOT / "docs" / "deploying.md")
(PROGRAM,) = [block for block in PAGE.blocks if block.info == "deploying"]


def shown(language: str) -> str:
    (block,) = [block for block in PAGE.blocks if block.language == language]
    return block.text


async def test_the_probes_of_kubernetes_are_answered(tmp_path: Path) -> None:
    manifest = yaml.safe_load(shown("yaml"))
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    probes = [container[kind]["httpGet"] for kind in ("readinessProbe", "livenessProbe")]
    assert {probe["port"] for probe in probes} == {port["containerPort"] for port in container["ports"]}
    wait = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    (drain,) = re.findall(r"drain=([\d.]+)", PROGRAM.text)
    assert pod["terminationGracePeriodSeconds"] > wait + float(drain) + 2
    port = ', port=int(os.environ.get("PORT", "8080"))'
    block = replace(PROGRAM, text=PROGRAM.text.replace(port, ""), info="")
    async with running(block, tmp_path) as address, aiohttp.ClientSession() as session:
        for probe in probes:
            async with session.get(address + probe["path"]) as answer:
                assert answer.status == 200, await answer.text()
        async with session.get(f"{address}/admin/") as answer:
            assert answer.status == 401


def test_the_image_installs_extras_that_exist_and_starts_the_program() -> None:
    lines = shown("dockerfile").splitlines()
    (extras,) = re.findall(r"\[([\w,]+)\]\"$", "\n".join(lines), re.MULTILINE)
    assert set(extras.split(",")) <= PROJECT["project"]["optional-dependencies"].keys()
    command = json.loads(lines[-1].removeprefix("CMD "))
    assert command == ["python", "app.py"] and "COPY app.py ." in lines
    assert {line.split()[0] for line in lines} <= {
        "FROM", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "STOPSIGNAL", "CMD",
    }  # fmt: skip


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    """Where there is no systemd, its sections and its signal are what is looked at."""
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
    unit.read_string(shown("ini"))
    assert unit.sections() == ["Unit", "Service", "Install"]
    assert unit["Service"]["KillSignal"] == "SIGTERM" and int(unit["Service"]["LimitNOFILE"]) > 20_000
    if analyze := shutil.which("systemd-analyze"):
        text = shown("ini").replace("/srv/app/.venv/bin/python", sys.executable)
        (tmp_path / "streams.service").write_text(text.replace("/srv/app", str(tmp_path)), "utf-8")
        command = [analyze, "verify", "--man=no", str(tmp_path / "streams.service")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert "streams.service" not in done.stderr, done.stderr


async def test_gunicorn_serves_it_as_shown(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(PROGRAM.text, "utf-8")
    port = free_port()
    words = shlex.split(shown("sh").replace("8080", str(port)).replace("--workers 2", "--workers 1"))
    log = (tmp_path / "log").open("wb")
    command = [sys.executable, "-m", *words, "--no-control-socket"]
    process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=log, stderr=log)
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(30):
            while True:
                try:
                    stream = await session.get(f"http://127.0.0.1:{port}/news")
                    break
                except aiohttp.ClientConnectorError:
                    assert process.returncode is None, (tmp_path / "log").read_text()
                    await asyncio.sleep(0.05)
            assert await stream.content.readline() == b": open\n"
            process.terminate()
            assert b"stream-reconnect" in await stream.content.read()
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        log.close()
