"""Make the pictures of README.md and docs/ from what is there now: ``python -m tests.pictures``.

docs/demo.png is the demo's page in Chromium, in use: messages, a job, a connection that was cut.
docs/admin.png is the upper part of the admin page of an application in use.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
from pathlib import Path

import rx_sse
from rx_sse.demo.application import make_app
from rx_sse.testing import serve
from tests.conftest import ROOT, require
from tests.devtools import Tab, browsing
from tests.web.admin.scene import application, busy

DEMO = ROOT / "docs" / "demo.png"
ADMIN = ROOT / "docs" / "admin.png"
WIDTH = 1180

USE = """(async () => {
  const $ = (selector) => document.querySelector(selector);
  const wait = (ms) => new Promise((done) => setTimeout(done, ms));
  const send = async (form, text) => {
    $(`${form} input`).value = text;
    $(`${form} button`).click();
    await wait(300);
  };
  await send("article:nth-child(1)", "are you there?");
  $("[data-do=cut]").click();
  await send("article:nth-child(2)", "sent while the connection was cut");
  await send("#everyone", "hello, all of you");
  $("#job button").click();
})()"""


async def photograph(tab: Tab, file: Path, width: int = WIDTH, height: int | None = None) -> None:
    """Write the page as a PNG: the whole, or its upper part."""
    height = height or await tab.run("document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    shot = await tab.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
    await asyncio.to_thread(file.write_bytes, base64.b64decode(shot["data"]))


async def show(tab: Tab, url: str, *, width: int = WIDTH, theme: str = "light") -> None:
    """Open a page at a width, in a theme."""
    await tab.call(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=800, deviceScaleFactor=1, mobile=width < 500,
    )  # fmt: skip
    await tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
    await tab.navigate(url)


async def demo(chromium: str, file: Path = DEMO) -> None:
    """The demo after some seconds."""
    async with serve(make_app()) as url, browsing(chromium) as browser:
        tab = await browser.open("about:blank")
        await show(tab, url)
        await tab.until("document.querySelector('#live-state').dataset.state === 'open'")
        await tab.run(USE)
        await tab.until("document.querySelector('#job-line').textContent.includes('done')", timeout=90)
        await tab.until("document.querySelector('[data-count=missed]').textContent > '0'")
        await asyncio.sleep(3)
        await photograph(tab, file)


async def admin(chromium: str, file: Path = ADMIN, seconds: float = 120.0) -> None:
    """The admin page after some minutes."""
    bus = rx_sse.MemoryBus()
    async with busy(application(bus, scope=None), bus) as url, browsing(chromium) as browser:
        tab = await browser.open("about:blank")
        await show(tab, f"{url}/admin/")
        await asyncio.sleep(seconds)
        await photograph(tab, file, height=1_180)


if __name__ == "__main__":
    argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__).parse_args()
    asyncio.run(demo(require("chromium")))
    asyncio.run(admin(require("chromium")))
    print(f"wrote {DEMO.relative_to(ROOT)} and {ADMIN.relative_to(ROOT)}")
