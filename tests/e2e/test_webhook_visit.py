"""A visit of the webhook form: it begins empty of what was before, and outlives what happens to the server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import OpenPage
from tests.e2e.site import ELSEWHERE, EMAIL, PASSWORD, Site
from tests.e2e.test_webhook_form import save
from tests.e2e.watch import Watch
from tests.instance import Instance

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_one_form_never_shows_what_another_held(page: Page, site: Site) -> None:
    first, second = site.webhook(ELSEWHERE, timeout_s=7), site.webhook(ELSEWHERE, timeout_s=8)
    for webhook, timeout in ((first, "7"), (second, "8")):
        page.goto(f"/webhooks/{webhook['id']}/edit")
        expect(page.get_by_test_id("webhook-timeout-s")).to_have_value(timeout)
    page.get_by_test_id("webhook-timeout-s").fill("99")
    save(page)
    expect(page.get_by_test_id("error-timeout_s")).to_be_visible()
    page.get_by_test_id("nav-webhooks").click()
    page.get_by_test_id("webhook-create").click()
    expect(page.get_by_test_id("webhook-url")).to_have_value("")
    expect(page.get_by_test_id("webhook-timeout-s")).to_have_value("15")
    expect(page.locator("[data-testid^=error-]")).to_have_count(0)


def test_what_was_typed_outlives_a_restart_of_the_server(
    new_instance: Callable[..., Instance], open_page: OpenPage
) -> None:
    instance = new_instance(admin_email=EMAIL, admin_password=PASSWORD)
    site = Site(instance.url, EMAIL, PASSWORD, instance)
    site.sign_in()
    watch = Watch(instance.url)
    watch.allow("ERR_CONNECTION_REFUSED|WebSocket|_event|502|503")
    page = open_page(instance.url, cookies=site.cookies(), watch=watch)
    page.goto("/webhooks/new")
    page.get_by_test_id("webhook-url").fill(ELSEWHERE)
    page.get_by_test_id("type-*").uncheck()
    page.get_by_test_id("webhook-event-types").fill("order.*")
    page.get_by_test_id("type-add").click()
    page.get_by_test_id("webhook-retry").fill("1 min")
    expect(page.get_by_test_id("retry-step")).to_have_count(2)
    instance.stop()
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "reconnecting")
    instance.start()
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")
    expect(page.get_by_test_id("webhook-url")).to_have_value(ELSEWHERE)
    expect(page.get_by_test_id("retry-step")).to_have_count(2)
    save(page)
    expect(page.get_by_test_id("secret-value")).to_be_visible()
    (made,) = site.get("/webhooks")["data"]
    assert (made["event_types"], made["retry"]["schedule_s"]) == (["order.*"], [0, 60])


def test_who_may_only_look_is_told_so(site: Site, open_page: OpenPage) -> None:
    if site.instance is None:
        pytest.skip("makes an account, which nobody asked for at E2E_BASE_URL")
    email = f"{site.mark}@example.com"
    site.post("/users", {"email": email, "password": PASSWORD, "role": "viewer"})
    viewer = Site(site.url, email, PASSWORD)
    viewer.sign_in()
    page = open_page(site.url, cookies=viewer.cookies())
    page.goto("/webhooks/new")
    expect(page.get_by_test_id("form-read-only")).to_be_visible()
    expect(page.get_by_test_id("webhook-save")).to_be_disabled()
