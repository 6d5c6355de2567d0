"""Finding webhooks on their list, turning its pages, and selecting on it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.conftest import DESKTOP, PHONE, OpenPage
from tests.e2e.site import ELSEWHERE, Site

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NARROW = (360, 740)
PAGE = 25  # rows
# A suggestion is picked in a list of the browser's own, which no test reaches: this is what the page sees of it.
PICK = """(input, value) => {
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(input, value);
    input.dispatchEvent(new InputEvent("input", { bubbles: true, inputType: "insertReplacementText" }));
}"""


def row(page: Page, webhook: dict[str, Any]) -> Locator:
    return page.get_by_test_id(f"webhook-row-{webhook['id']}")


def at(page: Page, **query: str) -> None:
    """Wait until the URL has these parameters, in whatever order."""
    page.wait_for_url(lambda url: dict(parse_qsl(urlsplit(url).query)) == query)


def rows(page: Page) -> Locator:
    return page.locator("[data-testid^=webhook-row-]")


def test_filters_by_event_type_and_tenant_live_in_the_url(page: Page, site: Site) -> None:
    tenant, type_ = site.name("tenant").replace(" ", "-"), site.event_type("paid")
    exact, group = site.webhook(ELSEWHERE, type_), site.webhook(ELSEWHERE, type_.removesuffix("paid") + "*")
    theirs, other = site.webhook(ELSEWHERE, type_, tenant=tenant), site.webhook(ELSEWHERE)
    page.goto(f"/webhooks?q={site.mark}")
    expect(row(page, other)).to_be_visible()
    page.get_by_test_id("filter-event-type").fill(type_)
    page.get_by_test_id("filter-event-type").press("Enter")
    at(page, q=site.mark, event_type=type_)
    expect(row(page, other)).to_have_count(0)
    for each in (exact, group, theirs):
        expect(row(page, each)).to_be_visible()
    page.get_by_test_id("filter-tenant").evaluate(PICK, tenant)
    at(page, q=site.mark, event_type=type_, tenant=tenant)
    expect(rows(page)).to_have_count(1)
    expect(row(page, theirs)).to_be_visible()
    page.go_back()
    expect(page.get_by_test_id("filter-tenant")).to_have_value("")
    expect(rows(page)).to_have_count(3)
    page.get_by_test_id("filter-event-type").fill("")
    at(page, q=site.mark)
    expect(row(page, other)).to_be_visible()


def test_a_shared_link_shows_the_same_filters(page: Page, site: Site) -> None:
    tenant, type_ = site.name("tenant").replace(" ", "-"), site.event_type()
    wanted = site.webhook(ELSEWHERE, type_, tenant=tenant)
    site.webhook(ELSEWHERE, type_)
    page.goto(f"/webhooks?event_type={type_}&tenant={tenant}&status=active&health=nonsense")
    expect(row(page, wanted)).to_be_visible()
    expect(rows(page)).to_have_count(1)
    for test_id, value in (("filter-event-type", type_), ("filter-tenant", tenant)):
        expect(page.get_by_test_id(test_id)).to_have_value(value)
    expect(page.get_by_test_id("filter-health")).to_have_text("Any health")
    page.get_by_test_id("filter-none").click()
    expect(page).to_have_url(f"{site.url}/webhooks")
    expect(page.get_by_test_id("filter-event-type")).to_have_value("")
    expect(page.get_by_test_id("filter-none")).to_have_count(0)


def test_types_and_tenants_that_exist_are_suggested(page: Page, site: Site) -> None:
    tenant, type_ = site.name("tenant").replace(" ", "-"), site.event_type()
    site.webhook(ELSEWHERE, tenant=tenant)
    site.send(type_)
    page.goto("/webhooks")
    for test_id, value in (("filter-event-type", type_), ("filter-tenant", tenant)):
        options = page.get_by_test_id(test_id).locator("xpath=..").locator(f"option[value='{value}']")
        expect(options).to_have_count(1)


def test_the_pages_are_turned_with_the_filters_kept(page: Page, site: Site) -> None:
    made = [site.webhook(ELSEWHERE) for _ in range(PAGE + 2)]
    page.goto(f"/webhooks?q={site.mark}&status=active")
    expect(rows(page)).to_have_count(PAGE)
    expect(page.get_by_test_id("page-first")).to_have_count(0)
    page.get_by_test_id("page-next").click()
    expect(rows(page)).to_have_count(2)
    expect(row(page, made[0])).to_be_visible()
    query = dict(parse_qsl(urlsplit(page.url).query))
    assert query.pop("cursor")
    assert query == {"q": site.mark, "status": "active"}
    expect(page.get_by_test_id("page-next")).to_have_count(0)
    page.get_by_test_id("page-first").click()
    at(page, q=site.mark, status="active")
    expect(rows(page)).to_have_count(PAGE)
    page.go_back()
    expect(rows(page)).to_have_count(2)


def test_a_filter_begins_at_its_first_page(page: Page, site: Site) -> None:
    for _ in range(PAGE + 1):
        site.webhook(ELSEWHERE)
    page.goto(f"/webhooks?q={site.mark}")
    page.get_by_test_id("page-next").click()
    expect(rows(page)).to_have_count(1)
    page.get_by_test_id("filter-status").click()
    page.get_by_role("option", name="Active", exact=True).click()
    at(page, q=site.mark, status="active")
    expect(rows(page)).to_have_count(PAGE)


def test_all_on_the_page_are_selected_at_once(page: Page, site: Site) -> None:
    made = [site.webhook(ELSEWHERE) for _ in range(3)]
    page.goto(f"/webhooks?q={site.mark}")
    every = page.get_by_test_id("select-all")
    expect(every).to_have_attribute("data-state", "unchecked")
    row(page, made[0]).get_by_role("checkbox").click()
    expect(every).to_have_attribute("data-state", "indeterminate")
    every.click()
    expect(page.get_by_text("3 selected")).to_be_visible()
    expect(every).to_have_attribute("data-state", "checked")
    site.client.delete(f"/webhooks/{made[0]['id']}").raise_for_status()
    expect(page.get_by_text("2 selected"), "what is gone is not selected").to_be_visible()
    page.get_by_test_id("bulk-none").click()
    expect(every).to_have_attribute("data-state", "unchecked")
    expect(page.get_by_test_id("bulk-pause")).to_have_count(0)
    every.click()
    page.get_by_test_id("bulk-pause").click()
    expect(page.get_by_text("2 webhooks paused.")).to_be_visible()
    assert {each["status"] for each in site.get("/webhooks", q=site.mark)["data"]} == {"paused"}


def test_what_could_not_be_done_is_told_and_the_rest_is_done(page: Page, site: Site) -> None:
    kept, gone = site.webhook(ELSEWHERE), site.webhook(ELSEWHERE)
    page.goto(f"/webhooks?q={site.mark}")
    expect(rows(page)).to_have_count(2)
    page.get_by_test_id("live-indicator").click()
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "paused")
    page.get_by_test_id("select-all").click()
    expect(page.get_by_text("2 selected")).to_be_visible()
    site.client.delete(f"/webhooks/{gone['id']}").raise_for_status()
    page.get_by_test_id("bulk-pause").click()
    expect(page.get_by_text("1 webhook paused.")).to_be_visible()
    expect(page.get_by_text(f"1 webhook could not be paused: There is no webhook '{gone['id']}'.")).to_be_visible()
    assert site.get(f"/webhooks/{kept['id']}")["status"] == "paused"


def test_selecting_moves_nothing(page: Page, site: Site) -> None:
    made = site.webhook(ELSEWHERE)
    page.goto(f"/webhooks?q={site.mark}")
    before = row(page, made).bounding_box()
    row(page, made).get_by_role("checkbox").click()
    expect(page.get_by_test_id("bulk-pause")).to_be_visible()
    assert row(page, made).bounding_box() == before


def test_the_tenant_is_marked_and_a_plain_webhook_has_no_marks(page: Page, site: Site) -> None:
    theirs, plain = site.webhook(ELSEWHERE, tenant="acme"), site.webhook(ELSEWHERE)
    page.goto(f"/webhooks?q={site.mark}")
    mark = row(page, theirs).get_by_test_id("mark-tenant")
    expect(mark).to_have_text("Tenant acme")
    expect(mark).to_have_attribute("title", "Takes the events of the tenant acme")
    expect(row(page, theirs).get_by_test_id("mark-demo")).to_have_count(0)
    expect(row(page, plain).locator("[data-testid^=mark-]")).to_have_count(0)


@pytest.mark.parametrize("size", [PHONE, NARROW], ids=["phone", "narrow"])
def test_a_row_is_whole_on_a_phone(open_page: OpenPage, site: Site, size: tuple[int, int]) -> None:
    made = site.webhook(ELSEWHERE + "a-path-that-goes-on/" * 8, name=f"{site.name()} {'long ' * 20}", tenant="t" * 60)
    page = open_page(site.url, cookies=site.cookies(), size=size)
    page.goto(f"/webhooks?q={site.mark}")
    for part in ("active", "idle", "nothing sent in 24 h"):
        expect(row(page, made).get_by_text(part).locator("visible=true")).to_have_count(1)
    expect(row(page, made).get_by_role("checkbox")).to_be_in_viewport()
    for each in row(page, made).locator("*:visible").all():
        bounds = each.bounding_box()
        assert bounds is None or bounds["x"] + bounds["width"] <= size[0]
    row(page, made).get_by_role("checkbox").click()
    expect(page.get_by_test_id("bulk-none")).to_be_in_viewport()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_what_is_on_its_way_has_the_shape_of_what_comes(chrome: Browser, site: Site, size: tuple[int, int]) -> None:
    """Without its socket a page stays as it first is."""
    for _ in range(2):
        site.webhook(ELSEWHERE)
    shapes: list[Any] = []
    heads: list[list[str]] = []
    for is_cut_off in (True, False):
        context = chrome.new_context(base_url=site.url, viewport={"width": size[0], "height": size[1]})
        context.add_cookies(site.cookies())  # type: ignore[arg-type]
        page = context.new_page()
        if is_cut_off:
            page.route_web_socket("**/_event/**", lambda _: None)
        page.goto(f"/webhooks?q={site.mark}")
        if is_cut_off:
            expect(page.get_by_text("Loading webhooks…")).to_have_count(1)
        else:
            expect(rows(page).first).to_be_visible()
        table = page.locator("table")
        places = [table, table.locator("thead tr"), table.locator("tbody tr").first]
        boxes = [box for box in (place.bounding_box() for place in places) if box]
        shapes.append(([box["y"] for box in boxes], [box["height"] for box in boxes[1:]]))
        heads.append(table.locator("thead th:visible").all_inner_texts())
        context.close()
    assert heads[0] == heads[1]
    assert shapes[0] == shapes[1]
