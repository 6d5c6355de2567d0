"""The policy map: what can be called, found by any word of it, and when it was last used."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.site import Site

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_what_a_route_and_a_handler_take_is_found_by_any_word(page: Page, site: Site) -> None:
    site.get("/webhooks")
    page.goto("/settings/policies")
    rows = page.get_by_test_id("policy-row")
    expect(rows.filter(has_text="POST /api/v1/api-keys").first).to_contain_text("keys:write")
    everything = rows.count()
    page.get_by_test_id("policy-filter").fill("revoke keysstate")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("KeysState.revoke")
    expect(rows).to_contain_text("confirmed lately")
    expect(rows).to_contain_text("admin")
    page.get_by_test_id("policy-route").click()
    expect(page.get_by_text("Nothing fits this filter.")).to_be_visible()
    page.get_by_test_id("policy-filter").fill("GET /api/v1/webhooks")
    # Uses are written down every few seconds.
    expect(rows.first).to_contain_text("GET /api/v1/webhooks")
    page.get_by_test_id("policy-filter").fill("")
    page.get_by_test_id("policy-all").click()
    expect(rows).to_have_count(everything)


def test_the_last_use_appears(page: Page, site: Site) -> None:
    site.get("/event-types")
    page.goto("/settings/policies")
    page.get_by_test_id("policy-filter").fill("GET /api/v1/event-types")
    expect(page.get_by_test_id("policy-row").first).to_contain_text("ago")
