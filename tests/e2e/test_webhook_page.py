"""The page of one webhook: its log as it grows, its tabs, and what is done to it there."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from novapulse.core.ids import floor_id
from tests.e2e.site import ELSEWHERE, Site
from tests.receiver import Answer, Receiver

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

DAY_MS = 24 * 3600 * 1000
PAGE = 25  # rows of the log on a page
LATER = {"schedule_s": [0, 3600]}  # a retry that no test waits for


def _rows(page: Page) -> Locator:
    return page.locator("[data-testid^=delivery-row-]")


def _row(page: Page, delivery: dict[str, Any]) -> Locator:
    return page.get_by_test_id(f"delivery-row-{delivery['id']}")


def _choose(page: Page, filter_: str, choice: str) -> None:
    page.get_by_test_id(filter_).click()
    page.get_by_role("option", name=choice, exact=True).click()


def _paused(site: Site, event_types: str) -> dict[str, Any]:
    """A webhook whose deliveries wait."""
    made = site.webhook(ELSEWHERE, event_types)
    return site.client.patch(f"/webhooks/{made['id']}", json={"status": "paused"}).raise_for_status().json()


def test_the_log_says_of_each_delivery_what_became_of_it(page: Page, site: Site, receiver: Receiver) -> None:
    receiver.rule = lambda arrival: Answer(503 if b"bad" in arrival.body else 204)
    type_ = site.event_type()
    made = site.webhook(receiver.url(), type_, retry=LATER)
    good = site.reaches(site.send(type_, how="good"), "delivered")
    bad = site.reaches(site.send(type_, how="bad"), "retrying")
    page.goto(f"/webhooks/{made['id']}")
    expect(_rows(page)).to_have_count(2)
    newest, oldest = _rows(page).nth(0), _rows(page).nth(1)
    expect(newest).to_have_attribute("data-testid", f"delivery-row-{bad['id']}")
    expect(newest.get_by_role("cell")).to_have_text(
        ["retrying", "503", "1", re.compile(r"in (59 min|1 h)"), re.compile("now|ago")]
    )
    expect(oldest.get_by_role("cell")).to_have_text(["delivered", "204", "1", "–", re.compile("now|ago")])
    expect(oldest.get_by_role("rowheader")).to_contain_text(type_)
    assert good["status"] == "delivered"


def test_filters_live_in_the_url_and_back_undoes_them(page: Page, site: Site, receiver: Receiver) -> None:
    receiver.rule = lambda arrival: Answer(500 if b"bad" in arrival.body else 200)
    paid, late = site.event_type("paid"), site.event_type("late")
    made = site.webhook(receiver.url(), "e2e.*", retry=LATER)
    good = site.reaches(site.send(paid, how="good"), "delivered")
    bad = site.reaches(site.send(paid, how="bad"), "retrying")
    other = site.reaches(site.send(late, how="bad"), "retrying")
    start = f"{site.url}/webhooks/{made['id']}"
    page.goto(start)
    expect(_rows(page)).to_have_count(3)
    _choose(page, "log-status", "Retrying")
    expect(page).to_have_url(f"{start}?status=retrying")
    expect(_row(page, good)).to_have_count(0)
    expect(_rows(page)).to_have_count(2)
    page.get_by_test_id("log-event-type").fill(paid)
    page.get_by_test_id("log-event-type").press("Enter")
    expect(page).to_have_url(f"{start}?status=retrying&event_type={paid}")
    expect(_row(page, other)).to_have_count(0)
    expect(_row(page, bad)).to_be_visible()
    page.go_back()
    expect(_row(page, other)).to_be_visible()
    expect(page.get_by_test_id("log-event-type")).to_have_value("")
    page.go_back()
    expect(_row(page, good)).to_be_visible()
    expect(page.get_by_test_id("log-status")).to_have_text("Any status")


def test_a_span_of_time_leaves_out_what_is_older(page: Page, site: Site) -> None:
    if site.instance is None:
        pytest.skip("makes a delivery older, in the database of an instance of its own")
    type_ = site.event_type()
    made = _paused(site, type_)
    new, old = (site.delivery(site.send(type_)) for _ in range(2))
    with sqlite3.connect(site.instance.folder / "data" / "novapulse.db", timeout=10) as database:
        when = database.execute("SELECT created_at FROM delivery WHERE id = ?", (old["id"],)).fetchone()[0] - 2 * DAY_MS
        aged = floor_id("dlv", when)
        database.execute("UPDATE delivery SET id = ?, created_at = ? WHERE id = ?", (aged, when, old["id"]))
    database.close()
    page.goto(f"/webhooks/{made['id']}?span=24h")
    expect(page.get_by_test_id("log-span")).to_have_text("Last 24 h")
    expect(_row(page, new)).to_be_visible()
    expect(_rows(page)).to_have_count(1)
    _choose(page, "log-span", "Last 7 days")
    expect(page).to_have_url(f"{site.url}/webhooks/{made['id']}?span=7d")
    expect(page.get_by_test_id(f"delivery-row-{aged}")).to_contain_text("2 d ago")


def test_the_log_grows_by_itself_until_it_is_held(page: Page, site: Site, signed_in: Callable[..., Page]) -> None:
    type_ = site.event_type()
    made = _paused(site, type_)
    other = signed_in()
    for each in (page, other):
        each.goto(f"/webhooks/{made['id']}")
        expect(each.get_by_test_id("empty")).to_be_visible()
    page.evaluate("window.sinceItWasLoaded = true")
    first = site.delivery(site.send(type_))
    expect(_row(page, first)).to_be_visible()
    page.get_by_test_id("log-live").click()
    expect(page.get_by_role("switch")).not_to_be_checked()
    for _ in range(2):  # by the time of the second, what is said of the first has come everywhere
        held = site.delivery(site.send(type_))
        expect(_row(other, held)).to_be_visible()
    assert _rows(page).count() == 1
    page.get_by_test_id("log-live").click()
    expect(_rows(page)).to_have_count(3)
    assert page.evaluate("window.sinceItWasLoaded")


def test_older_deliveries_are_a_page_away(page: Page, site: Site) -> None:
    type_ = site.event_type()
    made = _paused(site, type_)
    site.post("/events/batch", {"events": [{"type": type_, "data": {"n": n}} for n in range(PAGE + 3)]})
    all_ = site.get(f"/webhooks/{made['id']}/deliveries")["data"]
    page.goto(f"/webhooks/{made['id']}")
    expect(_rows(page)).to_have_count(PAGE)
    expect(page.get_by_test_id("log-newest")).to_have_count(0)
    page.get_by_test_id("log-older").click()
    expect(_rows(page)).to_have_count(3)
    expect(_row(page, all_[-1])).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?cursor=\w+"))
    expect(page.get_by_test_id("log-older")).to_have_count(0)
    page.reload()
    expect(_row(page, all_[-1])).to_be_visible()
    page.get_by_test_id("log-newest").click()
    expect(_row(page, all_[0])).to_be_visible()
    expect(page).to_have_url(f"{site.url}/webhooks/{made['id']}")
    page.go_back()
    expect(_row(page, all_[-1])).to_be_visible()


def test_tabs_live_in_the_url_and_back_leads_through_them(page: Page, site: Site) -> None:
    made = site.webhook(ELSEWHERE, "invoice.*", timeout_s=7, rate_limit=2.5, headers={"Authorization": "Bearer hidden"})
    page.goto(f"/webhooks/{made['id']}")
    page.get_by_test_id("tab-settings").click()
    expect(page).to_have_url(f"{site.url}/webhooks/{made['id']}?tab=settings")
    for says in ("invoice.*", "7 s", "2.5 per second", made["id"]):
        expect(page.get_by_role("tabpanel").get_by_text(says, exact=True)).to_be_visible()
    expect(page.get_by_role("tabpanel")).not_to_contain_text("hidden")
    page.get_by_test_id("tab-time").click()
    expect(page.get_by_test_id("attempts-chart")).to_be_visible()
    page.go_back()
    expect(page.get_by_test_id("settings-edit")).to_be_visible()
    page.go_back()
    expect(page.get_by_test_id("tab-deliveries")).to_have_attribute("aria-selected", "true")


def test_the_chart_says_what_the_api_says(page: Page, site: Site, receiver: Receiver) -> None:
    receiver.rule = lambda arrival: Answer(500 if b"bad" in arrival.body else 200)
    type_ = site.event_type()
    made = site.webhook(receiver.url(), type_, retry=LATER)
    for how in ("good", "good", "bad"):
        site.reaches(site.send(type_, how=how), "retrying" if how == "bad" else "delivered")

    def summary(window: str) -> str:
        stats = site.get(f"/webhooks/{made['id']}/stats", window=window)
        slowest = max(point["p95_ms"] or 0 for point in stats["series"])
        ok = stats["attempts"] - stats["failed_attempts"]
        return f"{ok} attempts delivered, {stats['failed_attempts']} failed; highest p95 {slowest:.0f} ms."

    page.goto(f"/webhooks/{made['id']}?tab=time")
    shown = page.get_by_test_id("attempts-summary")
    expect(shown).to_have_text(summary("1h"))
    expect(shown).to_contain_text("2 attempts delivered, 1 failed")
    page.get_by_test_id("over-15m").click()
    expect(page).to_have_url(f"{site.url}/webhooks/{made['id']}?tab=time&over=15m")
    expect(page.locator(".recharts-bar-rectangle path").first).to_be_attached()
    site.reaches(site.send(type_, how="good"), "delivered")
    expect(shown).to_contain_text("3 attempts delivered, 1 failed")
    page.reload()
    expect(page.get_by_role("radio", name="15 min")).to_be_checked()
    expect(shown).to_have_text(summary("15m"))


def test_the_figures_say_what_the_api_says(page: Page, site: Site, receiver: Receiver) -> None:
    receiver.rule = lambda arrival: Answer(500 if b"bad" in arrival.body else 200)
    type_ = site.event_type()
    made = site.webhook(receiver.url(), type_, retry={"schedule_s": [0]})
    for how in ("good", "good", "bad"):
        site.reaches(site.send(type_, how=how), "failed" if how == "bad" else "delivered")
    page.goto(f"/webhooks/{made['id']}")
    stats = site.get(f"/webhooks/{made['id']}/stats", window="24h")
    assert (stats["delivered"], stats["failed"]) == (2, 1)
    expect(page.get_by_test_id("webhook-delivered")).to_have_text("2")
    expect(page.get_by_test_id("webhook-failed")).to_have_text("1")
    expect(page.get_by_text("66.7 %")).to_be_visible()
    page.get_by_test_id("window-7d").click()
    expect(page).to_have_url(f"{site.url}/webhooks/{made['id']}?window=7d")


def test_a_receiver_that_recovers_is_seen_to(page: Page, site: Site, receiver: Receiver) -> None:
    receiver.rule = lambda _: Answer(500)
    type_ = site.event_type()
    made = site.webhook(receiver.url(), type_, retry={"schedule_s": [0, *[0.5] * 15]})
    page.goto(f"/webhooks/{made['id']}")
    expect(page.get_by_test_id("empty")).to_be_visible()
    delivery = site.delivery(site.send(type_))
    row = _row(page, delivery)
    expect(row).to_have_attribute("data-status", "retrying")
    expect(page.locator("[data-status=failing]")).to_be_visible()
    receiver.rule = lambda _: Answer(200)
    expect(row).to_have_attribute("data-status", "delivered")
    expect(row).to_contain_text("200")
    attempts = site.delivery(delivery["event_id"])["attempt_count"]
    assert attempts == len(receiver.arrivals) > 1
    expect(row.get_by_role("cell").nth(2)).to_have_text(str(attempts))


def test_a_webhook_that_was_deleted_meanwhile_is_said_to_be_gone(page: Page, site: Site) -> None:
    made = site.webhook(ELSEWHERE)
    page.goto(f"/webhooks/{made['id']}")
    expect(page.get_by_test_id("empty")).to_be_visible()
    site.client.delete(f"/webhooks/{made['id']}").raise_for_status()
    expect(page.get_by_role("alert")).to_contain_text("There is no webhook")
    page.goto(f"/webhooks/{made['id']}")
    expect(page).to_have_url(f"{site.url}/webhooks")


def test_a_paused_webhook_gets_its_events_when_it_is_enabled(page: Page, site: Site, receiver: Receiver) -> None:
    type_ = site.event_type()
    made = site.webhook(receiver.url(), type_)
    page.goto(f"/webhooks/{made['id']}")
    page.get_by_test_id("webhook-pause").click()
    expect(page.get_by_test_id("webhook-enable")).to_be_visible()
    event = site.send(type_)
    expect(_rows(page)).to_have_attribute("data-status", "pending")
    assert receiver.arrivals == []
    page.get_by_test_id("webhook-enable").click()
    expect(_rows(page)).to_have_attribute("data-status", "delivered")
    assert [each.headers["webhook-id"] for each in receiver.arrivals] == [event]


def test_deleting_asks_for_the_name(page: Page, site: Site) -> None:
    made = site.webhook(ELSEWHERE)
    page.goto(f"/webhooks/{made['id']}")
    page.get_by_test_id("webhook-delete").click()
    confirm = page.get_by_test_id("confirm-delete")
    expect(confirm).to_be_disabled()
    page.get_by_test_id("confirm-name").fill(made["name"][:-1])
    expect(confirm).to_be_disabled()
    page.get_by_test_id("confirm-name").press_sequentially(made["name"][-1])
    expect(confirm).to_be_enabled()
    page.get_by_role("button", name="Keep it").click()
    page.get_by_test_id("webhook-delete").click()
    expect(confirm, "what was typed before counts no more").to_be_disabled()
    page.get_by_test_id("confirm-name").fill(made["name"])
    confirm.click()
    expect(page).to_have_url(f"{site.url}/webhooks")
    assert site.client.get(f"/webhooks/{made['id']}").status_code == 404


def test_the_secret_is_shown_and_rotated_on_demand(page: Page, site: Site) -> None:
    made = site.webhook(ELSEWHERE)
    page.goto(f"/webhooks/{made['id']}")
    page.get_by_test_id("tab-secret").click()
    expect(page).to_have_url(f"{site.url}/webhooks/{made['id']}?tab=secret")
    expect(page.get_by_test_id("secret-value")).to_have_count(0)
    page.get_by_test_id("secret-reveal").click()
    expect(page.get_by_test_id("secret-value")).to_have_text(made["secret"])
    page.get_by_test_id("secret-rotate").click()
    page.get_by_test_id("secret-rotate-confirm").click()
    expect(page.get_by_test_id("secret-value")).not_to_have_text(made["secret"])
    expect(page.get_by_test_id("secret-previous")).to_be_visible()
    both = site.get(f"/webhooks/{made['id']}/secret")
    assert [each["secret"] for each in both["previous"]] == [made["secret"]]
