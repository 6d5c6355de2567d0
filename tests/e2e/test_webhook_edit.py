"""Changing a webhook by the form: what was not touched comes through unharmed, whatever the API made it."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.site import ELSEWHERE, Site
from tests.e2e.test_webhook_form import add_header, save
from tests.receiver import Receiver

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ODD: dict[str, Any] = {
    "name": " spaces around it ",
    "description": "two\r\nlines\n",
    "tenant": "acme/eu:1",
    "event_types": ["*", "invoice.paid", "invoice.*"],
    "headers": {"X-Odd": " a, b: c ", "Authorization": "Bearer kept", "X-Empty": ""},
    "rate_limit": 1234.5678,
    "timeout_s": 1.25,
    "retry": {"schedule_s": [0, 0, 0.1, 0.3333333333333333, 123456.789]},
    "ordered": True,
}
KEPT = ("url", "event_types", "headers", "timeout_s", "retry", "rate_limit", "tenant", "ordered", "status")


def test_an_edit_changes_what_was_edited_and_keeps_the_rest(page: Page, site: Site, receiver: Receiver) -> None:
    made = site.webhook(receiver.url(), **{**ODD, "name": site.name()})
    site.client.patch(f"/webhooks/{made['id']}", json={"event_types": ODD["event_types"]}).raise_for_status()
    made = site.get(f"/webhooks/{made['id']}")
    page.goto(f"/webhooks/{made['id']}/edit")
    name = page.get_by_test_id("webhook-name")
    expect(name).to_have_value(made["name"])
    expect(page.get_by_test_id("header-value").nth(1)).not_to_have_value("Bearer kept")
    expect(page.get_by_test_id("webhook-retry")).to_have_value("0 s, 0 s, 0.1 s, 0.3333333333333333 s, 123456.789 s")
    expect(page.get_by_test_id("error-retry")).to_have_count(0)
    expect(page.get_by_test_id("url-verdict")).to_have_attribute("data-verdict", "fine")
    name.fill(site.name("changed"))
    changed = name.input_value()
    save(page)
    expect(page).to_have_url(f"{site.url}/webhooks/{made['id']}")
    expect(page.get_by_role("heading", name=changed)).to_be_visible()
    now = site.get(f"/webhooks/{made['id']}")
    assert {key: now[key] for key in (*KEPT, "description")} == {key: made[key] for key in (*KEPT, "description")}
    site.post(f"/webhooks/{made['id']}/test")
    assert receiver.arrivals[-1].headers["authorization"] == "Bearer kept"
    assert receiver.arrivals[-1].headers["x-odd"].strip() == "a, b: c"


def test_saving_without_a_change_changes_nothing(page: Page, site: Site) -> None:
    made = site.webhook(ELSEWHERE, **{**ODD, "name": f" {site.name()} "})
    page.goto(f"/webhooks/{made['id']}/edit")
    expect(page.get_by_test_id("webhook-name")).to_have_value(made["name"])
    save(page)
    expect(page.get_by_text("Nothing was changed.")).to_be_visible()
    expect(page).to_have_url(f"{site.url}/webhooks/{made['id']}")
    now = site.get(f"/webhooks/{made['id']}")
    assert {key: now[key] for key in now if key != "health"} == {key: made[key] for key in now if key != "health"}


def test_an_edit_keeps_what_somebody_else_changed_meanwhile(page: Page, site: Site) -> None:
    made = site.webhook(ELSEWHERE, timeout_s=9)
    page.goto(f"/webhooks/{made['id']}/edit")
    expect(page.get_by_test_id("webhook-timeout-s")).to_have_value("9")
    site.client.patch(f"/webhooks/{made['id']}", json={"timeout_s": 11}).raise_for_status()
    page.get_by_test_id("webhook-name").fill(site.name("mine"))
    save(page)
    expect(page).to_have_url(f"{site.url}/webhooks/{made['id']}")
    assert site.get(f"/webhooks/{made['id']}")["timeout_s"] == 11


def test_headers_are_changed_row_by_row(page: Page, site: Site, receiver: Receiver) -> None:
    headers = {"Authorization": "Bearer kept", "X-Gone": "1", "X-Team": "billing"}
    made = site.webhook(receiver.url(), headers=headers)
    page.goto(f"/webhooks/{made['id']}/edit")
    expect(page.get_by_test_id("header-name")).to_have_count(3)
    expect(page.get_by_text("stays as it is unless you type another")).to_be_visible()
    page.get_by_test_id("header-remove").nth(1).click()
    page.get_by_test_id("header-value").nth(1).fill("sales")
    add_header(page, "X-New", "2")
    save(page)
    expect(page).to_have_url(f"{site.url}/webhooks/{made['id']}")
    site.post(f"/webhooks/{made['id']}/test")
    sent = receiver.arrivals[-1].headers
    assert (sent["authorization"], sent["x-team"], sent["x-new"]) == ("Bearer kept", "sales", "2")
    assert "x-gone" not in sent


def test_a_wrong_edit_is_said_at_the_field_and_changes_nothing(page: Page, site: Site) -> None:
    made = site.webhook(ELSEWHERE)
    page.goto(f"/webhooks/{made['id']}/edit")
    url = page.get_by_test_id("webhook-url")
    expect(url).to_have_value(ELSEWHERE)
    url.fill("https://203.0.113.8/#part")
    save(page)
    expect(page.get_by_test_id("error-url")).to_contain_text("no #fragment")
    assert site.get(f"/webhooks/{made['id']}")["url"] == ELSEWHERE


def test_editing_what_does_not_exist_leads_to_the_list(page: Page, site: Site) -> None:
    page.goto(f"/webhooks/wh_{'0' * 32}/edit")
    expect(page).to_have_url(f"{site.url}/webhooks")
