"""The first page: its figures, what happens now, and the first steps of a newcomer."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import OpenPage
from tests.e2e.site import EMAIL, PASSWORD, Site, wait_until
from tests.instance import Instance
from tests.receiver import Answer, Receiver, receiving

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def _feed(page: Page, type_: str) -> Locator:
    return page.get_by_test_id("feed-row").filter(has_text=type_)


def _figure(page: Page, name: str) -> str:
    return page.get_by_test_id(f"stat-{name}").inner_text()


def _day(site: Site) -> dict[str, Any]:
    """The last 24 hours of all webhooks, by the API."""
    total = {"delivered": 0, "failed": 0, "attempts": 0, "failed_attempts": 0, "open": 0}
    for webhook in site.get("/webhooks", limit="200")["data"]:
        stats = site.get(f"/webhooks/{webhook['id']}/stats", window="24h")
        for name in ("delivered", "failed", "attempts", "failed_attempts"):
            total[name] += stats[name]
        total["open"] += sum(stats["open"].values())
    rate = (total["attempts"] - total["failed_attempts"]) / total["attempts"] * 100
    return {name: str(total[name]) for name in ("delivered", "failed", "open")} | {
        "rate": f"{rate:.2f} %".replace("100.00", "100")
    }


def test_the_figures_say_what_the_api_says(page: Page, site: Site, receiver: Receiver) -> None:
    receiver.rule = lambda arrival: Answer(500 if b"bad" in arrival.body else 200)
    once, twice = site.event_type("once"), site.event_type("twice")
    failing = site.webhook(receiver.url(), once, retry={"schedule_s": [0]})
    site.webhook(receiver.url(), twice, retry={"schedule_s": [0, 3600]})
    page.goto("/")
    expect(page.get_by_test_id("stat-delivered")).to_be_visible()
    for how, status in (("good", "delivered"), ("good", "delivered"), ("bad", "retrying")):
        site.reaches(site.send(twice, how=how), status)
    failed = site.reaches(site.send(once, how="bad"), "failed")
    expected = _day(site)
    wait_until(lambda: all(_figure(page, name) == text for name, text in expected.items()), f"it shows {expected}")
    expect(page.get_by_test_id("stat-p95")).to_have_text(re.compile(r"\d+ ms"))
    expect(page.get_by_test_id("failing-webhook").filter(has_text=failing["name"])).to_contain_text("failing")
    page.get_by_test_id("latest-failure").filter(has_text=once).get_by_role("link").click()
    expect(page).to_have_url(f"{site.url}/webhooks/{failing['id']}?delivery={failed['id']}")
    expect(page.get_by_test_id("delivery-drawer")).to_contain_text(failed["id"])


def test_a_row_of_what_happens_now_leads_to_its_delivery(page: Page, site: Site, receiver: Receiver) -> None:
    type_ = site.event_type()
    made = site.webhook(receiver.url(), type_)
    page.goto("/")
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")
    expect(_feed(page, type_)).to_have_count(0)
    delivery = site.reaches(site.send(type_), "delivered")
    expect(_feed(page, type_)).to_contain_text(re.compile(r"delivered.*\d+ ms.*(now|ago)"))
    _feed(page, type_).get_by_role("link").click()
    expect(page).to_have_url(f"{site.url}/webhooks/{made['id']}?delivery={delivery['id']}")
    expect(page.get_by_test_id("attempt")).to_be_visible()
    page.go_back()
    expect(_feed(page, type_)).to_be_visible()


def test_queues_and_workers_are_those_of_the_api(page: Page, site: Site) -> None:
    page.goto("/")
    stats = site.get("/queue/stats")
    names = [queue["name"] for queue in stats["queues"]]
    expect(page.get_by_role("rowheader")).to_have_text(names)
    for queue in stats["queues"]:
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name=queue["name"]))
        expect(row.get_by_role("cell").last).to_have_text(queue["health"])
    for worker in stats["workers"]:
        expect(page.get_by_text(worker["name"], exact=True)).to_be_visible()


@pytest.fixture
def fresh(new_instance: Callable[..., Instance]) -> Site:
    """A NovaPulse in which nothing was done yet."""
    instance = new_instance(admin_email=EMAIL, admin_password=PASSWORD)
    site = Site(instance.url, EMAIL, PASSWORD, instance)
    site.sign_in()
    return site


def test_a_newcomer_is_led_step_by_step(fresh: Site, open_page: OpenPage) -> None:
    page = open_page(fresh.url, cookies=fresh.cookies())

    def done(*expected: bool) -> None:
        page.get_by_test_id("nav-overview").click()
        for place, each in enumerate(expected):
            expect(page.get_by_test_id("step").nth(place)).to_have_attribute("data-done", str(each).lower())

    page.goto("/")
    expect(page.get_by_text("None: every webhook that was sent to answers.")).to_be_visible()
    done(False, False, False)
    with receiving() as receiver:
        page.get_by_role("link", name="Add a webhook").click()
        expect(page.get_by_test_id("webhook-timeout-s")).to_have_value("15")
        page.get_by_test_id("webhook-url").fill(receiver.url())
        page.get_by_test_id("webhook-save").click()
        expect(page.get_by_test_id("webhook-open")).to_be_visible()
        done(True, False, False)
        page.get_by_role("link", name="Send a test").click()
        page.locator("[data-testid^=webhook-row-]").get_by_role("link").click()
        page.get_by_test_id("test-open").click()
        page.get_by_test_id("test-send").click()
        expect(page.get_by_test_id("test-result")).to_contain_text("200")
        page.get_by_role("button", name="Close").click()
        done(True, True, False)
    page.get_by_role("link", name="Make an API key").click()
    page.get_by_test_id("key-create").click()
    page.get_by_test_id("key-name").fill("First program")
    page.get_by_test_id("key-save").click()
    page.get_by_test_id("key-kept").click()
    page.get_by_test_id("nav-overview").click()
    expect(page.get_by_test_id("feed-row")).to_have_count(1)
    expect(page.get_by_test_id("checklist")).to_have_count(0)
