"""Making and revoking API keys: each does what it may, is shown once, and works no longer once revoked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.site import ELSEWHERE, Site, wait_until
from tests.e2e.watch import Watch

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PAGE = 50  # keys that are listed at once


@pytest.fixture(autouse=True)
def _no_key_stays(site: Site) -> Iterator[None]:
    yield
    for key in _all(site):
        site.client.delete(f"/api-keys/{key['id']}").raise_for_status()


def _all(site: Site) -> list[dict[str, Any]]:
    """The keys that tests made."""
    found = site.get("/api-keys", limit="200")["data"]
    return [key for key in found if key["name"].startswith(site.mark)]


def _row(page: Page, name: str) -> Locator:
    return page.locator("[data-testid^=key-row-]").filter(has_text=name)


@pytest.fixture
def form(page: Page) -> Page:
    """The dialog that makes a key."""
    page.goto("/settings/api-keys")
    page.get_by_test_id("key-create").click()
    expect(page.get_by_test_id("key-name")).to_be_focused()
    return page


def _program(site: Site, key: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=f"{site.url}/api/v1", headers=headers, trust_env=False)


def test_a_key_is_shown_once_and_does_what_it_may(form: Page, site: Site) -> None:
    name, type_ = site.name("key"), site.event_type()
    expect(form.get_by_test_id("scope-events-write")).to_be_checked()
    form.get_by_test_id("key-name").fill(name)
    form.get_by_test_id("scope-webhooks-read").click()
    form.get_by_test_id("key-save").click()
    key = form.get_by_test_id("key-value").inner_text()
    assert key.startswith("np_live_")
    form.get_by_role("button", name="Copy to the clipboard").click()
    expect(form.get_by_text("Copied")).to_be_visible()
    assert form.evaluate("navigator.clipboard.readText()") == key
    form.mouse.click(5, 5)
    expect(form.get_by_test_id("key-value"), "a stray click does not lose it").to_be_visible()
    form.get_by_test_id("key-kept").click()
    expect(_row(form, name)).to_contain_text("events:write")
    expect(_row(form, name)).to_contain_text("webhooks:read")
    expect(_row(form, name)).to_contain_text(site.email)
    expect(_row(form, name)).to_contain_text("never")
    with _program(site, key) as program:
        assert program.post("/events", json={"type": type_, "data": {}}).status_code == 202
        assert program.get("/webhooks").status_code == 200
        assert program.get("/deliveries").status_code == 403
        body = {"url": ELSEWHERE, "event_types": [type_], "name": site.name()}
        assert program.post("/webhooks", json=body).status_code == 403
    form.reload()
    expect(_row(form, name)).to_contain_text(f"{key[:12]}")
    expect(_row(form, name)).not_to_contain_text("never")
    assert key not in form.content()


def test_a_key_of_a_tenant_sees_that_tenant_only(form: Page, site: Site) -> None:
    name, ours, theirs = site.name("tenant"), site.webhook(ELSEWHERE, tenant="acme"), site.webhook(ELSEWHERE)
    form.get_by_test_id("key-name").fill(name)
    form.get_by_test_id("key-tenant").fill("acme")
    form.get_by_test_id("scope-webhooks-read").click()
    form.get_by_test_id("key-save").click()
    with _program(site, form.get_by_test_id("key-value").inner_text()) as program:
        assert [each["id"] for each in program.get("/webhooks", params={"q": site.mark}).json()["data"]] == [ours["id"]]
        assert program.get(f"/webhooks/{theirs['id']}").status_code == 404
    form.get_by_test_id("key-kept").click()
    expect(_row(form, name)).to_contain_text("acme")


def test_what_is_wrong_is_said_at_the_field_and_no_key_is_made(form: Page, site: Site, watch: Watch) -> None:
    watch.allow(r"\b422\b")  # what only the API can tell
    name, error = site.name("wrong"), form.get_by_test_id("key-error")
    form.get_by_test_id("key-save").click()
    expect(error).to_have_text("A name tells keys apart.")
    form.get_by_test_id("key-name").fill(name)
    form.get_by_test_id("scope-events-write").click()
    form.get_by_test_id("key-save").click()
    expect(error).to_have_text("Choose at least one.")
    form.get_by_test_id("scope-events-write").click()
    form.get_by_test_id("key-tenant").fill("no tenant has spaces")
    form.get_by_test_id("key-save").click()
    expect(error).to_be_visible()
    expect(error).not_to_have_text("Choose at least one.")
    expect(form.get_by_test_id("key-name")).to_have_value(name)
    assert _all(site) == []
    form.get_by_test_id("key-tenant").fill("acme")
    form.get_by_test_id("key-save").click()
    expect(form.get_by_test_id("key-value")).to_be_visible()
    assert [key["name"] for key in _all(site)] == [name]


def test_a_revoked_key_works_no_longer(page: Page, site: Site) -> None:
    made = site.post("/api-keys", {"name": site.name("revoked"), "scopes": ["webhooks:read"]})
    page.goto("/settings/api-keys")
    with _program(site, made["key"]) as program:
        _row(page, made["name"]).get_by_test_id("key-revoke").click()
        page.get_by_role("button", name="Keep it").click()
        assert program.get("/webhooks").status_code == 200
        _row(page, made["name"]).get_by_test_id("key-revoke").click()
        expect(page.get_by_role("alertdialog")).to_contain_text(made["name"])
        page.get_by_test_id("key-revoke-confirm").click()
        expect(_row(page, made["name"])).to_have_count(0)
        wait_until(lambda: program.get("/webhooks").status_code == 401, "the key is refused")


def test_more_keys_than_a_page_holds_are_shown_on_demand(page: Page, site: Site) -> None:
    names = [site.name("many") for _ in range(PAGE + 1)]
    for name in names:
        site.post("/api-keys", {"name": name, "scopes": ["events:write"]})
    rows = page.locator("[data-testid^=key-row-]")
    page.goto("/settings/api-keys")
    expect(rows).to_have_count(PAGE)
    page.get_by_test_id("keys-more").click()
    expect(_row(page, names[0])).to_be_visible()
    expect(_row(page, names[-1])).to_be_visible()


def test_a_key_ends_when_it_was_said_to_and_is_warned_of_before(form: Page, site: Site) -> None:
    name = site.name("month")
    form.get_by_test_id("key-name").fill(name)
    form.get_by_test_id("key-days").click()
    form.get_by_role("option", name="30 days").click()
    form.get_by_test_id("key-save").click()
    form.get_by_test_id("key-kept").click()
    expect(_row(form, name)).to_contain_text("in 29 d")
    expect(form.get_by_test_id("keys-ending")).to_have_count(0)
    soon = site.name("soon")
    site.post("/api-keys", {"name": soon, "scopes": ["events:write"], "expires_in_days": 7})
    form.reload()
    expect(_row(form, soon)).to_contain_text("ends in 6 d")
    expect(form.get_by_test_id("keys-ending")).to_contain_text("expires within 14 days")


def test_a_rotated_key_works_on_for_as_long_as_was_chosen(page: Page, site: Site) -> None:
    made = site.post("/api-keys", {"name": site.name("rotated"), "scopes": ["webhooks:read"]})
    page.goto("/settings/api-keys")
    _row(page, made["name"]).get_by_test_id("key-rotate").click()
    page.get_by_test_id("key-overlap").click()
    page.get_by_role("option", name="1 hour").click()
    page.get_by_test_id("key-rotate-save").click()
    key = page.get_by_test_id("key-value").inner_text()
    assert key != made["key"]
    page.get_by_test_id("key-kept").click()
    expect(_row(page, made["name"])).to_have_count(2)
    expect(_row(page, made["name"]).last).to_contain_text("ends in 59 min")
    for each in (key, made["key"]):
        with _program(site, each) as program:
            assert program.get("/webhooks").status_code == 200
    _row(page, made["name"]).last.get_by_test_id("key-rotate").click()
    page.get_by_test_id("key-overlap").click()
    page.get_by_role("option", name="not at all").click()
    page.get_by_test_id("key-rotate-save").click()
    expect(page.get_by_test_id("key-value")).to_be_visible()
    with _program(site, made["key"]) as program:
        wait_until(lambda: program.get("/webhooks").status_code == 401, "the old key is refused")
