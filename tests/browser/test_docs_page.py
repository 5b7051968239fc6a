"""The page of the documentation in a real browser: it shows the routes, and nothing of it offends its own policy."""

import asyncio
import json
from pathlib import Path
from typing import Final

import pytest
from fastapi import APIRouter

from apps.http.access import Access
from apps.http.app import application, serve
from tests.browser.chromium import PROGRAM, Browser

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed: run make browser-test, which installs it")

LOOKS: Final = """
  (async () => {
    const refused = [];
    const noted = (reports) => refused.push(...reports.map(each => [each.body.effectiveDirective, each.body.blockedURL]));
    new ReportingObserver(noted, {types: ['csp-violation'], buffered: true}).observe();
    const pause = () => new Promise(done => setTimeout(done, 50));
    const until = async (name) => { for (let tries = 0; tries < 200 && !document.querySelector(name); tries += 1) await pause(); };
    await until('.opblock');
    document.querySelector('.opblock-summary-control')?.click();
    await until('.try-out__btn');
    document.querySelector('.try-out__btn')?.click();
    await until('.execute');
    await pause();
    const loaded = performance.getEntriesByType('resource').map(each => new URL(each.name));
    return JSON.stringify({
      shown: document.querySelector('.opblock')?.innerText ?? '',
      styled: getComputedStyle(document.querySelector('.swagger-ui .opblock')).borderRadius,
      elsewhere: loaded.filter(each => each.protocol !== 'data:' && each.host !== location.host).map(String),
      refused,
    });
  })()
"""


async def test_the_documentation_is_whole_without_another_host_and_within_its_policy(tmp_path: Path) -> None:
    router = APIRouter()

    @router.get("/lines/{count}", summary="Number of lines")
    async def lines(count: int) -> None: ...

    listener = await serve(application("test", router), "127.0.0.1", 0, Access(), None)

    def look() -> dict[str, object]:
        with Browser(tmp_path, {}) as browser:
            found: dict[str, object] = json.loads(browser.page(f"http://127.0.0.1:{listener.port}/docs").evaluate(LOOKS))
            return found

    found = await asyncio.to_thread(look)
    await listener.stop()
    assert "Number of lines" in str(found["shown"])
    assert found["styled"] == "4px"
    assert found["elsewhere"] == []
    assert found["refused"] == []
