"""The audit log in a browser: rows that come by themselves, filters, the drawer, verifying, taking it away."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import PHONE, OpenPage
from tests.e2e.site import ELSEWHERE, PASSWORD, Site

pytestmark = pytest.mark.e2e


def row(page: Page, action: str, target: str) -> Locator:
    """The row that tells of this."""
    return page.locator(f"[data-action='{action}']").filter(has_text=target)


def test_a_row_comes_by_itself_and_opens_with_all_that_is_known(page: Page, site: Site) -> None:
    page.goto("/settings/audit")
    expect(page.get_by_test_id("audit-verify")).to_be_visible()
    hook = site.webhook(ELSEWHERE, headers={"X-Token": "planted-value"})
    made = row(page, "webhook.created", hook["name"])
    expect(made).to_be_visible()
    expect(made).to_contain_text(f"added webhook{hook['name']}")
    expect(made).to_contain_text(site.email)
    site.client.patch(f"/webhooks/{hook['id']}", json={"headers": {"X-Token": "planted-other"}}).raise_for_status()
    row(page, "webhook.changed", hook["name"]).get_by_role("button").click()
    drawer = page.get_by_test_id("audit-drawer")
    expect(drawer).to_contain_text(hook["id"])
    expect(page.get_by_test_id("audit-detail")).to_contain_text('"headers"')
    expect(drawer).not_to_contain_text("planted")
    page.reload()
    expect(page.get_by_test_id("audit-drawer")).to_contain_text("webhook.changed")
    page.get_by_test_id("audit-same-target").click()
    expect(page).to_have_url(re.compile(rf"/settings/audit\?target={hook['id']}$"))
    expect(page.get_by_test_id("audit-drawer")).to_be_hidden()
    expect(page.locator("[data-action]")).to_have_count(2)
    row(page, "webhook.created", hook["name"]).get_by_role("link", name=hook["name"]).click()
    expect(page).to_have_url(re.compile(rf"/webhooks/{hook['id']}$"))


def test_filters_are_in_the_url_and_back_works(page: Page, site: Site) -> None:
    hook = site.webhook(ELSEWHERE)
    site.client.delete(f"/webhooks/{hook['id']}").raise_for_status()
    site.post("/event-types", {"name": (name := site.event_type())})
    page.goto("/settings/audit")
    page.get_by_test_id("audit-q").fill(hook["name"])
    page.get_by_test_id("audit-q").press("Enter")
    expect(page).to_have_url(re.compile(r"\?q="))
    expect(page.locator("[data-action]")).to_have_count(2)
    # What is gone has no page to lead to.
    expect(row(page, "webhook.deleted", hook["name"]).get_by_role("link")).to_have_count(0)
    page.go_back()
    expect(row(page, "event_type.created", name)).to_be_visible()
    page.get_by_test_id("audit-subject").click()
    page.get_by_role("option", name="Event types").click()
    expect(page).to_have_url(re.compile(r"subject=event_type"))
    expect(row(page, "event_type.created", name)).to_be_visible()
    expect(page.locator("[data-action^='webhook.']")).to_have_count(0)
    page.get_by_test_id("audit-result").click()
    page.get_by_role("option", name="Failed").click()
    expect(page.get_by_test_id("nothing-matches")).to_be_visible()
    page.get_by_test_id("filter-none").click()
    expect(row(page, "webhook.created", hook["name"])).to_be_visible()
    page.goto(f"/settings/audit?actor={site.email}&span=1h")
    expect(row(page, "webhook.deleted", hook["name"])).to_be_visible()
    page.goto("/settings/audit?actor=nobody@example.com")
    expect(page.get_by_test_id("nothing-matches")).to_be_visible()


def test_older_rows_are_on_further_pages(page: Page, site: Site) -> None:
    for _ in range(26):
        site.post("/event-types", {"name": (name := site.event_type())})
        site.client.delete(f"/event-types/{name}").raise_for_status()
    page.goto("/settings/audit?subject=event_type")
    rows = page.locator("[data-action]")
    expect(rows).to_have_count(50)
    first = rows.first.get_attribute("data-testid")
    page.get_by_test_id("page-next").click()
    expect(rows.first).not_to_have_attribute("data-testid", str(first))
    expect(page).to_have_url(re.compile("cursor="))
    page.get_by_test_id("page-first").click()
    expect(rows.first).to_have_attribute("data-testid", str(first))


def test_the_log_is_verified_and_compared_with_a_head_that_was_kept(page: Page) -> None:
    page.goto("/settings/audit")
    page.get_by_test_id("audit-verify").click()
    verdict = page.get_by_test_id("audit-verdict")
    expect(verdict).to_have_attribute("data-intact", "true")
    expect(verdict).to_contain_text("each as it was written")
    head = page.get_by_test_id("audit-head").inner_text()
    assert re.fullmatch(r"\d+:[0-9a-f]{64}", head)
    page.get_by_test_id("audit-noted").fill("no head")
    page.get_by_test_id("audit-compare").click()
    expect(page.get_by_test_id("audit-problem")).to_contain_text("looks like")
    page.get_by_test_id("audit-noted").fill(head)
    page.get_by_test_id("audit-compare").click()
    expect(page.get_by_test_id("audit-problem")).to_be_hidden()
    expect(verdict).to_have_attribute("data-intact", "true")
    page.get_by_test_id("audit-noted").fill(f"1:{'0' * 64}")
    page.get_by_test_id("audit-compare").click()
    expect(verdict).to_have_attribute("data-intact", "false")
    expect(verdict).to_contain_text("Broken at row 1")


@pytest.mark.parametrize("format_", ["csv", "json", "jsonl"])
def test_what_the_filters_show_is_saved_as_a_file(page: Page, site: Site, tmp_path: Path, format_: str) -> None:
    hook = site.webhook(ELSEWHERE)
    page.goto(f"/settings/audit?target={hook['id']}")
    expect(row(page, "webhook.created", hook["name"])).to_be_visible()
    page.get_by_test_id("audit-export").click()
    with page.expect_download() as begun:
        page.get_by_test_id(f"audit-export-{format_}").click()
    assert re.fullmatch(rf"novapulse-audit-\d{{4}}-\d\d-\d\d\.{format_}", begun.value.suggested_filename)
    begun.value.save_as(tmp_path / "file")
    text = (tmp_path / "file").read_text()
    if format_ == "csv":
        names = [each["target_name"] for each in csv.DictReader(io.StringIO(text))]
    else:
        found = json.loads(text) if format_ == "json" else [json.loads(line) for line in text.splitlines()]
        names = [each["target"]["name"] for each in found]
    assert names == [hook["name"]]
    page.goto("/settings/audit")
    expect(page.locator("[data-action='audit.exported']").first).to_contain_text("exported the audit log")


def test_only_who_may_read_it_is_shown_the_log(site: Site, open_page: OpenPage) -> None:
    email = f"{site.mark}-viewer@example.com"
    site.post("/users", {"email": email, "password": PASSWORD, "role": "viewer"})
    other = Site(site.url, email, PASSWORD)
    other.sign_in()
    page = open_page(site.url, cookies=other.cookies())
    page.goto("/settings/audit")
    expect(page.get_by_role("heading", name="Only admins read the audit log")).to_be_visible()
    expect(page.get_by_test_id("nav-api-keys")).to_be_visible()
    expect(page.get_by_test_id("nav-audit-log")).to_have_count(0)
    expect(page.get_by_test_id("audit-verify")).to_have_count(0)


def test_it_is_read_on_a_phone(signed_in: Callable[..., Page], site: Site) -> None:
    hook = site.webhook(ELSEWHERE)
    page = signed_in(size=PHONE)
    page.goto("/settings/audit")
    made = row(page, "webhook.created", hook["name"])
    expect(made).to_contain_text(site.email)
    made.get_by_role("button").click()
    expect(page.get_by_test_id("audit-drawer")).to_contain_text(hook["id"])
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_failure_is_said_with_a_way_out(page: Page) -> None:
    page.goto("/settings/audit?cursor=bad")
    expect(page.get_by_role("alert")).to_contain_text("cursor")
    page.get_by_test_id("page-first").click()
    expect(page.locator("[data-action]").first).to_be_visible()
