"""The frame of every page: search, shortcuts, theme, sidebar, live indicator, user menu."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import PHONE
from tests.e2e.site import ELSEWHERE, Site
from tests.receiver import Receiver

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def home(page: Page) -> Page:
    """The overview, live."""
    page.goto("/")
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")
    return page


def _found(page: Page, text: str) -> Locator:
    page.keyboard.press("Control+k")
    expect(page.get_by_test_id("palette-input")).to_be_focused()
    page.get_by_test_id("palette-input").fill(text)
    return page.get_by_test_id("palette-item")


def test_the_palette_goes_to_pages(home: Page, site: Site) -> None:
    expect(_found(home, "").first).to_contain_text("Overview")
    home.keyboard.press("ArrowDown")
    expect(home.get_by_role("option", selected=True)).to_contain_text("Webhooks")
    home.keyboard.press("ArrowUp")
    home.keyboard.press("ArrowUp")
    expect(home.get_by_test_id("palette-item").last, "round to the end").to_have_attribute("aria-selected", "true")
    expect(_found(home, "keys")).to_have_count(1)
    home.keyboard.press("Enter")
    expect(home).to_have_url(f"{site.url}/settings/api-keys")
    expect(home.get_by_test_id("palette")).to_be_hidden()
    home.get_by_test_id("palette-open").click()
    home.get_by_test_id("palette-input").fill("webh")
    home.get_by_role("option", name="Webhooks").click()
    expect(home).to_have_url(f"{site.url}/webhooks")


def test_the_palette_finds_webhooks_deliveries_and_events(home: Page, site: Site, receiver: Receiver) -> None:
    type_ = site.event_type()
    made = site.webhook(receiver.url(), type_)
    delivery = site.reaches(site.send(type_), "delivered")
    for needle in (made["name"], made["id"]):
        expect(_found(home, needle), needle).to_have_count(1)
        home.keyboard.press("Enter")
        expect(home).to_have_url(f"{site.url}/webhooks/{made['id']}")
        expect(home.get_by_role("heading", name=made["name"])).to_be_visible()
    for needle in (delivery["id"], delivery["event_id"]):
        home.goto("/webhooks")
        expect(home.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")
        expect(_found(home, needle), needle).to_contain_text("delivery, delivered")
        home.keyboard.press("Enter")
        expect(home).to_have_url(f"{site.url}/webhooks/{made['id']}?delivery={delivery['id']}")
        expect(home.get_by_test_id("attempt")).to_be_visible()


def test_the_palette_says_when_there_is_nothing_and_closes(home: Page, site: Site) -> None:
    expect(_found(home, site.name("nothing"))).to_have_count(0)
    expect(home.get_by_test_id("palette").get_by_role("status")).to_have_text("Nothing found.")
    home.keyboard.press("Escape")
    expect(home.get_by_test_id("palette")).to_be_hidden()
    expect(_found(home, "").first).to_be_visible()


def test_keys_lead_everywhere_but_not_while_one_types(home: Page, site: Site) -> None:
    for keys, path, heading in (
        ("gw", "/webhooks", "Webhooks"),
        ("gk", "/settings/api-keys", "API keys"),
        ("go", "/", "Overview"),
        ("n", "/webhooks/new", "New webhook"),
    ):
        home.keyboard.type(keys)
        expect(home, keys).to_have_url(f"{site.url}{path}")
        expect(home.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    expect(home.get_by_test_id("webhook-timeout-s")).to_have_value("15")
    home.get_by_test_id("webhook-name").click()
    home.keyboard.type("gw?n/p")
    expect(home.get_by_test_id("webhook-name")).to_have_value("gw?n/p")
    expect(home).to_have_url(f"{site.url}/webhooks/new")
    expect(home.get_by_test_id("shortcuts")).to_be_hidden()
    expect(home.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")


def test_a_question_mark_lists_the_keys(home: Page, site: Site) -> None:
    home.keyboard.press("?")
    listed = home.get_by_test_id("shortcuts")
    for says in ("Go to Webhooks", "New webhook", "Pause or resume live changes"):
        expect(listed.get_by_text(says)).to_be_visible()
    home.keyboard.type("gw")
    expect(home, "not behind the list").to_have_url(f"{site.url}/")
    home.keyboard.press("Escape")
    expect(listed).to_be_hidden()
    home.get_by_test_id("user-menu").click()
    home.get_by_role("menuitem", name="Keyboard shortcuts").click()
    expect(listed).to_be_visible()


def test_a_theme_is_kept_and_there_from_the_start(home: Page) -> None:
    home.add_init_script(
        "addEventListener('DOMContentLoaded', () => { window.first = document.documentElement.className; })"
    )
    html = home.locator("html")
    expect(html).to_have_class("light")
    home.emulate_media(color_scheme="dark", reduced_motion="reduce")
    expect(html, "like the system").to_have_class("dark")
    home.get_by_test_id("theme-switch").click()
    home.get_by_test_id("theme-light").click()
    expect(html).to_have_class("light")
    home.reload()
    expect(home.get_by_test_id("stat-delivered")).to_be_visible()
    expect(html).to_have_class("light")
    assert home.evaluate("window.first") == "light", "no flash of the other one"


def test_a_narrow_sidebar_is_kept(home: Page, site: Site) -> None:
    label = home.get_by_test_id("nav-webhooks").locator("span")
    wide = home.locator("aside").bounding_box()
    home.get_by_test_id("sidebar-toggle").click()
    expect(home.get_by_test_id("sidebar-toggle")).to_have_attribute("aria-expanded", "false")
    home.reload()
    expect(home.get_by_test_id("sidebar-toggle")).to_have_attribute("aria-expanded", "false")
    narrow = home.locator("aside").bounding_box()
    assert wide is not None
    assert narrow is not None
    assert narrow["width"] < 80 < wide["width"]
    expect(label).to_have_css("width", "1px")
    home.get_by_role("link", name="Webhooks", exact=True).click()  # it still has its name
    expect(home).to_have_url(f"{site.url}/webhooks")
    home.keyboard.press("[")
    expect(home.get_by_test_id("sidebar-toggle")).to_have_attribute("aria-expanded", "true")


def test_a_paused_screen_stands_still_until_it_is_resumed(
    home: Page, site: Site, receiver: Receiver, signed_in: Callable[..., Page]
) -> None:
    type_, indicator = site.event_type(), home.get_by_test_id("live-indicator")
    site.webhook(receiver.url(), type_)
    other = signed_in()
    other.goto("/")
    indicator.click()
    expect(indicator).to_have_attribute("data-state", "paused")
    expect(indicator, "no reading came for a while").to_contain_text("as of")
    site.send(type_)
    expect(other.get_by_test_id("feed-row").filter(has_text=type_)).to_be_visible()
    assert home.get_by_test_id("feed-row").filter(has_text=type_).count() == 0
    home.get_by_test_id("nav-webhooks").click()
    expect(indicator, "on the next page, too").to_have_attribute("data-state", "paused")
    home.get_by_test_id("nav-overview").click()
    expect(home.get_by_test_id("stat-delivered")).to_be_visible()
    home.keyboard.press("p")
    expect(indicator).to_have_attribute("data-state", "live")
    expect(home.get_by_test_id("feed-row").filter(has_text=type_)).to_be_visible()


def test_the_user_menu_says_who_is_signed_in(home: Page, site: Site) -> None:
    home.get_by_test_id("user-menu").press("Enter")
    expect(home.get_by_test_id("user-email")).to_have_text(site.email)
    expect(home.get_by_test_id("user-role")).to_have_text("Admin")
    expect(home.get_by_role("menuitem").first).to_be_focused()
    home.keyboard.press("Escape")
    expect(home.get_by_test_id("user-email")).to_have_count(0)
    expect(home.get_by_test_id("user-menu")).to_be_focused()


def test_the_first_tab_stop_skips_to_the_content(page: Page) -> None:
    page.goto("/webhooks")
    expect(page.get_by_test_id("webhook-search")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_test_id("skip-link")).to_be_focused()
    expect(page.get_by_test_id("skip-link")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")


def test_a_phone_has_a_menu(home: Page, site: Site) -> None:
    home.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    expect(home.locator("aside")).to_be_hidden()
    home.get_by_test_id("phone-menu").click()
    home.get_by_test_id("phone-nav").get_by_test_id("nav-webhooks").click()
    expect(home).to_have_url(f"{site.url}/webhooks")
    expect(home.get_by_test_id("phone-nav")).to_have_count(0)
    home.get_by_test_id("phone-menu").click()
    expect(home.get_by_test_id("phone-nav")).to_be_visible()
    home.keyboard.press("Escape")
    expect(home.get_by_test_id("phone-nav")).to_have_count(0)


def test_the_breadcrumb_leads_back(page: Page, site: Site) -> None:
    made = site.webhook(ELSEWHERE)
    page.goto(f"/webhooks/{made['id']}")
    crumbs = page.get_by_role("navigation", name="Breadcrumb")
    expect(crumbs).to_contain_text(made["name"])
    crumbs.get_by_role("link", name="Webhooks").click()
    expect(page).to_have_url(f"{site.url}/webhooks")
