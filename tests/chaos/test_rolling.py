"""The layout of several machines, restarted piece by piece under load: nobody outside may notice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, WebSocket, async_playwright

from tests import browser as chromium
from tests.chaos.conftest import wait_until
from tests.fleet import EMAIL, PASSWORD, fleet, has_nginx, valkey_server
from tests.receiver import Answer, receiving
from tests.traffic import Traffic

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not has_nginx(), reason="there is no nginx"),
]

NO_LIMITS = dict.fromkeys(("limit_api", "limit_public", "limit_screen", "limit_ingest"), "off")


class BrowserPage:
    """What became of a page that stayed open."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.sockets: list[WebSocket] = []
        self.errors: list[str] = []
        self.noticed = False
        self.address = ""
        page.on("websocket", lambda opened: self.sockets.append(opened))
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    async def sees_news(self) -> None:
        """Wait until the socket that is open now brings something, and note what the page shows."""
        async with asyncio.timeout(30):
            while self.sockets[-1].is_closed():
                await asyncio.sleep(0.05)
            await self.sockets[-1].wait_for_event("framereceived", lambda frame: "delta" in str(frame))
        self.noticed = await self._page.evaluate("window.noticed")
        self.address = self._page.url


_WATCH = """
window.noticed = false;
new MutationObserver(() => { window.noticed ||= document.querySelector(".np-notice") !== null; })
    .observe(document, {childList: true, subtree: true});
"""
_SIGN_IN = """([email, password]) => fetch("/api/v1/auth/login", {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({email, password}),
}).then((answer) => answer.status)"""


@asynccontextmanager
async def browser_page(url: str) -> AsyncGenerator[BrowserPage]:
    """The first page, open in a browser of somebody signed in."""
    path = chromium.find()
    if path is None:
        pytest.fail("there is no Chromium; `make browser` installs one")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(chromium.ARGUMENTS))
        context = await browser.new_context(ignore_https_errors=True)
        page = await context.new_page()
        await page.goto(f"{url}/login")
        assert await page.evaluate(_SIGN_IN, [EMAIL, PASSWORD]) == 200
        await context.add_init_script(_WATCH)
        made = BrowserPage(page)
        await page.goto(f"{url}/")
        async with asyncio.timeout(30):
            while not made.sockets:
                await asyncio.sleep(0.05)
        yield made
        await browser.close()


async def test_each_process_restarted_under_load_and_nobody_notices(tmp_path: Path, postgres_url: str) -> None:
    from tests.conftest import fresh_postgres

    database = await fresh_postgres(postgres_url)
    with (
        valkey_server(tmp_path / "valkey") as redis,
        receiving(lambda _: Answer(delay_s=0.05)) as receiver,
        fleet(tmp_path / "fleet", database, redis, **NO_LIMITS) as house,
    ):
        key = house.api_key("*")
        with house.client(key) as client:
            made = client.post("/api/v1/webhooks", json={"url": receiver.url(), "event_types": ["*"]})
            assert made.status_code == 201, made.text
        async with Traffic(house.url, key, per_s=40, pages=4) as traffic, browser_page(house.url) as page:
            # One of each kind at a time.
            for wave in ("web-1 worker-1", "web-2 worker-2 scheduler-1"):
                leaving = [process for process in house.processes if process.name in wave]
                await asyncio.gather(*(asyncio.to_thread(process.restart) for process in leaving))
                print(f"{wave} restarted; {len(traffic.ledger.failures)} failures so far")
            await page.sees_news()
        ledger = traffic.ledger
        print(f"{ledger.answers}, slowest {max(ledger.durations):.2f} s, {[p.opened for p in traffic.pages]}")
        assert ledger.failures == []
        assert len(ledger.accepted) > 200
        wait_until(lambda: set(receiver.counts()) >= set(ledger.accepted), 60, "all that was accepted arrived")
        counts = receiver.counts()
        assert set(counts) == set(ledger.accepted)
        assert counts.total() == len(counts), "graceful stops send nothing twice"
        # Each page lost its server at least once, was elsewhere at the first try, and still signed in.
        assert [page.refused for page in traffic.pages] == [[]] * 4
        assert all(page.opened >= 2 for page in traffic.pages)
        # The same in a real browser: no word of a lost connection, and not signed out.
        assert len(page.sockets) >= 2
        assert not page.noticed
        assert page.errors == []
        assert page.address == f"{house.url}/"
        for web in house.of("web"):
            assert "web_stopped" in web.log
        print(f"longest away {max(page.longest_away_s for page in traffic.pages):.2f} s")
