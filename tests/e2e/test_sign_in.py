"""Setting up, signing in, signing out, and what somebody without a session gets to see."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import OpenPage
from tests.e2e.site import Site
from tests.e2e.watch import Watch
from tests.instance import Instance

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
REFUSALS = r"\b(401|403|422)\b"  # what a browser says of a sign-in that is refused


@pytest.fixture
def stranger(open_page: OpenPage, site: Site, watch: Watch) -> Page:
    """A page without a session."""
    return open_page(site.url, watch=watch)


def _sign_in(page: Page, email: str, password: str) -> None:
    page.get_by_test_id("login-email").fill(email)
    page.get_by_test_id("login-password").fill(password)
    page.get_by_test_id("login-submit").click()


def sign_out(page: Page) -> None:
    """By the user menu."""
    # A page that was drawn before its scripts run takes no clicks yet.
    expect(page.get_by_test_id("live-indicator")).to_have_attribute("data-state", "live")
    page.get_by_test_id("user-menu").click()
    page.get_by_test_id("sign-out").click()


def test_the_set_up_link_makes_the_first_account_once(
    new_instance: Callable[..., Instance], open_page: OpenPage
) -> None:
    instance = new_instance()
    link = instance.setup_link()
    assert link is not None
    watch = Watch(instance.url)
    page = open_page(instance.url, watch=watch)
    page.goto("/")
    expect(page.get_by_role("heading")).to_have_text("Not set up yet")
    watch.allow(REFUSALS)
    page.goto("/setup#token=guessed")
    expect(page.get_by_role("heading")).to_have_text("Not set up yet")
    page.goto(link)
    page.get_by_test_id("setup-email").fill("grace@example.com")
    page.get_by_test_id("setup-password").fill("short")
    page.get_by_test_id("setup-submit").click()
    expect(page.get_by_test_id("setup-error")).to_contain_text("at least 15 characters")
    page.get_by_test_id("setup-password").fill("grace@example.com")
    expect(page.get_by_test_id("strength")).to_contain_text("made of your address")
    page.get_by_test_id("setup-submit").click()
    expect(page.get_by_test_id("setup-error")).to_contain_text("made of your address")
    page.get_by_test_id("setup-password").fill("a compiler of many words 9")
    page.get_by_test_id("setup-submit").click()
    expect(page).to_have_url(f"{instance.url}/")
    expect(page.get_by_test_id("checklist")).to_be_visible()
    again = open_page(instance.url)
    again.goto(link)
    expect(again).to_have_url(re.compile(r"/login#?$"))  # the token has gone
    _sign_in(again, "grace@example.com", "a compiler of many words 9")
    expect(again).to_have_url(f"{instance.url}/")


def test_a_wrong_password_is_said_and_signs_nobody_in(stranger: Page, site: Site, watch: Watch) -> None:
    watch.allow(REFUSALS)
    stranger.goto("/login")
    _sign_in(stranger, site.email, "not the password at all")
    expect(stranger.get_by_test_id("login-error")).to_have_text("The e-mail or the password is wrong.")
    expect(stranger.get_by_test_id("login-submit")).to_be_enabled()
    stranger.goto("/")
    expect(stranger).to_have_url(f"{site.url}/login")


def test_an_empty_form_says_which_field(stranger: Page) -> None:
    stranger.goto("/login")
    stranger.get_by_test_id("login-submit").click()
    expect(stranger.get_by_test_id("login-error")).to_have_text("Enter your e-mail.")
    expect(stranger.get_by_test_id("login-email")).to_be_focused()
    expect(stranger.get_by_test_id("login-email")).to_have_attribute("aria-invalid", "true")


def test_what_is_typed_can_be_looked_at(stranger: Page) -> None:
    stranger.goto("/login")
    password, eye = stranger.get_by_test_id("login-password"), stranger.get_by_test_id("login-password-show")
    password.fill("is it what I think")
    expect(password).to_have_attribute("type", "password")
    for type_, says in (("text", "Hide"), ("password", "Show")):
        eye.click()
        expect(password).to_have_attribute("type", type_)
        expect(eye).to_have_text(says)
        expect(password).to_be_focused()
    expect(password).to_have_value("is it what I think")


def test_signing_in_goes_to_the_page_that_was_asked_for(stranger: Page, site: Site) -> None:
    stranger.goto("/webhooks?status=paused")
    expect(stranger.get_by_test_id("login-email")).to_be_focused()
    _sign_in(stranger, site.email, site.password)
    expect(stranger).to_have_url(f"{site.url}/webhooks?status=paused")
    expect(stranger.get_by_test_id("filter-status")).to_have_text("Paused")


def test_signing_in_never_leads_to_another_site(stranger: Page, site: Site) -> None:
    stranger.goto("/login?next=//example.com/")
    _sign_in(stranger, site.email, site.password)
    expect(stranger).to_have_url(f"{site.url}/")


def test_signing_out_shows_no_page_again(stranger: Page, site: Site, watch: Watch) -> None:
    watch.allow("WebSocket")  # the socket is closed with its session
    stranger.goto("/login?next=/webhooks")
    _sign_in(stranger, site.email, site.password)
    expect(stranger.get_by_test_id("webhook-create").first).to_be_visible()
    sign_out(stranger)
    expect(stranger).to_have_url(f"{site.url}/login")
    stranger.goto("/webhooks")
    expect(stranger).to_have_url(f"{site.url}/login?next=%2Fwebhooks")
    stranger.go_back()
    stranger.go_back()
    expect(stranger.get_by_test_id("login-email")).to_be_visible()


def test_signing_out_leads_all_tabs_to_the_sign_in(stranger: Page, site: Site, watch: Watch) -> None:
    watch.allow(REFUSALS)
    watch.allow("WebSocket")  # the socket is closed with its session
    stranger.goto("/login?next=/webhooks")
    _sign_in(stranger, site.email, site.password)
    expect(stranger.get_by_test_id("webhook-create").first).to_be_visible()
    other = stranger.context.new_page()
    watch.add(other)
    other.goto("/webhooks?status=paused")
    expect(other.get_by_test_id("webhook-search")).to_be_visible()
    sign_out(stranger)
    expect(other).to_have_url(f"{site.url}/login?next=%2Fwebhooks%3Fstatus%3Dpaused")
