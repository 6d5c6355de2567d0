"""The list of webhooks, and what is done to those on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.site import ELSEWHERE, Site

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def _row(page: Page, webhook: dict[str, Any]) -> Locator:
    return page.get_by_test_id(f"webhook-row-{webhook['id']}")


def _choose(page: Page, filter_: str, choice: str) -> None:
    page.get_by_test_id(filter_).click()
    page.get_by_role("option", name=choice, exact=True).click()


def _status(site: Site, webhook: dict[str, Any]) -> str:
    return site.get(f"/webhooks/{webhook['id']}")["status"]


def test_search_and_filter_live_in_the_url_and_back_undoes_them(page: Page, site: Site) -> None:
    running, paused = site.webhook(ELSEWHERE), site.webhook(ELSEWHERE)
    site.client.patch(f"/webhooks/{paused['id']}", json={"status": "paused"}).raise_for_status()
    page.goto("/webhooks")
    page.get_by_test_id("webhook-search").fill(site.mark)
    page.get_by_test_id("webhook-search").press("Enter")
    expect(page).to_have_url(f"{site.url}/webhooks?q={site.mark}")
    expect(_row(page, paused)).to_be_visible()
    _choose(page, "filter-status", "Active")
    expect(page).to_have_url(f"{site.url}/webhooks?q={site.mark}&status=active")
    expect(_row(page, paused)).to_have_count(0)
    expect(_row(page, running)).to_be_visible()
    page.go_back()
    expect(page).to_have_url(f"{site.url}/webhooks?q={site.mark}")
    expect(_row(page, paused)).to_be_visible()
    expect(page.get_by_test_id("filter-status")).to_have_text("Any status")


def test_a_shared_link_shows_the_same_list(page: Page, site: Site) -> None:
    wanted, other = site.webhook(ELSEWHERE), site.webhook(ELSEWHERE)
    page.goto(f"/webhooks?q={wanted['id']}&status=active&health=idle")
    expect(_row(page, wanted)).to_be_visible()
    expect(_row(page, other)).to_have_count(0)
    expect(page.get_by_test_id("webhook-search")).to_have_value(wanted["id"])
    expect(page.get_by_test_id("filter-status")).to_have_text("Active")
    expect(page.get_by_test_id("filter-health")).to_have_text("Idle")


def test_a_search_without_a_result_says_so(page: Page, site: Site) -> None:
    page.goto(f"/webhooks?q={site.name('nothing')}")
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()


def test_many_are_paused_enabled_and_deleted_at_once(page: Page, site: Site) -> None:
    first, second, kept = (site.webhook(ELSEWHERE) for _ in range(3))
    page.goto(f"/webhooks?q={site.mark}")

    def select() -> None:
        for webhook in (first, second):
            _row(page, webhook).get_by_role("checkbox").click()
        expect(page.get_by_text("2 selected")).to_be_visible()

    select()
    page.get_by_test_id("bulk-pause").click()
    expect(page.get_by_text("2 webhooks paused.")).to_be_visible()
    expect(_row(page, first)).to_contain_text("paused")
    assert [_status(site, each) for each in (first, second, kept)] == ["paused", "paused", "active"]
    select()
    page.get_by_test_id("bulk-enable").click()
    expect(page.get_by_text("2 webhooks enabled.")).to_be_visible()
    assert [_status(site, each) for each in (first, second, kept)] == ["active"] * 3
    select()
    page.get_by_test_id("bulk-delete").click()
    page.get_by_role("button", name="Keep them").click()
    expect(_row(page, first)).to_be_visible()
    page.get_by_test_id("bulk-delete").click()
    page.get_by_test_id("bulk-delete-confirm").click()
    expect(_row(page, first)).to_have_count(0)
    assert [each["id"] for each in site.get("/webhooks", q=site.mark)["data"]] == [kept["id"]]


def test_a_change_in_one_browser_shows_in_another(page: Page, site: Site, signed_in: Callable[..., Page]) -> None:
    made = site.webhook(ELSEWHERE)
    listed, detail = signed_in(), signed_in()
    listed.goto(f"/webhooks?q={site.mark}")
    expect(_row(listed, made)).to_contain_text("active")
    detail.goto(f"/webhooks/{made['id']}")
    expect(detail.get_by_test_id("webhook-pause")).to_be_visible()
    page.goto(f"/webhooks/{made['id']}")
    page.get_by_test_id("webhook-pause").click()
    expect(_row(listed, made)).to_contain_text("paused")
    expect(detail.get_by_test_id("webhook-enable")).to_be_visible()
    another = site.webhook(ELSEWHERE)
    expect(_row(listed, another)).to_be_visible()
    site.client.delete(f"/webhooks/{another['id']}").raise_for_status()
    expect(_row(listed, another)).to_have_count(0)
