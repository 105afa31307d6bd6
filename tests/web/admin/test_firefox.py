"""The page in Firefox: a page of the test opens it in a window, looks, and acts."""

from __future__ import annotations

import pytest

import rx_sse
from rx_sse.testing import open_stream, serve
from tests.browser import Page, visiting_firefox
from tests.web.admin.scene import application

SCRIPT = """
const wait = ms => new Promise(done => setTimeout(done, ms));
const until = async truth => { while (!truth()) await wait(50); };
const admin = open("/admin/", "_blank"), $ = selector => admin.document.querySelector(selector);
const text = selector => $(selector)?.textContent ?? "";
await until(() => text("#streams").includes("GET /orders/a") && !text("#state"));
report("live", admin.document.documentElement.scrollWidth <= admin.innerWidth);
await until(() => $("#tiles path.line")?.getAttribute("d"));
report("charts", admin.getComputedStyle($("#tiles .tile")).backgroundColor != "rgba(0, 0, 0, 0)");
$("#follow [name=topic]").value = "orders:a";
$("#follow button").click();
await until(() => text("#debugger-note").includes("0 entries"));
$("#publish > button").click();
await until(() => text("#entries").includes('"test": true'));
report("followed");
$("#streams [data-part=end]:not([hidden])").click();
await until(() => $("#ask").open);
$("#ask .strong").click();
await until(() => text("#said").includes("ended GET"));
report("ended");
"""


@pytest.mark.slow
@pytest.mark.browser
async def test_the_page_works_in_firefox(firefox: str) -> None:
    app = application(rx_sse.MemoryBus(), scope=None)
    page = Page(SCRIPT)
    page.add_to(app, "/test/page")
    async with serve(app) as url, open_stream(url, "/orders/a?user=ada"):
        async with visiting_firefox(firefox, f"{url}/test/page"):
            assert await page.seen(40) == ["live", True]
            assert await page.seen() == ["charts", True]
            assert await page.seen() == ["followed"]
            assert await page.seen() == ["ended"]
